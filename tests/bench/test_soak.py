"""The soak's verdict: what grows is found, what does not is not."""

from twisted.trial.unittest import SynchronousTestCase

from bench.soak import curve
from bench.soak.watch import MIB, Held, Sample, findings


def sample(minute: float, mib: float, descriptors: int = 20, phase: str = "rest") -> Sample:
    held = Held(1, int(mib * MIB), int(mib * MIB), descriptors, 0, 3)
    return Sample(minute * 60, phase, {"parent": held, "worker 1": held}, 0, 0, 0)


class VerdictTests(SynchronousTestCase):
    def test_what_stays_is_well(self) -> None:
        self.assertTrue(all(findings(sample(1, 40), sample(10, 44)).values()))

    def test_memory_that_grows_is_found(self) -> None:
        found = findings(sample(1, 40), sample(10, 49))
        self.assertEqual(sum(not holds for holds in found.values()), 3)  # each, and all together

    def test_small_growth_of_each_that_adds_up_is_found(self) -> None:
        found = findings(sample(1, 30), sample(10, 37))
        self.assertEqual([asked[:3] for asked, holds in found.items() if not holds], ["all"])

    def test_descriptors_that_stay_open_are_found(self) -> None:
        found = findings(sample(1, 40, 20), sample(10, 40, 29))
        self.assertEqual(sum(not holds for holds in found.values()), 2)


class CurveTests(SynchronousTestCase):
    def test_what_fills_up_at_the_start_is_no_leak(self) -> None:
        held = [sample(minute, min(40 + 2 * minute, 44)) for minute in range(10)]
        self.assertEqual(curve.pace(held), 0)

    def test_a_leak_has_its_pace(self) -> None:
        held = [sample(minute, 40 + minute / 2) for minute in range(10)]
        self.assertAlmostEqual(curve.pace(held) / MIB, 1.0)  # half a MiB in each of two processes

    def test_only_rests_count(self) -> None:
        held = [sample(minute, 40) for minute in range(6)]
        held[3:3] = [sample(2.5, 400, phase="load")]
        self.assertEqual(curve.pace(held), 0)
        self.assertEqual(len(curve.table(held)), 2 + 6)

    def test_the_picture_has_a_line_for_each_process_and_measure(self) -> None:
        shown = curve.picture([sample(0, 40, phase="start"), sample(1, 41), sample(2, 42)])
        self.assertEqual(shown.count("<polyline"), 4)
        self.assertIn("worker 1", shown)
