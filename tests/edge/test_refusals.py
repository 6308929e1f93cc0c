"""Heads that are refused: nothing of them reaches a backend, and the client is told so."""

import json
from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from tests.corpus import heads
from tests.support.edge import GET, OK, Client, Rig, get, variant


def bytewise(client: Client, wire: bytes) -> None:
    """Send one byte at a time, until there is an answer."""
    for n in range(len(wire)):
        client.send(wire[n : n + 1])
        if client.received:
            return


class Refusals(SynchronousTestCase):
    """What every refusal has in common."""

    def setUp(self) -> None:
        self.rig = Rig(self)

    def refuse(
        self, variants: Iterable[tuple[str, bytes]], status: int = 400, kind: str = ""
    ) -> None:
        """Send each variant at once and byte by byte; behind each stands a request that must not
        be taken for one."""
        sent = 0
        for name, wire in variants:
            for send in (Client.send, bytewise):
                client = self.rig.client()
                with variant(f"{name}, {send.__name__}"):
                    send(client, wire + GET)
                    self.check_answer(client, status)
                client.close()
                sent += 1
        self.assertEqual(self.rig.backend.attempts, 0)
        self.assertEqual(self.rig.count("veloflux_protocol_errors_total", "http1"), sent)
        if kind:
            self.assertEqual(self.rig.errors(kind), sent)
        self.rig.wait(5)
        self.assertEqual(self.rig.reactor.descriptors, 0)
        for entry in self.rig.entries(sent):
            self.assertEqual((entry["status"], entry["termination"]), (status, "PR"), entry)
            self.assertEqual((entry["attempts"], entry["pool"]), (0, ""))

    def check_answer(self, client: Client, status: int) -> None:
        """One answer, and a closed connection."""
        answer = client.answer()
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.field(b"connection"), b"close")
        self.assertEqual(answer.field(b"content-type"), b"application/problem+json")
        self.assertEqual(answer.field(b"cache-control"), b"no-store")
        problem = json.loads(answer.body)
        self.assertEqual(problem["status"], status)
        self.assertEqual(problem["instance"].encode(), answer.field(b"x-request-id"))
        self.assertTrue(problem["title"])
        self.assertTrue(problem["detail"].endswith("."), problem)
        self.assertEqual(client.news, b"")
        self.assertIsNotNone(client.ending)

    def test_a_good_request_passes(self) -> None:
        for send in (Client.send, bytewise):
            client = self.rig.client()
            send(client, GET)
            self.assertEqual(self.rig.backend.request().method, b"GET")
            self.rig.backend.answer(OK)
            self.assertEqual(client.answer().status, 200)


class Framing(Refusals):
    def test_refuses_length_and_coding_together(self) -> None:
        """S1"""
        self.refuse(heads.CL_TE, kind="framing")

    def test_refuses_coding_and_length_together(self) -> None:
        """S2"""
        self.refuse(heads.TE_CL, kind="framing")

    def test_refuses_codings_other_than_one_chunked(self) -> None:
        """S3"""
        self.refuse(heads.TE_TE, kind="framing")

    def test_refuses_an_obfuscated_transfer_encoding(self) -> None:
        """S4"""
        self.refuse(heads.TE_OBFUSCATED)

    def test_refuses_a_coding_in_http_1_0(self) -> None:
        """S5"""
        self.refuse(heads.TE_IN_HTTP10, kind="framing")

    def test_refuses_two_lengths(self) -> None:
        """S6"""
        self.refuse(heads.TWO_LENGTHS, kind="framing")

    def test_refuses_lengths_that_are_no_plain_numbers(self) -> None:
        """S7"""
        self.refuse(heads.LENGTHS)


class Grammar(Refusals):
    def test_refuses_other_line_ends_and_controls(self) -> None:
        """S8"""
        self.refuse(heads.LINE_ENDS)

    def test_refuses_folded_lines(self) -> None:
        """S9"""
        self.refuse(heads.FOLDED)

    def test_refuses_what_is_no_name_and_value(self) -> None:
        """S10"""
        self.refuse(heads.NAMES)

    def test_refuses_a_head_that_starts_oddly(self) -> None:
        """S10"""
        self.refuse(heads.HEAD_START)

    def test_refuses_what_is_no_request_line(self) -> None:
        """S20, S27: nor another protocol's beginning"""
        self.refuse(heads.REQUEST_LINES)

    def test_refuses_other_versions(self) -> None:
        """S20, H9"""
        self.refuse(heads.OTHER_VERSIONS, 505, "version")


class Places(Refusals):
    def test_refuses_targets_that_are_no_path_and_no_http_uri(self) -> None:
        """S20"""
        self.refuse(heads.TARGETS)

    def test_refuses_hosts_that_are_none_or_several(self) -> None:
        """S21"""
        self.refuse(heads.HOSTS)

    def test_refuses_paths_that_could_be_read_in_two_ways(self) -> None:
        """S22"""
        self.refuse(heads.PATHS, kind="path")

    def test_refuses_a_long_target(self) -> None:
        """S20"""
        long = [(f"{n} bytes", get(b"/" + b"x" * n)) for n in (8192, 9000, 20_000, 100_000)]
        self.refuse(long, 414, "target")
