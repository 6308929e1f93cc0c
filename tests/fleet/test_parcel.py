"""What is packed here is unpacked there, whole or as a change."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fleet.fakes import snapshot
from veloflux.core.model.address import Address
from veloflux.core.model.traffic import Backend, Pool, Route, Snapshot
from veloflux.fleet.messages import Down, Pools, Prepare, Routes, Same, read_down
from veloflux.fleet.parcel import Frames, Unpacking, pack

BOUNDS = st.one_of(st.none(), st.integers(1, 3))
# Few of them, so that many are the same before and after.
ROUTES = st.lists(
    st.builds(Route, id=st.sampled_from("abcdefghij"), max_body_bytes=BOUNDS),
    unique_by=lambda route: route.id,
).map(tuple)

POOLS = st.lists(
    st.builds(
        Pool,
        name=st.sampled_from("abcdef"),
        backends=st.just((Backend(Address("127.0.0.1", 9001)),)),
        panic_percent=st.integers(1, 3),
    ),
    unique_by=lambda pool: pool.name,
).map(tuple)
SNAPSHOTS = st.tuples(POOLS, ROUTES)


def with_parts(version: int, parts: tuple[tuple[Pool, ...], tuple[Route, ...]]) -> Snapshot:
    pools, routes = parts
    return replace(snapshot(version), pools=pools, routes=routes)


def with_routes(version: int, routes: tuple[Route, ...]) -> Snapshot:
    return with_parts(version, ((), routes))


def many(count: int) -> tuple[Route, ...]:
    return tuple(Route(id=str(number)) for number in range(count))


def read(frames: Frames) -> list[Down]:
    return [read_down(frame) for frame in frames]


def unpack(unpacking: Unpacking, frames: Frames) -> Snapshot:
    """What a worker makes of them."""
    *parts, last = read(frames)
    for part in parts:
        assert isinstance(part, Pools | Routes | Same)
        unpacking.add(part)
    assert isinstance(last, Prepare)
    return unpacking.take(last.snapshot)


class Parcels(SynchronousTestCase):
    @given(SNAPSHOTS, SNAPSHOTS)
    def test_arrive_as_they_were_sent(
        self,
        before: tuple[tuple[Pool, ...], tuple[Route, ...]],
        after: tuple[tuple[Pool, ...], tuple[Route, ...]],
    ) -> None:
        one, two = with_parts(1, before), with_parts(2, after)
        first, second = pack(one, None), pack(two, one)
        unpacking = Unpacking()
        served = unpack(unpacking, first.frames(0))
        self.assertEqual(served, one)
        unpacking.commit()
        found = unpack(unpacking, second.frames(1))
        self.assertEqual(found, two)
        for was, now in ((served.pools, found.pools), (served.routes, found.routes)):
            for each in now:
                # What has not changed is the same object, by which a worker sees that.
                self.assertEqual(each in was, any(each is other for other in was))
        # What was not committed does not count.
        self.assertEqual(unpack(unpacking, second.frames(1)), two)
        self.assertEqual(unpack(Unpacking(), second.frames(0)), two)

    def test_routes_come_in_pieces(self) -> None:
        sizes = [
            len(part.routes) for part in read(pack(with_routes(1, many(600)), None).whole[:-1])
        ]
        self.assertEqual(sizes, [250, 250, 100])

    def test_one_change_among_many_is_little(self) -> None:
        routes = list(many(1000))
        before = with_routes(1, tuple(routes))
        routes[500] = Route(id="500", max_body_bytes=1)
        parcel = pack(with_routes(2, tuple(routes)), before)
        self.assertEqual(
            read(parcel.frames(1))[:-1],
            [Same("routes", 0, 500), Routes((routes[500],)), Same("routes", 501, 499)],
        )

    def test_so_is_one_less_and_one_more(self) -> None:
        routes = many(1000)
        before = with_routes(1, routes)
        less = pack(with_routes(2, routes[:10] + routes[11:]), before)
        self.assertEqual(
            read(less.frames(1))[:-1], [Same("routes", 0, 10), Same("routes", 11, 989)]
        )
        new = Route(id="new")
        more = pack(with_routes(2, (new, *routes)), before)
        self.assertEqual(read(more.frames(1))[:-1], [Routes((new,)), Same("routes", 0, 1000)])

    def test_who_serves_by_another_version_gets_all(self) -> None:
        before = with_routes(4, many(10))
        parcel = pack(with_routes(6, many(10)), before)
        self.assertEqual(parcel.frames(4), parcel.change)
        for version in (0, 3, 5):
            self.assertEqual(parcel.frames(version), parcel.whole)
        first = pack(before, None)
        self.assertEqual(first.frames(0), first.whole)
