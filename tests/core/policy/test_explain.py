from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.policies import Cors
from veloflux.core.model.traffic import Route
from veloflux.core.policy.explain import explain
from veloflux.core.policy.route import Table

Field = Callable[[bytes], bytes | None]

ROUTES = st.builds(
    Route,
    id=st.just(""),
    host=st.sampled_from(("*", "a.example", "*.example", "*.a.example", "b.example")),
    path_prefix=st.sampled_from(("/", "/x", "/x/", "/x/y", "/xy")),
    methods=st.sampled_from(((), ("GET",), ("POST", "PUT"), ("OPTIONS",))),
    headers=st.sampled_from(((), (("X-V", "1"),), (("X-V", "2"), ("X-W", "1")))),
    cors=st.sampled_from((None, Cors(("*",)))),
)
REQUESTS = st.tuples(
    st.sampled_from((b"a.example", b"b.a.example", b"b.example", b"c.example", b"")),
    st.sampled_from((b"/", b"/x", b"/x/y/z", b"/xyz", b"*")),
    st.sampled_from((b"GET", b"POST", b"OPTIONS")),
    st.dictionaries(
        st.sampled_from((b"x-v", b"x-w", b"access-control-request-method")),
        st.sampled_from((b"1", b"2", b"PUT")),
    ),
)


def table(*routes: Route) -> Table[Route]:
    return Table((route, route) for route in routes)


class Explanations(SynchronousTestCase):
    def setUp(self) -> None:
        self.routes = [
            Route("host", host="b.example"),
            Route("root"),
            Route("method", path_prefix="/x", methods=("POST",)),
            Route("header", path_prefix="/x", headers=(("X-V", "1"), ("X-W", "1"))),
            Route("taken", path_prefix="/x"),
            Route("after", path_prefix="/x"),
            Route("prefix", path_prefix="/y"),
            Route("neither", host="b.example", path_prefix="/y"),
        ]

    def test_says_of_each_near_route_why_not(self) -> None:
        found, verdicts, is_whole = explain(
            table(*self.routes), b"a.example", b"/x/1", b"GET", {b"x-v": b"1"}.get
        )
        assert found is not None
        self.assertEqual(found.id, "taken")
        self.assertEqual(
            [(each.target.id, each.why_not, each.header) for each in verdicts],
            [
                ("method", "method", ""),
                ("header", "header", "x-w"),
                ("taken", "", ""),
                ("after", "less_specific", ""),
                ("root", "less_specific", ""),
                ("prefix", "prefix", ""),
                ("host", "host", ""),
            ],
        )
        self.assertTrue(is_whole)

    def test_tells_of_so_many_at_most_and_of_the_taken_one_always(self) -> None:
        field: Field = {}.get
        _, verdicts, is_whole = explain(
            table(*self.routes), b"a.example", b"/x", b"GET", field, at_most=2
        )
        self.assertEqual([each.target.id for each in verdicts], ["method", "header", "taken"])
        self.assertFalse(is_whole)

    def test_a_route_for_a_page_s_question_is_told_of_once(self) -> None:
        route = Route("r", methods=("GET", "PUT"), cors=Cors(("*",)))
        asked: Field = {b"access-control-request-method": b"PUT"}.get
        found, verdicts, _ = explain(table(route), b"a", b"/", b"OPTIONS", asked)
        self.assertIs(found, route)
        self.assertEqual([each.why_not for each in verdicts], [""])
        found, verdicts, _ = explain(table(route), b"a", b"/", b"OPTIONS", {}.get)
        self.assertIsNone(found)
        self.assertEqual([each.why_not for each in verdicts], ["method"])

    @given(st.lists(ROUTES, max_size=12), REQUESTS, st.integers(1, 15))
    def test_agrees_with_what_is_done(
        self,
        routes: list[Route],
        request: tuple[bytes, bytes, bytes, dict[bytes, bytes]],
        at_most: int,
    ) -> None:
        # Each its own object, though they may be equal.
        targets = [[route] for route in routes]
        table = Table((target[0], target) for target in targets)
        host, path, method, fields = request
        taken = table.find(host, path, method, fields.get)
        found, verdicts, _ = explain(table, host, path, method, fields.get, at_most)
        self.assertIs(found, taken)
        self.assertEqual(
            [each.target for each in verdicts if not each.why_not],
            [] if taken is None else [taken],
        )
        self.assertLessEqual(len(verdicts), at_most + 1)
        self.assertEqual(len({id(each.target) for each in verdicts}), len(verdicts))


class Questions(SynchronousTestCase):
    """CORS: an OPTIONS that asks for a route by the method to come."""

    def find(self, method: bytes, *routes: Route) -> str | None:
        asked: Field = {b"access-control-request-method": method}.get
        found = table(*routes).find(b"a", b"/", b"OPTIONS", asked)
        return None if found is None else found.id

    def test_a_route_is_found_by_the_method_to_come(self) -> None:
        get = Route("get", methods=("GET",), cors=Cors(("*",)))
        put = Route("put", methods=("PUT", "POST"), cors=Cors(("*",)))
        for method, expected in ((b"GET", "get"), (b"PUT", "put"), (b"POST", "put")):
            self.assertEqual(self.find(method, get, put), expected)
        self.assertIsNone(self.find(b"DELETE", get, put))

    def test_a_route_that_says_nothing_of_other_origins_is_not(self) -> None:
        self.assertIsNone(self.find(b"GET", Route("get", methods=("GET",))))
