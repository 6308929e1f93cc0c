"""A line's moment, whichever way the clock goes."""

import json
from types import SimpleNamespace

from twisted.trial.unittest import SynchronousTestCase

from veloflux.edge.line import combined_line, json_line
from veloflux.edge.outcome import NO_TALLY, Refusal

DOWNSTREAM = SimpleNamespace(
    client="198.51.100.7",
    sender="",
    peer="198.51.100.7",
    text="",
    agreement=None,
    listener=SimpleNamespace(text='"web"', scheme=b"http"),
    protocols=("HTTP/1.0", "HTTP/1.1"),
)
MOMENTS = (
    (1_700_000_039.0, "2023-11-14T22:13:59.000Z", "14/Nov/2023:22:13:59 +0000"),
    (1_700_000_039.25, "2023-11-14T22:13:59.250Z", "14/Nov/2023:22:13:59 +0000"),
    # The last there is of a second, as a float.
    (1_700_000_039.9999998, "2023-11-14T22:13:59.999Z", "14/Nov/2023:22:13:59 +0000"),
    (1_700_000_040.0, "2023-11-14T22:14:00.000Z", "14/Nov/2023:22:14:00 +0000"),
    # Set back, within the second and beyond.
    (1_700_000_039.5, "2023-11-14T22:13:59.500Z", "14/Nov/2023:22:13:59 +0000"),
    (1_699_999_199.75, "2023-11-14T21:59:59.750Z", "14/Nov/2023:21:59:59 +0000"),
    (1_700_092_800.125, "2023-11-16T00:00:00.125Z", "16/Nov/2023:00:00:00 +0000"),
)


class Moments(SynchronousTestCase):
    def test_are_cut_to_what_is_shown(self) -> None:
        refusal = Refusal(DOWNSTREAM, None, NO_TALLY)
        for wall, in_json, in_combined in MOMENTS:
            line = json_line(refusal, wall, 0.0, "PR", 1)
            self.assertEqual(json.loads(line)["ts"], in_json)
            self.assertIn(f"[{in_combined}]", combined_line(refusal, wall, 0.0, "PR", 1))
