from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.traffic import Route
from veloflux.core.policy.route import Table


def no_field(name: bytes) -> bytes | None:
    return None


def table(*routes: Route) -> Table[str]:
    return Table((route, route.id) for route in routes)


class HostTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = table(
            Route("any"),
            Route("suffix", host="*.example.org"),
            Route("longer", host="*.eu.example.org"),
            Route("exact", host="www.Example.org."),
        )

    def find(self, host: bytes) -> str | None:
        return self.table.find(host, b"/x", b"GET", no_field)

    def test_prefers_the_exact_host(self) -> None:
        self.assertEqual(self.find(b"www.example.org"), "exact")

    def test_prefers_the_longest_suffix(self) -> None:
        self.assertEqual(self.find(b"a.eu.example.org"), "longer")
        self.assertEqual(self.find(b"eu.example.org"), "suffix")

    def test_a_wildcard_stands_for_several_labels(self) -> None:
        self.assertEqual(self.find(b"a.b.c.example.org"), "suffix")

    def test_a_wildcard_stands_for_at_least_one_label(self) -> None:
        self.assertEqual(self.find(b"example.org"), "any")
        self.assertEqual(self.find(b".example.org"), "any")

    def test_a_suffix_is_made_of_whole_labels(self) -> None:
        self.assertEqual(self.find(b"wwwexample.org"), "any")

    def test_other_hosts_get_the_route_for_any(self) -> None:
        self.assertEqual(self.find(b"example.net"), "any")
        self.assertEqual(self.find(b""), "any")

    def test_refuses_a_host_that_no_request_can_have(self) -> None:
        self.assertRaises(ValueError, table, Route("r", host="bücher.example"))


class PathTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.table = table(
            Route("root"), Route("api", path_prefix="/api/"), Route("v1", path_prefix="/api/v1")
        )

    def find(self, path: bytes) -> str | None:
        return self.table.find(b"example.org", path, b"GET", no_field)

    def test_a_prefix_matches_itself_and_what_is_below(self) -> None:
        for path in (b"/api", b"/api/", b"/api/x", b"/api/v2/" + b"x" * 100):
            self.assertEqual(self.find(path), "api", path)

    def test_a_prefix_matches_whole_segments(self) -> None:
        self.assertEqual(self.find(b"/apix"), "root")
        self.assertEqual(self.find(b"/api/v10"), "api")

    def test_prefers_the_longest_prefix(self) -> None:
        for path in (b"/api/v1", b"/api/v1/", b"/api/v1/x/y"):
            self.assertEqual(self.find(path), "v1", path)

    def test_the_root_matches_what_has_no_slash(self) -> None:
        self.assertEqual(self.find(b"*"), "root")

    def test_nothing_matches_without_a_root(self) -> None:
        routes = table(Route("api", path_prefix="/api"))
        self.assertIsNone(routes.find(b"", b"/", b"GET", no_field))
        self.assertIsNone(table().find(b"", b"/", b"GET", no_field))


class ConditionTests(SynchronousTestCase):
    def test_passes_over_another_method(self) -> None:
        routes = table(
            Route("read", path_prefix="/api", methods=("GET", "HEAD")),
            Route("write", methods=("PUT",)),
        )
        self.assertEqual(routes.find(b"", b"/api", b"GET", no_field), "read")
        self.assertEqual(routes.find(b"", b"/api", b"PUT", no_field), "write")
        self.assertIsNone(routes.find(b"", b"/api", b"POST", no_field))

    def test_a_lone_route_for_everything_still_asks_for_its_method(self) -> None:
        self.assertIsNone(table(Route("r", methods=("PUT",))).find(b"", b"/", b"GET", no_field))

    def test_asks_for_every_header(self) -> None:
        routes = table(Route("beta", headers=(("X-Beta", "yes"), ("X-Team", "a"))), Route("all"))
        fields = {b"x-beta": b"yes"}
        self.assertEqual(routes.find(b"", b"/", b"GET", fields.get), "all")
        fields[b"x-team"] = b"b"
        self.assertEqual(routes.find(b"", b"/", b"GET", fields.get), "all")
        fields[b"x-team"] = b"a"
        self.assertEqual(routes.find(b"", b"/", b"GET", fields.get), "beta")

    def test_goes_on_to_a_less_specific_host(self) -> None:
        routes = table(
            Route("exact", host="a.example.org", path_prefix="/api"),
            Route("suffix", host="*.example.org", methods=("PUT",)),
            Route("any"),
        )
        self.assertEqual(routes.find(b"a.example.org", b"/", b"PUT", no_field), "suffix")
        self.assertEqual(routes.find(b"a.example.org", b"/", b"GET", no_field), "any")

    def test_the_order_decides_between_equals(self) -> None:
        routes = table(Route("first", path_prefix="/a"), Route("second", path_prefix="/a/"))
        self.assertEqual(routes.find(b"", b"/a", b"GET", no_field), "first")


class SizeTests(SynchronousTestCase):
    def test_searches_as_little_among_many_routes_as_among_few(self) -> None:
        routes = table(
            *(Route(f"{h}/{p}", f"h{h}.example", f"/p{p}") for h, p in product(range(99), range(9)))
        )
        routes.add(Route("conditional", "h7.example", "/p7/x", headers=(("x", "y"),)), "c")
        asked: list[bytes] = []

        def field(name: bytes) -> bytes | None:
            asked.append(name)
            return None

        self.assertEqual(len(routes), 99 * 9 + 1)
        self.assertEqual(routes.find(b"h98.example", b"/p8/z", b"GET", field), "98/8")
        self.assertEqual(asked, [])
        self.assertEqual(routes.find(b"h7.example", b"/p7/x/y", b"GET", field), "7/7")
        self.assertEqual(asked, [b"x"])

    def test_looks_up_one_cut_for_each_length_of_a_prefix(self) -> None:
        cuts: list[object] = []

        class Path(bytes):
            def __getitem__(self, key: Any) -> Any:
                if isinstance(key, slice):
                    cuts.append(key.stop)
                return super().__getitem__(key)

        routes = table(Route("a", path_prefix="/abc"), Route("b", path_prefix="/d"), Route("root"))
        self.assertEqual(routes.find(b"", Path(b"/" * 8000), b"GET", no_field), "root")
        self.assertEqual(cuts, [4, 2])


labels = st.sampled_from(["a", "b", "c"])
names = st.lists(labels, min_size=1, max_size=4).map(".".join)
hosts = st.one_of(st.just("*"), names, names.map("*.".__add__))
segments = st.lists(st.sampled_from(["x", "xy", "y"]), max_size=4)
prefixes = segments.map(lambda s: "/" + "/".join(s))
methods = st.lists(st.sampled_from(["GET", "PUT"]), max_size=2, unique=True).map(tuple)
headers = st.lists(st.tuples(st.sampled_from("hi"), st.sampled_from("01")), max_size=2).map(tuple)


def _matches(route: Route, host: str, path: str, method: str, fields: dict[str, str]) -> bool:
    if route.host.startswith("*."):
        if not host.endswith(route.host[1:]) or len(host) < len(route.host):
            return False
    elif route.host not in ("*", host):
        return False
    prefix = route.path_prefix.rstrip("/")
    return (
        (path == prefix or path.startswith(prefix + "/"))
        and (not route.methods or method in route.methods)
        and all(fields.get(name) == value for name, value in route.headers)
    )


def _rank(route: Route) -> tuple[int, int, int]:
    kind = 0 if route.host == "*" else 1 if route.host.startswith("*.") else 2
    return (kind, len(route.host), len(route.path_prefix.rstrip("/")))


class OracleTests(SynchronousTestCase):
    @given(
        st.lists(st.tuples(hosts, prefixes, methods, headers), max_size=8),
        names,
        st.tuples(prefixes, st.sampled_from(["", "/"])).map("".join),
        st.sampled_from(["GET", "PUT", "POST"]),
        st.dictionaries(st.sampled_from("hi"), st.sampled_from("01")),
    )
    def test_finds_what_a_search_through_all_routes_finds(
        self,
        rows: list[tuple[str, str, tuple[str, ...], tuple[tuple[str, str], ...]]],
        host: str,
        path: str,
        method: str,
        fields: dict[str, str],
    ) -> None:
        routes = [
            Route(str(index), host=h, path_prefix=p, methods=m, headers=f)
            for index, (h, p, m, f) in enumerate(rows)
        ]
        matching = [route for route in routes if _matches(route, host, path, method, fields)]
        # `max` keeps the first of equals.
        expected = max(matching, key=_rank).id if matching else None

        def field(name: bytes) -> bytes | None:
            value = fields.get(name.decode())
            return None if value is None else value.encode()

        found = table(*routes).find(host.encode(), path.encode(), method.encode(), field)
        self.assertEqual(found, expected)
