"""A worker's log lines, on their way through a pipe into the daemon's log."""

import os

from twisted.logger import Logger, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from veloflux.logs import MAX_LINE_BYTES, Lines, Relay


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.reader, self.writer = os.pipe()
        self.addCleanup(os.close, self.reader)
        self.addCleanup(os.close, self.writer)
        os.set_blocking(self.reader, False)
        os.set_blocking(self.writer, False)
        self.lines = Lines(self.writer)
        self.log = Logger(namespace="test", observer=self.lines)

    def read(self) -> bytes:
        try:
            return os.read(self.reader, 1 << 20)
        except BlockingIOError:
            return b""


class LinesTests(Case):
    def test_an_event_is_a_line_with_its_level(self) -> None:
        self.log.info("serving {n} listeners", n=2)
        self.log.error("no")
        self.assertEqual(self.read(), b"<6>serving 2 listeners\n<3>no\n")

    def test_each_line_of_a_traceback_has_its_level(self) -> None:
        try:
            raise KeyError("surprise")
        except KeyError:
            self.log.failure("that failed")
        lines = self.read().splitlines()
        self.assertEqual(lines[0], b"<2>that failed")
        self.assertTrue(all(line.startswith(b"<2>") for line in lines))
        self.assertIn(b"surprise", lines[-1])

    def test_control_characters_cannot_forge_or_steer(self) -> None:
        self.log.info("path {path}", path="/\x1b[2J\r<2>forged")
        self.assertEqual(self.read(), b"<6>path /\\x1b[2J\n<6><2>forged\n")

    def test_never_waits_for_the_reader_and_says_what_was_lost(self) -> None:
        """X10: the reader hangs."""
        for _ in range(100):
            self.log.info("{text}", text="x" * 3000)
        lost = 100 - self.read().count(b"\n")
        self.assertGreater(lost, 0)
        self.log.info("again")
        self.assertEqual(self.read(), b"<4>%d lines of the log were dropped\n<6>again\n" % lost)

    def test_a_long_line_is_cut(self) -> None:
        self.log.info("{text}", text="é" * 10_000)
        self.assertLessEqual(len(self.read()), MAX_LINE_BYTES + 1)


class RelayTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.events: list[tuple[object, str]] = []
        globalLogPublisher.addObserver(self.observe)
        self.addCleanup(globalLogPublisher.removeObserver, self.observe)
        self.relay = Relay(3)

    def observe(self, event: dict[str, object]) -> None:
        if event.get("log_namespace") == "veloflux.logs.Relay":
            self.events.append((event["log_level"], str(event["text"])))

    def test_logs_lines_at_their_level_however_they_are_cut(self) -> None:
        stream = b"<6>one\n<3>two\n"
        for at in range(len(stream)):
            self.events.clear()
            self.relay.write(stream[:at])
            self.relay.write(stream[at:])
            self.assertEqual(self.events, [(LogLevel.info, "one"), (LogLevel.error, "two")])

    def test_an_interpreters_last_words_are_a_warning(self) -> None:
        self.relay.write(b"Fatal Python error: Aborted\n<not ours>\n<6")
        self.relay.close()
        self.assertEqual(
            self.events,
            [
                (LogLevel.warn, "Fatal Python error: Aborted"),
                (LogLevel.warn, "<not ours>"),
                (LogLevel.warn, "<6"),
            ],
        )

    def test_a_line_without_end_is_not_collected_for_ever(self) -> None:
        for _ in range(100):
            self.relay.write(b"x" * 1000)
        self.assertGreater(len(self.events), 10)

    def test_text_with_braces_and_odd_bytes_is_taken_as_it_is(self) -> None:
        self.relay.write(b"<6>{nothing} \xff\x1b[2J\n")
        self.assertEqual(self.events, [(LogLevel.info, "{nothing} \ufffd\\x1b[2J")])
