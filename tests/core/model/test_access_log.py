"""The words of the access log: none that is written is missing from the reference."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from twisted.trial.unittest import SynchronousTestCase

import veloflux
from tests.support.edge import GET, OK, Rig
from veloflux.core.flow import exchange
from veloflux.core.model.access_log import FIELDS, PICK_REASONS, REFUSALS, TERMINATIONS
from veloflux.core.model.traffic import Algorithm
from veloflux.core.policy.balance.candidate import Usable

PACKAGE = Path(veloflux.__file__).parent
TERMINATION = re.compile(r"--|[CcSsPRL][RQCHD]")
# PROXY headers and TLS handshakes are no requests; an explanation repeats what the edge says.
UNLOGGED = {"preface.py", "hello.py", "explanation.py"}
RAISES = {"ProtocolError": 1, "DeclinedError": 1, "bad_request": 0}


def trees(*folders: str) -> Iterator[ast.Module]:
    for folder in folders:
        for file in (PACKAGE / folder).rglob("*.py"):
            if file.name not in UNLOGGED:
                yield ast.parse(file.read_text())


def words(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


class Words(SynchronousTestCase):
    def test_every_termination_is_explained_and_no_other(self) -> None:
        written = {
            word
            for tree in trees("edge", "core/flow")
            for word in words(tree)
            if TERMINATION.fullmatch(word)
        }
        self.assertEqual(written, set(TERMINATIONS))

    def test_every_refusal_is_explained_and_no_other(self) -> None:
        raised = set()
        for tree in trees("edge", "core/flow", "core/wire"):
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    place = RAISES.get(node.func.id)
                    if place is not None and len(node.args) > place:
                        raised |= set(words(node.args[place]))
        # Raised by way of a variable: see `wire.fields` on lengths.
        self.assertEqual(raised, set(REFUSALS))

    def test_no_refusal_is_also_the_name_of_a_failure(self) -> None:
        failures = [each for each in vars(exchange).values() if isinstance(each, exchange.Failure)]
        self.assertGreater(len(failures), 10)
        self.assertEqual({each.reason for each in failures} & set(REFUSALS), set())
        self.assertLessEqual({each.termination for each in failures}, set(TERMINATIONS))

    def test_every_reason_of_a_pick_is_explained(self) -> None:
        beside = set(get_args(Usable.__annotations__["reason"])) | {"sticky"}
        self.assertEqual(beside, set(PICK_REASONS))
        self.assertFalse(beside & set(get_args(Algorithm)))


class Fields(SynchronousTestCase):
    def test_a_line_has_the_fields_of_the_reference_in_its_order(self) -> None:
        rig = Rig(self)
        rig.client().send(GET)
        rig.backend.request()
        rig.backend.answer(OK)
        written = []
        for name, value in rig.entry().items():
            written += [f"{name}.{each}" for each in value] if name == "t" else [name]
        expected = [name for name in FIELDS if not name.startswith("tls.")]
        self.assertEqual(written, expected)
