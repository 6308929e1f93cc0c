"""ip_hash and consistent_hash: the same key, the same backend."""

from collections import Counter
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.core.policy.balance.server import Server, keys, no_luck
from veloflux.core.model.traffic import Algorithm
from veloflux.core.policy.balance.algorithms import KEYED, PICKERS
from veloflux.core.policy.balance.consistent_hash import ConsistentHash, _points, rehearse
from veloflux.core.policy.balance.digest import digest, words
from veloflux.core.policy.balance.ip_hash import IpHash

keyed = st.sampled_from(sorted(KEYED))
some_weights = st.lists(st.integers(1, 8), min_size=2, max_size=8)
KEYS = list(keys(400))


def named(*weights: int) -> list[Server]:
    return [Server(f"10.0.0.{i}:80", weight=weight) for i, weight in enumerate(weights)]


def owners(name: Algorithm, servers: list[Server], all_keys: list[bytes]) -> list[Server | None]:
    picker = PICKERS[name](servers, no_luck)
    return [picker.pick((), key) for key in all_keys]


class KeyedTests(SynchronousTestCase):
    @given(keyed, some_weights, st.randoms(), st.binary(min_size=1))
    def test_every_worker_finds_the_same(
        self, name: Algorithm, weights: list[int], chance: Random, key: bytes
    ) -> None:
        """Whatever its luck, whatever it did before, in whatever order the backends are listed."""
        servers = named(*weights)
        shuffled = servers[:]
        chance.shuffle(shuffled)
        picker = PICKERS[name](shuffled, chance.random)
        picker.pick((), b"another")
        first = PICKERS[name](servers, no_luck).pick((), key)
        self.assertIs(picker.pick((), key), first)
        self.assertIs(picker.pick((), key), first)

    def test_finds_the_same_in_every_version(self) -> None:
        """A rolling upgrade must not move everybody: these are fixed for good."""
        servers = named(1, 2, 3)
        found = {
            name: "".join(s.name[7] for s in owners(name, servers, KEYS[:20]) if s)
            for name in sorted(KEYED)
        }
        fixed = {"consistent_hash": "22220021202111122112", "ip_hash": "12112122221221122202"}
        self.assertEqual(found, fixed)

    @given(keyed, some_weights, st.data())
    def test_who_leaves_takes_only_its_own_keys_along(
        self, name: Algorithm, weights: list[int], draw: st.DataObject
    ) -> None:
        servers = named(*weights)
        gone = draw.draw(st.sampled_from(servers))
        left = [s for s in servers if s is not gone]
        before = owners(name, servers, KEYS)
        after = owners(name, left, KEYS)
        for one, other in zip(before, after, strict=True):
            if one is not gone:
                self.assertIs(one, other)

    @given(keyed, some_weights, st.data())
    def test_an_excluded_one_is_replaced_as_if_it_were_gone(
        self, name: Algorithm, weights: list[int], draw: st.DataObject
    ) -> None:
        servers = named(*weights)
        gone = draw.draw(st.sampled_from(servers))
        picker = PICKERS[name](servers, no_luck)
        for key in KEYS[:20]:
            ranked = [s for s, _ in sorted(picker.scores(key), key=lambda each: each[1])]
            self.assertIs(picker.pick((), key), ranked[0])
            ranked.remove(gone)
            self.assertIs(picker.pick([gone], key), ranked[0])

    def test_keys_are_shared_by_weight(self) -> None:
        weights = (1, 2, 4, 4, 8)
        servers = named(*weights)
        many = list(keys(20_000))
        for name, within in (("ip_hash", 0.1), ("consistent_hash", 0.25)):
            counts = Counter(owners(name, servers, many))
            for server in servers:
                due = 20_000 * server.weight / sum(weights)
                self.assertLess(abs(counts[server] / due - 1), within, f"{name} {server}")

    def test_a_weight_that_grows_only_takes(self) -> None:
        for name in sorted(KEYED):
            servers = named(100, 10, 100)
            before = owners(name, servers, KEYS)
            servers[1].weight = 60
            after = owners(name, servers, KEYS)
            moved = {other for one, other in zip(before, after, strict=True) if one is not other}
            self.assertEqual(moved, {servers[1]}, name)

    def test_without_a_key_everybody_gets_a_share(self) -> None:
        for name in sorted(KEYED):
            servers = named(1, 3)
            picker = PICKERS[name](servers, Random(1).random)
            picks = Counter(picker.pick() for _ in range(4000))
            self.assertLess(abs(picks[servers[0]] - 1000), 120, name)
            self.assertEqual(picker.scores(), [], name)

    def test_nobody_has_a_key_where_nobody_is(self) -> None:
        for name in sorted(KEYED):
            for servers in ([], named(0)):
                picker = PICKERS[name](servers, no_luck)
                self.assertIsNone(picker.pick((), b"k"))
                self.assertEqual(picker.scores(b"k"), [])


class IpHashTests(SynchronousTestCase):
    def test_remembers_a_bounded_number_of_short_keys(self) -> None:
        picker = IpHash(named(1, 1), no_luck)
        for key in keys(5000):
            picker.pick((), key)
        picker.pick((), b"k" * 10_000)
        self.assertLessEqual(len(picker._kept), 4096)
        self.assertLess(max(map(len, picker._kept)), 100)


class RingTests(SynchronousTestCase):
    @given(st.lists(st.integers(0, 20), max_size=12), st.integers(0, 1 << 64))
    def test_is_that_of_all_points_in_order(self, weights: list[int], key: int) -> None:
        """However it is put together, and wherever one begins to go round."""
        servers = named(*weights)
        octave = 8 if max(weights, default=0) <= 8 else 16 if max(weights) <= 16 else 32
        ring = sorted(
            (point, place)
            for place, server in enumerate(sorted(servers, key=lambda each: each.name))
            if server.weight
            for point in words(server.name.encode(), max(1, 512 * server.weight // octave))
        )
        text = b"%d" % key
        start = digest(text) >> 32
        after = [place for point, place in ring if point >= start] + [place for _, place in ring]
        by_name = sorted(servers, key=lambda each: each.name)
        expected = [by_name[place] for place in dict.fromkeys(after)]
        picker = ConsistentHash(servers, no_luck)
        self.assertEqual([server for server, _ in picker.scores(text)], expected)
        self.assertIs(picker.pick((), text), expected[0] if expected else None)

    def test_a_rehearsal_leaves_nothing_to_compute(self) -> None:
        weights = {f"10.1.0.{place}:80": place % 3 for place in range(9)}
        steps = len(list(rehearse(weights)))
        self.assertEqual(steps, 6)
        before = _points.cache_info().misses
        ConsistentHash([Server(name, weight=each) for name, each in weights.items()], no_luck)
        self.assertEqual(_points.cache_info().misses, before)


class BoundedLoadTests(SynchronousTestCase):
    @given(
        st.lists(st.tuples(st.integers(1, 9), st.integers(0, 30)), min_size=1, max_size=8),
        st.lists(st.sampled_from(KEYS[:5]), max_size=40),
        st.data(),
    )
    def test_nobody_gets_more_than_its_bound(
        self, shares: list[tuple[int, int]], asked: list[bytes], draw: st.DataObject
    ) -> None:
        """Theorem: at most the ceiling of 1.25 times the mean, whatever the loads are."""
        servers = named(*(weight for weight, _ in shares))
        for server, (_, load) in zip(servers, shares, strict=True):
            server.load = load
        picker = ConsistentHash(servers, no_luck)
        excluded = draw.draw(st.sets(st.sampled_from(servers), max_size=len(servers) - 1))
        able = [s for s in servers if s not in excluded]
        for key in asked:
            picked = picker.pick(excluded, key)
            assert picked is not None
            picked.load += 1
            total, weight = sum(s.load for s in able), sum(s.weight for s in able)
            bound = -(-5 * total * picked.weight // (4 * weight))
            self.assertLessEqual(picked.load, bound)

    def test_a_key_that_everybody_asks_for_spreads(self) -> None:
        servers = named(1, 1, 1, 1)
        picker = ConsistentHash(servers, no_luck)
        for _ in range(100):
            picked = picker.pick((), b"hot")
            assert picked is not None
            picked.load += 1
        self.assertEqual(sorted(s.load for s in servers), [6, 31, 31, 32])

    def test_a_key_returns_to_its_owner(self) -> None:
        servers = named(1, 1, 1)
        picker = ConsistentHash(servers, no_luck)
        owner = picker.pick((), b"k")
        assert owner is not None
        owner.load = 3
        self.assertIsNot(picker.pick((), b"k"), owner)
        self.assertGreater(dict(picker.scores(b"k"))[owner], 1.0)
        owner.load = 0
        self.assertIs(picker.pick((), b"k"), owner)


class DigestTests(SynchronousTestCase):
    def test_depends_on_the_text_alone(self) -> None:
        """Numbers that were computed once, in another process."""
        self.assertEqual(digest(b"198.51.100.7"), 6406290332686587087)
        self.assertEqual(words(b"10.0.0.1:80", 2), [3035663294, 1135500769])

    @given(st.binary(), st.integers(0, 300), st.integers(0, 300))
    def test_fewer_words_are_the_beginning_of_more(self, text: bytes, few: int, more: int) -> None:
        few, more = sorted((few, more))
        self.assertEqual(words(text, more)[:few], words(text, few))
        self.assertEqual(len(words(text, more)), more)
