"""The form in which counts travel: increases since they were last taken, and gauges as now.

Whatever counts something says so itself, with `take`; what is taken starts again from nothing.
"""

from collections.abc import Iterator

from veloflux.core.model.metrics import Distribution, Family, Sample, sparse
from veloflux.edge.histogram import Histogram

Counted = Iterator[Sample | Distribution]

# By the first digit of a status; 0 is for no answer.
CODE_CLASSES = ("none", "1xx", "2xx", "3xx", "4xx", "5xx")


def gauge(family: Family, labels: tuple[str, ...], value: float) -> Sample:
    """A value as it is now; one that is true or false too, which no message takes for a number."""
    return Sample(family.name, labels, float(value))


def increase(family: Family, labels: tuple[str, ...], count: float) -> Counted:
    """A counter's sample, unless nothing was counted."""
    if count:
        yield Sample(family.name, labels, count)


def by_class(family: Family, labels: tuple[str, ...], answers: list[int]) -> Counted:
    """Samples of answers counted by CODE_CLASSES, whose label comes last."""
    for code_class, count in zip(CODE_CLASSES, answers, strict=True):
        yield from increase(family, (*labels, code_class), count)


def distribution(family: Family, labels: tuple[str, ...], histogram: Histogram) -> Counted:
    """What a histogram observed, unless that is nothing."""
    if any(histogram.counts):
        counts, total = histogram.take()
        yield Distribution(family.name, labels, sparse(counts), total)
