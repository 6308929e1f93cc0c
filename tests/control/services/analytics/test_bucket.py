"""Buckets of time: sums that lose nothing."""

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.control.services.analytics.bucket import (
    MAX_NAMES,
    OTHER,
    Bucket,
    Cell,
    decode,
    encode,
)

counts = st.integers(0, 1000)
cells = st.builds(
    Cell,
    answers=st.lists(counts, min_size=6, max_size=6),
    bytes_in=counts,
    bytes_out=counts,
    seconds=st.integers(0, 1000).map(float),
    latency=st.dictionaries(st.integers(0, 61), st.integers(1, 100), max_size=5),
)


@st.composite
def buckets(draw: st.DrawFn) -> Bucket:
    bucket = Bucket(60 * draw(st.integers(0, 300)), float(draw(counts)), draw(cells))
    for name in draw(st.lists(st.sampled_from("abcdefgh"), max_size=8)):
        bucket.cell("route", name).add(draw(cells))
    return bucket


def summed(*several: Bucket) -> Bucket:
    whole = Bucket(0)
    for bucket in several:
        whole.add(bucket)
    return whole


# A starved machine is no fault.


class BucketTests(SynchronousTestCase):
    @given(st.lists(buckets(), max_size=6), st.integers(0, 6))
    def test_sums_are_the_same_however_they_are_split(self, found: list[Bucket], at: int) -> None:
        halves = summed(summed(*found[:at]), summed(*found[at:]))
        self.assertEqual(halves, summed(*found))

    @given(buckets(), buckets())
    def test_sums_do_not_depend_on_the_order(self, one: Bucket, other: Bucket) -> None:
        self.assertEqual(summed(one, other), summed(other, one))

    @given(buckets())
    def test_is_read_as_it_was_written(self, bucket: Bucket) -> None:
        self.assertEqual(decode(encode(bucket)), bucket)

    @given(buckets(), st.integers(2, 9))
    def test_a_cap_loses_no_count_and_keeps_the_busiest(self, bucket: Bucket, most: int) -> None:
        before = {name: cell.requests for name, cell in bucket.groups["route"].items()}
        whole = Cell()
        for cell in bucket.groups["route"].values():
            whole.add(cell)
        bucket.cap(most)
        after = bucket.groups["route"]
        self.assertLessEqual(len(after), most)
        again = Cell()
        for cell in after.values():
            again.add(cell)
        self.assertEqual(again, whole)
        if OTHER in after:
            least = min([after[name].requests for name in after if name != OTHER])
            gone = [requests for name, requests in before.items() if name not in after]
            self.assertTrue(all(requests <= least for requests in gone))

    def test_counts_as_other_what_has_no_place(self) -> None:
        bucket = Bucket(0)
        for number in range(MAX_NAMES + 5):
            bucket.cell("route", str(number)).bytes_in += 1
        group = bucket.groups["route"]
        self.assertEqual(len(group), MAX_NAMES + 1)
        self.assertEqual(group[OTHER].bytes_in, 5)

    def test_adding_changes_nothing_but_the_sum(self) -> None:
        part = Bucket(60)
        part.cell("route", "a").latency[3] = 1
        whole = summed(part)
        whole.add(part)
        self.assertEqual(part.groups["route"]["a"].latency, {3: 1})
        self.assertEqual(whole.groups["route"]["a"].latency, {3: 2})
