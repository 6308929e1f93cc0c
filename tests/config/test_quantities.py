from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.config.quantities import format_duration, format_size, parse_duration, parse_size


class Durations(SynchronousTestCase):
    def test_are_a_number_and_a_unit(self) -> None:
        for text, seconds in (
            ("250ms", 0.25),
            ("5s", 5.0),
            ("2m", 120.0),
            ("1h", 3600.0),
            ("0s", 0.0),
            ("720h", 2_592_000.0),
        ):
            self.assertEqual(parse_duration(text), seconds)

    def test_have_one_way_to_be_written(self) -> None:
        """C2: timeout negative, `1h` mix, without a unit."""
        for text in (
            "", "5", "s", "-1s", "+1s", "1.5s", "1h30m", "1 s", "1S", "01s", "1d", "٥s", "1e3s",
            "721h", "999999999h", "9999999999s", "1s\n", "inf",
        ):  # fmt: skip
            with self.subTest(text):
                self.assertRaises(ValueError, parse_duration, text)

    @given(st.integers(0, 720 * 3600 * 1000))
    def test_come_back_as_they_were(self, milliseconds: int) -> None:
        seconds = milliseconds / 1000
        self.assertEqual(parse_duration(format_duration(seconds)), seconds)

    def test_are_written_in_the_largest_unit(self) -> None:
        self.assertEqual([format_duration(s) for s in (0.0, 0.25, 60.0, 90.0)], [
            "0s", "250ms", "1m", "90s"
        ])  # fmt: skip


class Sizes(SynchronousTestCase):
    def test_have_binary_units(self) -> None:
        self.assertEqual([parse_size(s) for s in ("64KiB", "10MiB", "1GiB", "0KiB")], [
            65536, 10_485_760, 1 << 30, 0
        ])  # fmt: skip

    def test_have_one_way_to_be_written(self) -> None:
        for text in ("", "64", "64KB", "64kib", "64K", "1.5MiB", "-1KiB", "64 KiB", "064KiB"):
            with self.subTest(text):
                self.assertRaises(ValueError, parse_size, text)

    @given(st.integers(0, 2**53 - 1))
    def test_come_back_as_they_were(self, size: int) -> None:
        text = format_size(size)
        self.assertEqual(text if isinstance(text, int) else parse_size(text), size)
