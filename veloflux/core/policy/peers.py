"""Is a row of failures this backend's own, or is everybody failing?

Failures in a row are quickly had: at a hundred requests a second, five are had in a blink when a
database behind all backends stumbles, or when there is too much to do for all. To eject then puts
the work of some on the others, which fail for it in turn, and keeps an outage going that had ended
(N. Bronson et al., Metastable Failures in Distributed Systems, HotOS 2021; bench/balancing/storm.py
shows it). So the others are looked at: what became of their requests since the row began.
"""

from typing import Literal, NamedTuple

Verdict = Literal["own", "shared", "common"]
"""`own`: the others do well. `shared`: they do not, or too little is known of them, so this is not
the time to eject. `common`: most of what they do fails: whoever is ejected had better be back."""

# The others' failures, in percent, up to which a row is one's own. By chance, one request in 3000
# begins a row of five at that rate.
_OWN_PERCENT = 20
_COMMON_PERCENT = 50
# The fewest requests of others that say something, and the failures after which a row is one's own
# although they are not asked: all traffic may go to the one that fails at once.
_LEAST = 2
_SHORT = 2
_LONG = 20


class Counts(NamedTuple):
    """What all backends in use but one have answered and failed so far.

    `change` is another number whenever others are in use, as their counts do not compare.
    """

    good: int
    failed: int
    change: int


class Row:
    """One backend's failures since its last success."""

    __slots__ = ("_begun", "_length")

    def __init__(self) -> None:
        self._begun: Counts | None = None
        self._length = 0

    def end(self) -> None:
        """It has answered well."""
        self._begun = None

    def judge(self, peers: Counts, limit: int) -> Verdict:
        """Whose the row is, with one failure more; to be asked at each.

        `limit` is how long a row has to be: one or two failures leave no time to compare.
        """
        begun = self._begun
        if begun is None or begun.change != peers.change:
            self._begun = begun = peers
            self._length = 0
        self._length += 1
        good, failed = peers.good - begun.good, peers.failed - begun.failed
        asked = good + failed
        if asked < _LEAST:
            return "own" if self._length >= _LONG or limit <= _SHORT else "shared"
        if failed * 100 > _COMMON_PERCENT * asked:
            return "common"
        return "own" if failed * 100 <= _OWN_PERCENT * asked else "shared"
