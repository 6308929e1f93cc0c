"""C1, C2: whatever is read, there is a node or an error that says why."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.config.files import FILE
from veloflux.config.load import read
from veloflux.config.problem import ConfigError, Problem
from veloflux.core.model.node import Node


def usable(content: bytes) -> Node | tuple[Problem, ...]:
    """What the property is about: a node or problems, and nothing else."""
    try:
        return read(content, FILE, {}).node
    except ConfigError as error:
        assert error.problems
        return error.problems


_KEYS = st.sampled_from(
    (
        *("workers", "data_dir", "admin", "address", "username", "password", "tls", "listeners"),
        *("name", "protocol", "pool", "limits", "max_headers", "max_body_bytes", "pools", "on"),
        *("algorithm", "backends", "weight", "labels", "health_check", "path", "interval", "to"),
        *("expected_status", "timeouts", "connect", "total", "retries", "routes", "id", "host"),
        *("path_prefix", "methods", "headers", "request_headers", "set", "add", "remove", "level"),
        *("redirect", "status", "logging", "access", "circuit_breaker", "sticky_sessions"),
        *("slow_start", "trusted_proxies", "max_connections", "metrics", "allow", "deny"),
        *("outlier_detection", "base_ejection", "statuses", "backoff", "attempts", "hash_on"),
        *("cookie", "ttl", "window", "error_percent", "proxy_protocol", "panic_percent", "queue"),
        *("rate_limit", "requests_per_second", "burst", "key", "cors", "origins", "credentials"),
        *("mirror", "percent", "compression", "codings", "types", "min_bytes", "max_age"),
    )
)
_VALUES: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 70000),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(
        ("127.0.0.1:80", "app", "*", "/", "tcp", "5s", "0s", "1KiB", "GET", "${A}", "${A:-1}",
         "least_conn", "200-399", "header:X", "gzip", "text/*", "v2", "::/0",
         "https://a/", "10.0.0.0/8", "refused", "unix:/a")
    ),
)  # fmt: skip
_TREES = st.recursive(
    _VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=20,
)


class Anything(SynchronousTestCase):
    """C1, C2: whatever is read, there is a node or an error that says why."""

    @given(st.binary(max_size=200))
    def test_bytes(self, content: bytes) -> None:
        self.assertIsNotNone(usable(content))

    @given(st.text(max_size=200))
    def test_text(self, text: str) -> None:
        self.assertIsNotNone(usable(text.encode(errors="surrogatepass")))

    @given(st.dictionaries(_KEYS, _TREES, max_size=5))
    def test_trees_of_known_keys(self, tree: dict[str, Any]) -> None:
        self.assertIsNotNone(usable(json.dumps(tree).encode()))

    @given(
        st.dictionaries(_KEYS, _TREES, max_size=3),
        st.sampled_from(("listeners", "pools", "routes", "backends", "")),
    )
    def test_a_file_with_one_part_gone_wrong(self, keys: dict[str, Any], where: str) -> None:
        tree: dict[str, Any] = {
            "listeners": [{"address": "127.0.0.1:8080"}],
            "pools": [{"name": "app", "backends": [{"address": "127.0.0.1:9001"}]}],
            "routes": [{"pool": "app"}],
        }
        part = tree[where][0] if where in tree else tree
        (tree["pools"][0]["backends"][0] if where == "backends" else part).update(keys)
        result = usable(json.dumps(tree).encode())
        if isinstance(result, tuple):
            for problem in result:
                self.assertEqual((problem.file, problem.line), (FILE, 1))
