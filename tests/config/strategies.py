"""Nodes as a configuration file can make them, for properties."""

from dataclasses import replace
from typing import get_args

from hypothesis import assume
from hypothesis import strategies as st

from veloflux.core.model.address import Address
from veloflux.core.model.node import Admin, Node
from veloflux.core.model.policies import Compression, Cors, Mirror, RateLimit
from veloflux.core.model.resilience import (
    CircuitBreaker,
    OutlierDetection,
    Retries,
    StickySessions,
)
from veloflux.core.model.traffic import (
    AccessLog,
    Algorithm,
    Backend,
    BackendNetworks,
    HeaderEdits,
    HealthCheck,
    Keepalive,
    Limits,
    Listener,
    Pool,
    Redirect,
    Route,
    Share,
    Snapshot,
    Timeouts,
)
from veloflux.core.policy.reach import Reach

percents = st.integers(0, 100)
networks = st.sets(st.sampled_from(("10.0.0.0/8", "192.0.2.7/32", "fd00::/8", "0.0.0.0/0"))).map(
    tuple
)

seconds = st.integers(1, 720 * 3600 * 1000).map(lambda ms: ms / 1000)
sizes = st.one_of(st.integers(1, 2**53 - 1), st.integers(1, 4096).map(lambda n: n << 10))
names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
titles = st.from_regex(r"[!-~]{1,30}", fullmatch=True)
texts = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff"), max_size=20
)
filled = texts.filter(bool)
tokens = st.from_regex(r"X-[A-Za-z0-9]{1,10}", fullmatch=True)
values = st.from_regex(r"(?:[!-~](?:[ \t!-~]{0,20}[!-~])?)?", fullmatch=True)
fields = st.lists(
    st.tuples(tokens, values), max_size=3, unique_by=lambda field: field[0].lower()
).map(tuple)
paths = st.from_regex(r"(?:/[a-z0-9_-]{1,8}){0,3}/?", fullmatch=True).map(lambda p: p or "/")
hosts = st.one_of(
    st.just("*"),
    st.from_regex(r"(?:\*\.)?[a-z0-9]{1,8}(?:\.[a-z]{2,5}){1,2}", fullmatch=True),
)


@st.composite
def addresses(draw: st.DrawFn) -> Address:
    host = draw(st.sampled_from(("127.0.0.1", "::1", "app.internal", "10.0.0.7")))
    inet = st.builds(Address, st.just(host), st.integers(1, 65535))
    return draw(inet | st.from_regex(r"/[a-z0-9/ ]{1,30}", fullmatch=True).map(_unix))


def _unix(path: str) -> Address:
    return Address(path=path)


limits = st.builds(
    Limits,
    max_connections=st.integers(1, 10**6),
    max_connections_per_ip=st.integers(0, 10**6),
    max_headers=st.integers(1, 1000),
    max_header_bytes=st.integers(1024, 1 << 20),
    max_target_bytes=st.integers(64, 1 << 18),
    max_body_bytes=sizes | st.just(0),
    header_timeout_s=seconds,
    body_timeout_s=seconds,
    min_body_rate=sizes,
    keepalive_timeout_s=seconds,
    write_timeout_s=seconds,
)
edits = st.builds(
    HeaderEdits,
    set=fields,
    add=fields,
    remove=st.lists(tokens, max_size=2, unique_by=str.lower).map(tuple),
)
checks = st.builds(
    HealthCheck,
    type=st.sampled_from(("http", "tcp")),
    path=st.sampled_from(("/health", "/?deep=1")),
    interval_s=st.integers(10, 10**6).map(lambda ms: ms / 1000),
    timeout_s=seconds,
    rise=st.integers(1, 100),
    fall=st.integers(1, 100),
    expected_status=st.lists(
        st.tuples(st.integers(100, 300), st.integers(300, 599)), min_size=1, max_size=3
    ).map(tuple),
)
backends = st.builds(
    Backend,
    address=addresses(),
    weight=st.integers(0, 1000),
    max_connections=st.integers(0, 10**6),
    backup=st.booleans(),
    enabled=st.booleans(),
    labels=st.dictionaries(filled, texts, max_size=3),
)


outliers = st.builds(
    OutlierDetection,
    consecutive_failures=st.integers(1, 10_000),
    interval_s=st.integers(100, 10**6).map(lambda ms: ms / 1000),
    success_rate_margin=st.integers(1, 100),
    min_requests=st.integers(1, 10**6),
    base_ejection_s=seconds,
    max_ejection_s=seconds,
    max_ejected_percent=percents,
)
retries = st.builds(
    Retries,
    attempts=st.integers(0, 10),
    budget_percent=percents,
    min_per_second=st.integers(0, 10_000),
    on=st.permutations(("connect_failure", "refused", "reset_before_response")).flatmap(
        lambda causes: st.integers(0, 3).map(lambda n: tuple(causes[:n]))
    ),
    statuses=st.sets(st.integers(500, 599) | st.just(429), max_size=3).map(tuple),
    backoff_s=seconds | st.just(0.0),
    max_backoff_s=seconds | st.just(0.0),
)
breakers = st.builds(
    CircuitBreaker,
    max_connections=st.integers(0, 10**6),
    max_pending=st.integers(0, 10**6),
    max_requests=st.integers(0, 10**6),
    error_percent=percents,
    min_requests=st.integers(1, 10**6),
    window_s=seconds,
    open_s=seconds,
    probes=st.integers(1, 1000),
)
stickies = st.builds(StickySessions, cookie=tokens, ttl_s=st.integers(1, 720 * 3600).map(float))
limits_of_rate = st.builds(
    RateLimit,
    requests_per_second=st.floats(0.001, 10**6) | st.integers(1, 100).map(float),
    burst=st.none() | st.integers(1, 10**6),
    key=st.sampled_from(("client_ip", "route")) | tokens.map("header:{}".format),
)
cross_origins = st.builds(
    Cors,
    origins=st.sets(
        st.sampled_from(("https://a.example", "http://[::1]:3000", "https://*.b.example", "null")),
        min_size=1,
    ).map(tuple),
    methods=st.sets(st.sampled_from(("GET", "PUT", "PURGE"))).map(tuple),
    headers=st.lists(tokens, max_size=2, unique_by=str.lower).map(tuple),
    expose_headers=st.lists(tokens, max_size=2, unique_by=str.lower).map(tuple),
    credentials=st.booleans(),
    max_age_s=seconds | st.just(0.0),
)
compressions = st.builds(
    Compression,
    codings=st.sampled_from((("gzip",), ("zstd",), ("zstd", "gzip"), ("gzip", "zstd"))),
    types=st.sets(st.sampled_from(("text/*", "application/json", "*/*")), min_size=1).map(tuple),
    min_bytes=sizes | st.just(0),
)


@st.composite
def pools(draw: st.DrawFn, name: str) -> Pool:
    return Pool(
        name=name,
        backends=tuple(
            draw(st.lists(backends, min_size=1, max_size=3, unique_by=lambda b: b.address))
        ),
        algorithm=draw(st.sampled_from(get_args(Algorithm))),
        hash_on=draw(st.sampled_from(("client_ip", "path")) | tokens.map("cookie:{}".format)),
        sticky_sessions=draw(st.none() | stickies),
        health_check=draw(st.none() | checks),
        outlier_detection=draw(st.none() | outliers),
        panic_percent=draw(percents),
        slow_start_s=draw(seconds | st.just(0.0)),
        timeouts=draw(
            st.builds(
                Timeouts,
                connect_s=seconds,
                first_byte_s=seconds,
                idle_s=seconds,
                total_s=seconds | st.just(0.0),
                queue_s=seconds | st.just(0.0),
            )
        ),
        retries=draw(retries),
        circuit_breaker=draw(st.none() | breakers),
        keepalive=draw(
            st.builds(Keepalive, max_idle=st.integers(0, 10**5), idle_timeout_s=seconds)
        ),
        proxy_protocol=draw(st.sampled_from((None, "v1", "v2"))),
    )


@st.composite
def routes(draw: st.DrawFn, pool_names: list[str]) -> Route:
    host, prefix = draw(hosts), draw(paths)
    redirects = st.builds(
        Redirect,
        to=st.sampled_from(("https://example.org/", "/new", "http://[::1]:8080/a?b=c")),
        status=st.sampled_from((301, 302, 303, 307, 308)),
    )
    redirect = draw(redirects) if not pool_names else draw(st.none() | redirects)
    shares = st.lists(
        st.builds(Share, st.sampled_from(pool_names or [""]), st.integers(0, 1000)),
        min_size=1,
        max_size=3,
        unique_by=lambda share: share.pool,
    ).map(tuple)
    mirrors = st.builds(
        Mirror,
        pool=st.sampled_from(pool_names or [""]),
        percent=st.floats(0, 100),
        max_requests=st.integers(1, 100_000),
        max_body_bytes=sizes | st.just(0),
    )
    return Route(
        id=draw(st.just(host + prefix) | titles),
        host=host,
        path_prefix=prefix,
        methods=tuple(draw(st.lists(st.sampled_from(("GET", "POST", "PURGE")), max_size=2))),
        headers=draw(fields),
        pools=() if redirect else draw(shares),
        strip_prefix=draw(st.booleans()),
        preserve_host=draw(st.booleans()),
        request_headers=draw(edits),
        response_headers=draw(edits),
        redirect=redirect,
        allow=draw(networks),
        deny=draw(networks),
        rate_limit=draw(st.none() | limits_of_rate),
        max_body_bytes=draw(st.none() | st.just(0) | sizes),
        websocket=draw(st.booleans()),
        security_headers=draw(st.booleans()),
        cors=draw(st.none() | cross_origins),
        mirror=draw(st.none() | mirrors) if pool_names else None,
        compression=draw(st.none() | compressions),
    )


@st.composite
def listeners(draw: st.DrawFn, pool_names: list[str]) -> Listener:
    address = draw(addresses())
    pool = draw(st.none() | st.sampled_from(pool_names)) if pool_names else None
    return Listener(
        name=draw(st.just(str(address)) | titles) if " " not in address.path else draw(titles),
        address=address,
        protocol="http" if pool is None else "tcp",
        pool=pool,
        proxy_protocol=draw(st.booleans()),
        h2c=draw(st.booleans()),
        allow=draw(networks),
        deny=draw(networks),
        trusted_proxies=tuple(draw(st.sets(st.sampled_from(("10.0.0.0/8", "fd00::/8"))))),
        limits=draw(limits),
    )


def _key(route: Route) -> object:
    return route.host, route.path_prefix.rstrip("/")


@st.composite
def snapshots(draw: st.DrawFn, taken: frozenset[Address] = frozenset()) -> Snapshot:
    pool_names = draw(st.lists(names, max_size=3, unique=True))
    found = draw(
        st.lists(
            listeners(pool_names),
            min_size=1,
            max_size=3,
            unique_by=(lambda lis: lis.name, lambda lis: lis.address),
        ).filter(lambda all: not taken.intersection(lis.address for lis in all))
    )
    return Snapshot(
        version=draw(st.integers(1, 9)),
        listeners=tuple(found),
        pools=tuple(draw(pools(name)) for name in pool_names),
        routes=tuple(
            draw(st.lists(routes(pool_names), max_size=3, unique_by=(lambda route: route.id, _key)))
        ),
        tracing=draw(st.booleans()),
        access_log=draw(
            st.none()
            | st.builds(
                AccessLog,
                path=st.sampled_from((None, "/var/log/access.log")),
                format=st.sampled_from(("json", "combined")),
            )
        ),
    )


@st.composite
def nodes(draw: st.DrawFn) -> Node:
    admin = Admin(
        address=draw(
            st.sampled_from((Address("127.0.0.1", 9090), Address(path="/run/veloflux/admin")))
        ),
        auth_enabled=draw(st.booleans()),
        username=draw(filled.filter(lambda name: ":" not in name)),
        password=draw(texts | st.sampled_from(("1234", "true", "null", "~", "${X}", "$${", "1e3"))),
        insecure_admin=draw(st.booleans()),
        cors_origins=draw(st.sampled_from(((), ("https://a.example", "http://[::1]:80")))),
        backend_networks=BackendNetworks(deny=draw(st.sampled_from(((), ("192.0.2.0/30",))))),
    )
    metrics = draw(st.none() | st.just(Address("0.0.0.0", 9100)))
    taken = frozenset((admin.address, *([] if metrics is None else [metrics])))
    snapshot = draw(snapshots(taken))
    reach = Reach(admin.backend_networks, (admin.address,))
    assume(all(reach.admits(each.address) for pool in snapshot.pools for each in pool.backends))
    return Node(
        workers=draw(st.integers(1, 1024)),
        data_dir=draw(st.sampled_from(("/var/lib/veloflux", "/srv/a b", "/1"))),
        admin=admin,
        metrics_address=metrics,
        authority=draw(st.sampled_from(("store", "file"))),
        log_level=draw(st.sampled_from(("debug", "info", "warn", "error", "critical"))),
        snapshot=replace(
            snapshot,
            backend_networks=admin.backend_networks,
            own_addresses=(admin.address,),
        ),
    )
