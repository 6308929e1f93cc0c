"""The `veloflux` command against a real daemon: what a script and a person see."""

import contextlib
import json
import os
import pty
import select
import subprocess
import sys
import time
from typing import Any

import yaml

from tests.command.test_local import run
from tests.control.api.client import basic
from tests.support.case import Running, SystemTestCase, settings
from tests.support.daemon import PATIENCE_S, Daemon, wait_for
from veloflux.command import exits
from veloflux.command.daemon import Daemon as Client


class Case(SystemTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.backends = [self.backend("one"), self.backend("two")]
        configuration = settings(self.backends[0].address, workers=1, access=None)
        configuration["pools"][0]["backends"].append({"address": self.backends[1].address})
        self.daemon_ = self.daemon(configuration)
        self.secret = self.daemon_.directory / "var" / "admin-password"
        self.patch(os, "environ", {"PATH": os.environ["PATH"], "TERM": "xterm"})

    def call(self, *arguments: str) -> tuple[int, str, str]:
        server = f"http://{self.daemon_.admin}"
        return run(*arguments, "--server", server, "--password-file", str(self.secret))

    def ok(self, *arguments: str) -> str:
        status, out, err = self.call(*arguments)
        self.assertEqual(status, exits.OK, (arguments, out, err))
        return out

    def json(self, *arguments: str) -> Any:
        return json.loads(self.ok(*arguments, "-o", "json"))

    def file(self, daemon: Daemon, **changes: Any) -> str:
        """The daemon's file with these keys changed, as another file."""
        document = yaml.safe_load(daemon.file.read_text())
        path = daemon.directory / "other.yaml"
        path.write_text(json.dumps(document | changes))
        return str(path)


class Showing(Case):
    def test_how_a_daemon_is(self) -> None:
        found = self.json("status")
        self.assertEqual((found["status"], found["config_revision"]), ("healthy", 1))
        self.assertIn("WORKER", self.ok("status"))
        self.assertEqual(len(self.json("backends")), 2)
        self.assertEqual(len(self.json("backends", "--pool", "app")), 2)
        [pool] = self.json("pools")
        self.assertEqual(yaml.safe_load(self.ok("pools", "app", "-o", "yaml")), pool)
        [route] = self.json("routes")
        self.assertEqual(self.json("routes", route["id"]), route)
        for verb in ("backends", "pools", "routes", "history"):
            rows = self.ok(verb).splitlines()
            self.assertGreater(len(rows), 1, verb)
            self.assertNotIn("\x1b", rows[0], "no colours where there is no terminal")

    def test_what_is_not_there(self) -> None:
        for arguments in (("pools", "nope"), ("routes", "nope"), ("drain", "nope", "--yes")):
            status, out, err = self.call(*arguments)
            self.assertEqual((status, out), (exits.NOT_THERE, ""), arguments)
            self.assertIn("nope", err)

    def test_where_a_request_would_go_now(self) -> None:
        asked = ("explain", "--live", "GET", "http://a.test/cart?x=1")
        self.assertIn("pool     app", self.ok(*asked))
        found = self.json(*asked)
        self.assertEqual((found["pool"], found["revision"]), ("app", 1))
        self.ok("disable", found["backend"], "--yes")
        self.assertNotEqual(self.json(*asked)["backend"], found["backend"])
        self.ok("apply", self.file(self.daemon_, routes=[]))
        self.assertEqual(self.call(*asked)[0], exits.NOT_THERE)
        self.assertEqual(self.call(*asked, "--seed", "1")[0], exits.WRONG_USE)

    def test_top_looks_once(self) -> None:
        found = json.loads(self.ok("top", "--once", "--json", "--interval", "0.2"))
        self.assertEqual(len(found["backends"]), 2)
        self.assertIn(self.backends[0].address, self.ok("top", "--once", "--interval", "0.2"))

    def test_top_runs_in_a_terminal_until_q(self) -> None:
        ours, theirs = pty.openpty()
        self.addCleanup(os.close, ours)
        command = [sys.executable, "-m", "veloflux.cli", "top", "--interval", "0.2"]
        command += ["--server", f"http://{self.daemon_.admin}"]
        command += ["--password-file", str(self.secret)]
        process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.addCleanup(process.kill)
        seen = b""
        deadline = time.monotonic() + 30
        address = self.backends[0].address.encode()
        while address not in seen and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.5)[0]:
                seen += os.read(ours, 65536)
        self.assertIn(address, seen)
        os.write(ours, b"q")
        while process.poll() is None and time.monotonic() < deadline:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    os.read(ours, 65536)
                except OSError:  # the terminal has nobody left
                    break
        self.assertEqual(process.wait(10), 0)


class Changing(Case):
    def test_a_file_becomes_the_configuration(self) -> None:
        path = self.file(self.daemon_, routes=[{"id": "new", "host": "a.test", "pool": "app"}])
        self.assertIn("route new added", self.ok("diff", path))
        self.assertIn("route new added", self.ok("apply", path, "--dry-run"))
        self.assertEqual(len(self.json("history")["items"]), 1)
        applied = self.json("apply", path, "--reason", "a test")
        self.assertEqual(applied["revision"], 2)
        self.assertEqual([route["id"] for route in self.json("routes")], ["new"])
        newest = self.json("history")["items"][0]
        self.assertEqual((newest["reason"], newest["author"]), ("a test", "admin"))
        self.assertEqual(self.ok("apply", path), "")
        self.assertEqual(len(self.json("history")["items"]), 2)

    def test_and_goes_back(self) -> None:
        path = self.file(self.daemon_, routes=[])
        self.ok("apply", path)
        self.assertEqual(self.json("routes"), [])
        self.assertIn("added", self.ok("rollback", "--yes"))
        self.assertEqual(len(self.json("routes")), 1)
        self.assertIn("removed", self.ok("diff", "1", "2"))
        self.assertEqual(self.json("show", "2")["routes"], [])

    def test_a_change_is_watched(self) -> None:
        path = self.file(self.daemon_, routes=[])
        found = self.json("apply", path, "--watch", "1", "--max-error-rate", "0.5")
        self.assertEqual((found["state"], found["revision"]), ("confirmed", 2))
        self.assertEqual(self.json("routes"), [])

    def test_a_wrong_file_says_everything_that_is_wrong(self) -> None:
        path = self.file(self.daemon_, routes=[{"pool": "nope"}, {"pool": "app", "hots": "x"}])
        status, _, err = self.call("apply", path)
        self.assertEqual(status, exits.FAILED)
        self.assertIn("/routes/0/pool", err)
        self.assertIn("/routes/1/hots", err)
        self.assertEqual(len(self.json("history")["items"]), 1)
        self.assertEqual(self.call("apply", "/nowhere/x.yaml")[0], exits.FAILED)

    def test_an_export_can_be_imported(self) -> None:
        target = self.daemon_.directory / "export.yaml"
        self.ok("export", "--file", str(target))
        self.ok("apply", self.file(self.daemon_, routes=[]))
        self.ok("import", str(target))
        self.assertEqual(len(self.json("routes")), 1)
        target.write_text(target.read_text().replace("workers: 1", "workers: 2"))
        status, _, err = self.call("import", str(target))
        self.assertEqual(status, exits.FAILED)
        self.assertIn("checksum", err)

    def test_a_backup_is_restored(self) -> None:
        target = self.daemon_.directory / "backup.json"
        self.ok("backup", "--file", str(target))
        self.assertEqual(target.stat().st_mode & 0o777, 0o600)
        self.assertEqual(json.loads(self.ok("backup", "--scope", "config"))["scope"], ["config"])
        self.ok("apply", self.file(self.daemon_, routes=[]))
        self.assertIn("added", self.ok("restore", str(target), "--dry-run"))
        self.assertEqual(self.json("routes"), [])
        self.assertIn("added", self.ok("restore", str(target), "--yes"))
        self.assertEqual(len(self.json("routes")), 1)
        target.write_text(target.read_text().replace('"workers":1', '"workers":2'))
        status, _, err = self.call("restore", str(target), "--yes")
        self.assertEqual(status, exits.FAILED)
        self.assertIn("checksum", err)

    def test_a_backend_is_drained_and_comes_back(self) -> None:
        address = self.backends[0].address
        drained = self.json("drain", address, "--wait", "--yes")
        self.assertEqual((drained["state"], drained["inflight"]), ("drained", 0))
        self.assertEqual(self.rows()[address]["weight"], 0)
        self.ok("undrain", f"app/{address}")
        self.ok("weight", address, "7")
        self.ok("disable", address, "--yes")
        row = self.rows()[address]
        self.assertEqual((row["weight"], row["enabled"]), (7, False))
        self.ok("enable", row["id"])
        self.assertTrue(self.rows()[address]["enabled"])

    def test_who_waits_for_a_drain_is_told_that_somebody_ends_it(self) -> None:
        for held in self.backends:
            self.addCleanup(held.release.set)
        clients = [Running(lambda: self.get(self.daemon_.port(), "/held")) for _ in self.backends]
        for held in self.backends:
            self.assertTrue(held.arrived.acquire(timeout=PATIENCE_S))
        address = self.backends[0].address
        drain = f"/api/backends/{self.rows()[address]['id']}/drain"
        for verb, path in ((("drain", address), drain), (("rest",), "/api/system/drain")):
            ending = Running(lambda path=path: self.end_a_drain(path))
            status, out, err = self.call(*verb, "--wait", "--yes")
            ending.result()
            self.assertEqual((status, out), (exits.CONFLICT, ""), err)
            self.assertIn("more", err)
        for held in self.backends:
            held.release.set()
        self.assertEqual({each.result()[0] for each in clients}, {200})

    def test_the_daemon_rests_and_wakes(self) -> None:
        rested = self.json("rest", "--deadline", "30s", "--wait", "--yes")
        self.assertEqual((rested["state"], rested["workers"]), ("drained", 0))
        self.assertTrue(json.loads(self.call("status", "-o", "json")[1])["draining"])
        status, _, err = self.call("rest", "--yes")
        self.assertNotEqual(status, exits.OK)
        self.assertIn("draining already", err)
        status, _, err = self.call("weight", self.backends[0].address, "7")
        self.assertNotEqual(status, exits.OK)
        self.assertIn("cancel the drain", err)
        self.assertEqual(self.json("wake")["state"], "serving")
        self.assertEqual(self.get(self.daemon_.port())[0], 200)
        self.ok("weight", self.backends[0].address, "7")
        self.assertEqual(self.call("wake")[0], exits.CONFLICT)

    def end_a_drain(self, path: str) -> None:
        """Wait until there is one, and end it, as somebody else."""
        by = basic("admin", self.secret.read_text().strip())
        with contextlib.closing(Client(f"http://{self.daemon_.admin}", by)) as client:
            wait_for("draining", lambda: self.drains(client, path))
            client.ask("DELETE", path, None, {})

    def drains(self, client: Client, path: str) -> bool:
        try:
            return bool(client.ask("GET", path, None, {})["state"] == "draining")
        except exits.CommandError:
            return False

    def rows(self) -> dict[str, Any]:
        return {row["address"]: row for row in self.json("backends")}


class Asking(Case):
    def test_a_key_lets_a_program_in_and_no_longer(self) -> None:
        key = self.ok("token", "create", "ci", "--permission", "pools:read").strip()
        server = f"http://{self.daemon_.admin}"
        path = self.daemon_.directory / "token"
        path.write_text(key + "\n")
        told = run("pools", "--server", server, "--token-file", str(path))
        self.assertEqual(told[0], exits.OK, told)
        os.environ["VELOFLUX_TOKEN"] = key
        os.environ["VELOFLUX_SERVER"] = server
        self.assertEqual(run("pools")[0], exits.OK)
        self.assertEqual(run("history")[0], exits.UNAUTHORIZED)
        [known] = self.json("token", "list")
        self.assertEqual((known["name"], known["permissions"]), ("ci", ["pools:read"]))
        self.ok("token", "revoke", known["id"])
        status, _, err = run("pools")
        self.assertEqual(status, exits.UNAUTHORIZED)
        self.assertIn("--token-file", err)

    def test_a_daemon_that_is_not_there(self) -> None:
        status, out, err = run("status", "--server", "http://127.0.0.1:1")
        self.assertEqual((status, out), (exits.UNREACHABLE, ""))
        self.assertIn("127.0.0.1:1", err)

    def test_somebody_else_who_answers_there(self) -> None:
        stranger = f"http://{self.backends[0].address}"
        for verb in (
            "status",
            "pools",
            "backends",
            "routes",
            "history",
            "top --once",
            "token list",
        ):
            status, _, err = run(*verb.split(), "--server", stranger)
            self.assertEqual(status, exits.FAILED, verb)
            self.assertIn(f"{stranger} answered 200, and is no VeloFlux", err)

    def test_a_server_that_is_no_url(self) -> None:
        for server in (
            "127.0.0.1:9090",
            "http://127.0.0.1:x",
            "http://[::1",
            "ftp://x",
            "//x",
        ):
            status, out, err = run("status", "--server", server)
            self.assertEqual((status, out), (exits.WRONG_USE, ""), server)
            self.assertIn(f"{server!r} is no URL", err)

    def test_files_that_cannot_be_used(self) -> None:
        junk = self.daemon_.directory / "junk"
        junk.write_bytes(b"\xff\x00")
        for option in ("--token-file", "--ca"):
            for path in (str(junk), "nope"):
                told = run("status", "--server", "https://127.0.0.1:1", option, path)
                self.assertEqual(told[0], exits.WRONG_USE, told)
                self.assertIn(path, told[2])
        os.environ["VELOFLUX_TOKEN"] = "of two\nlines"
        self.assertEqual(run("status", "--server", "http://127.0.0.1:1")[0], exits.WRONG_USE)

    def test_documents_that_cannot_be_read_or_written(self) -> None:
        deep = self.daemon_.directory / "deep"
        deep.write_text('{"a":' * 100_000)
        for verb in ("restore", "import"):
            status, _, err = self.call(verb, str(deep))
            self.assertEqual(status, exits.FAILED, verb)
            self.assertIn(f"{deep}", err)
            self.assertIn("nested", err)
        status, _, err = self.call("export", "--file", "/nowhere/x")
        self.assertEqual(status, exits.FAILED)
        self.assertIn("/nowhere/x cannot be written: No such file or directory", err)
