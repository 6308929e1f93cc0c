import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from tests.config.files import SMALLEST, with_backend, with_pool
from veloflux import __version__, cli
from veloflux.config.reference import json_schema, markdown


def run(*arguments: str) -> tuple[int, str, str]:
    """The command's exit status, output and error output."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        try:
            status = cli.main(arguments)
        except SystemExit as stop:
            status = int(stop.code or 0)
    return status, out.getvalue(), err.getvalue()


class Check(SynchronousTestCase):
    def file(self, text: str) -> str:
        path = Path(self.mktemp())
        path.write_text(text)
        return str(path)

    def test_says_ok_and_counts(self) -> None:
        path = self.file(SMALLEST)
        expected = (0, "ok: 1 listener, 1 pool, 1 backend, 1 route\n", "")
        self.assertEqual(run("check", path), expected)
        self.assertEqual(run("check", "-f", path), expected)
        self.assertEqual(run("check", "--strict", path), expected)

    def test_lists_every_error(self) -> None:
        path = self.file(with_backend("weight: -1, wieght: 1"))
        status, out, err = run("check", path)
        self.assertEqual((status, out), (1, ""))
        lines = err.splitlines()
        self.assertEqual(len(lines), 3)
        self.assertTrue(lines[0].startswith(f"{path}:6: pools[0].backends[0]."))
        self.assertEqual(lines[-1], "not ok: 2 errors")

    def test_warnings_fail_only_a_strict_check(self) -> None:
        path = self.file(with_backend("weight: 0"))
        status, out, err = run("check", path)
        self.assertEqual(status, 0)
        self.assertIn("ok: ", out)
        self.assertIn("(warning)", err)
        self.assertEqual(run("check", path, "--strict")[0], 2)

    def test_errors_outweigh_warnings(self) -> None:
        path = self.file(with_backend("weight: 0") + "workers: 0\n")
        self.assertEqual(run("check", "--strict", path)[0], 1)

    def test_a_file_that_cannot_be_read_is_an_error(self) -> None:
        status, _, err = run("check", "/nowhere/veloflux.yaml")
        self.assertEqual(status, 1)
        self.assertIn("/nowhere/veloflux.yaml: cannot be read: No such file", err)

    def test_json_has_it_all(self) -> None:
        path = self.file(with_pool("algorithm: x").replace("9001", "8080"))
        status, out, err = run("check", "--json", path)
        answer = json.loads(out)
        self.assertEqual((status, err, answer["ok"], answer["counts"]), (1, "", False, None))
        [error] = answer["errors"]
        self.assertEqual(
            (error["file"], error["line"], error["column"], error["path"], error["code"]),
            (path, 5, 5, "pools[0].algorithm", "value"),
        )
        [warning] = answer["warnings"]
        self.assertEqual(warning["code"], "advice")
        answer = json.loads(run("check", "--json", self.file(SMALLEST))[1])
        counts = {"listeners": 1, "pools": 1, "backends": 1, "routes": 1}
        self.assertEqual(answer, {"ok": True, "errors": [], "warnings": [], "counts": counts})

    def test_takes_variables_from_the_environment(self) -> None:
        path = self.file(with_backend('weight: "${VELOFLUX_TEST_WEIGHT}"'))
        self.assertEqual(run("check", path)[0], 1)
        self.patch(os, "environ", {"VELOFLUX_TEST_WEIGHT": "2"})
        self.assertEqual(run("check", path)[0], 0)

    def test_a_file_given_twice_is_wrong_use(self) -> None:
        status, _, err = run("check", "a", "-f", "b")
        self.assertEqual(status, 2)
        self.assertIn("give the file once", err)


class Others(SynchronousTestCase):
    def test_schema_prints_either_form(self) -> None:
        self.assertEqual(json.loads(run("schema")[1]), json_schema())
        self.assertEqual(run("schema", "--format", "markdown"), (0, markdown(), ""))
        self.assertEqual(run("schema", "--format", "xml")[0], 2)

    def test_version_names_what_matters(self) -> None:
        versions = json.loads(run("version", "--json")[1])
        self.assertEqual(set(versions), {"veloflux", "python", "twisted", "openssl", "connections"})
        self.assertEqual(versions["veloflux"], __version__)
        self.assertIn(f"veloflux {__version__}\n", run("version")[1])

    def test_help_teaches_by_an_example_that_is_right(self) -> None:
        status, out, _ = run("--help")
        self.assertEqual(status, 0)
        example = out[out.index("    listeners:") : out.index("    veloflux check")]
        path = Path(self.mktemp())
        path.write_text(dedent(example))
        self.assertEqual(run("check", "--strict", str(path))[0], 0)
        for verb in ("check", "schema", "run", "version"):
            self.assertIn("example", run(verb, "--help")[1])

    def test_wrong_use_exits_with_2(self) -> None:
        for arguments in ((), ("chekc",), ("check", "--nope"), ("check", "a", "b")):
            self.assertEqual(run(*arguments)[0], 2)

    def test_run_is_twistd_in_the_foreground(self) -> None:
        command = [sys.executable, "-W", "error", "-m", "veloflux.cli", "run", "-c", "/nowhere/x"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nowhere/x", done.stderr)
        self.assertNotIn("Traceback", done.stderr)

    def test_checking_loads_no_reactor(self) -> None:
        """And help loads no schema: both answer at once."""
        program = (
            "import sys; from veloflux import cli\n"
            "assert 'pydantic' not in sys.modules and 'yaml' not in sys.modules\n"
            "cli.main(['check', '/nowhere'])\n"
            "assert 'twisted' not in sys.modules\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
        )
        self.assertEqual((done.returncode, done.stdout), (0, ""), done.stderr)

    def test_a_reader_that_has_enough_is_no_error(self) -> None:
        command = f"{sys.executable} -W error -m veloflux.cli schema | head -c 10"
        done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
        self.assertEqual((len(done.stdout), done.stderr), (10, ""))
