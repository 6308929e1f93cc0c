"""The validated file made into the model that the daemon runs on."""

import os.path
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from veloflux.config import listeners, policies, pools, resilience, routes, schema
from veloflux.config import tls as secrecy
from veloflux.config.section import Section
from veloflux.config.shelf import Shelf
from veloflux.core.model import node, tls, traffic
from veloflux.core.model import policies as wants
from veloflux.core.model import resilience as holds

_Section = TypeVar("_Section", bound=Section)
_Model = TypeVar("_Model")


class Built:
    """What was built of which section, which is kept for that; taken over from what was before."""

    def __init__(self, before: "Built | None" = None) -> None:
        self._before = {} if before is None else before._models
        self._models: dict[int, tuple[Section, object]] = {}

    def of(self, section: _Section, make: Callable[[_Section], _Model]) -> _Model:
        """Return what `make` makes of the section, or has made before."""
        found = self._before.get(id(section))
        model = make(section) if found is None else found[1]
        self._models[id(section)] = section, model
        return model  # type: ignore[return-value]  # what `make` made of it before

    def settle(self) -> None:
        """Let go of what was before."""
        self._before = {}


def build(
    configuration: schema.Configuration,
    shelf: Shelf,
    processors: int,
    version: int,
    revision: int,
    built: Built,
) -> node.Node:
    """Return the node; relative paths start at the shelf's directory, `workers: auto` is
    `processors`. Raises OSError or ValueError for a file on the shelf that cannot be read."""
    directory = shelf.directory
    shelf.data_dir = configuration.data_dir
    workers = configuration.workers
    if not isinstance(workers, int):
        workers = max(1, min(processors, schema.MAX_WORKERS))
    return node.Node(
        workers=workers,
        data_dir=_path(directory, configuration.data_dir),
        admin=node.Admin(
            address=configuration.admin.address,
            auth_enabled=configuration.admin.auth_enabled,
            username=configuration.admin.username,
            password=configuration.admin.password,
            insecure_admin=configuration.admin.insecure_admin,
            cors_origins=tuple(configuration.admin.cors_origins),
            tls=_admin_tls(configuration.admin, shelf),
            backend_networks=_networks(configuration.admin.backend_networks),
        ),
        metrics_address=configuration.metrics.address,
        log_level=configuration.logging.level,
        snapshot=_snapshot(configuration, shelf, version, revision, built),
        authority=configuration.authority,
    )


def _path(directory: str, path: str) -> str:
    return os.path.normpath(os.path.join(directory, path))


def _snapshot(
    configuration: schema.Configuration, shelf: Shelf, version: int, revision: int, built: Built
) -> traffic.Snapshot:
    access = configuration.logging.access

    def pool(section: pools.Pool) -> traffic.Pool:
        # Of files, the content is part of the model.
        if any(backend.tls is not None for backend in section.backends):
            return _pool(section, shelf)
        return built.of(section, lambda section: _pool(section, shelf))

    return traffic.Snapshot(
        version=version,
        listeners=tuple(_listener(each, shelf) for each in configuration.listeners),
        pools=tuple(map(pool, configuration.pools)),
        routes=tuple(built.of(each, _route) for each in configuration.routes),
        access_log=None if access is None else _access_log(access, shelf.directory),
        tracing=configuration.logging.tracing,
        revision=revision,
        backend_networks=_networks(configuration.admin.backend_networks),
        own_addresses=(configuration.admin.address,),
    )


def _networks(networks: schema.BackendNetworks) -> traffic.BackendNetworks:
    return traffic.BackendNetworks(tuple(networks.allow), tuple(networks.deny))


def _access_log(log: schema.AccessLog, directory: str) -> traffic.AccessLog:
    path = None if log.path is None else _path(directory, log.path)
    return traffic.AccessLog(path=path, format=log.format)


def _listener(listener: listeners.Listener, shelf: Shelf) -> traffic.Listener:
    limits = listener.limits
    return traffic.Listener(
        name=listener.title,
        address=listener.address,
        protocol=listener.protocol,
        pool=listener.pool,
        sni=tuple(traffic.SniRoute(rule.host, rule.pool) for rule in listener.sni),
        tls=None if listener.tls is None else _listener_tls(listener.tls, shelf),
        proxy_protocol=listener.proxy_protocol,
        h2c=listener.h2c,
        allow=tuple(listener.allow),
        deny=tuple(listener.deny),
        trusted_proxies=tuple(listener.trusted_proxies),
        limits=traffic.Limits(
            max_connections=limits.max_connections,
            max_connections_per_ip=limits.max_connections_per_ip,
            max_headers=limits.max_headers,
            max_header_bytes=limits.max_header_bytes,
            max_target_bytes=limits.max_target_bytes,
            max_body_bytes=limits.max_body_bytes,
            header_timeout_s=limits.header_timeout,
            body_timeout_s=limits.body_timeout,
            min_body_rate=limits.min_body_rate,
            keepalive_timeout_s=limits.keepalive_timeout,
            write_timeout_s=limits.write_timeout,
        ),
    )


def _listener_tls(section: secrecy.ListenerTls, shelf: Shelf) -> tls.ListenerTls:
    certificates = [
        tls.Certificate(shelf.take(each.cert), shelf.take(each.key))
        for each in section.certificates
    ]
    if section.self_signed:
        certificates.append(shelf.take_self_signed(section.self_signed))
    return tls.ListenerTls(
        certificates=tuple(certificates),
        min_version=section.min_version,
        client_ca=None if section.client_ca is None else shelf.take(section.client_ca),
        alpn=tuple(section.alpn),
    )


def _admin_tls(section: schema.Admin, shelf: Shelf) -> tls.ListenerTls | None:
    """Its API speaks HTTP/1.1 alone."""
    if section.tls is None:
        return None
    return replace(_listener_tls(section.tls, shelf), alpn=("http/1.1",))


def _backend_tls(section: secrecy.BackendTls, shelf: Shelf) -> tls.BackendTls:
    ca, cert, key = (
        None if path is None else shelf.take(path)
        for path in (section.ca, section.cert, section.key)
    )
    return tls.BackendTls(
        server_name=section.server_name,
        ca=ca,
        cert=cert,
        key=key,
        insecure_skip_verify=section.insecure_skip_verify,
    )


def _pool(pool: pools.Pool, shelf: Shelf) -> traffic.Pool:
    return traffic.Pool(
        name=pool.name,
        backends=tuple(_backend(each, shelf) for each in pool.backends),
        algorithm=pool.algorithm,  # type: ignore[arg-type]  # the others were refused by name
        hash_on=pool.hash_on,
        sticky_sessions=None if pool.sticky_sessions is None else _sticky(pool.sticky_sessions),
        health_check=None if pool.health_check is None else _health_check(pool.health_check),
        outlier_detection=_outliers(pool.outlier_detection),
        panic_percent=pool.panic_percent,
        slow_start_s=pool.slow_start,
        timeouts=traffic.Timeouts(
            connect_s=pool.timeouts.connect,
            first_byte_s=pool.timeouts.first_byte,
            idle_s=pool.timeouts.idle,
            total_s=pool.timeouts.total,
            queue_s=pool.timeouts.queue,
        ),
        retries=_retries(pool.retries),
        circuit_breaker=None if pool.circuit_breaker is None else _breaker(pool.circuit_breaker),
        keepalive=traffic.Keepalive(
            max_idle=pool.keepalive.max_idle, idle_timeout_s=pool.keepalive.idle_timeout
        ),
        proxy_protocol=pool.proxy_protocol,
        protocol=pool.protocol,
    )


def _sticky(sticky: resilience.StickySessions) -> holds.StickySessions:
    return holds.StickySessions(cookie=sticky.cookie, ttl_s=sticky.ttl)


def _outliers(detection: resilience.OutlierDetection | None) -> holds.OutlierDetection | None:
    if detection is None:
        return None
    return holds.OutlierDetection(
        consecutive_failures=detection.consecutive_failures,
        interval_s=detection.interval,
        success_rate_margin=detection.success_rate_margin,
        min_requests=detection.min_requests,
        base_ejection_s=detection.base_ejection,
        max_ejection_s=detection.max_ejection,
        max_ejected_percent=detection.max_ejected_percent,
    )


def _retries(retries: resilience.Retries) -> holds.Retries:
    return holds.Retries(
        attempts=retries.attempts,
        budget_percent=retries.budget_percent,
        min_per_second=retries.min_per_second,
        on=tuple(retries.on),
        statuses=tuple(retries.statuses),
        backoff_s=retries.backoff,
        max_backoff_s=retries.max_backoff,
    )


def _breaker(breaker: resilience.CircuitBreaker) -> holds.CircuitBreaker:
    return holds.CircuitBreaker(
        max_connections=breaker.max_connections,
        max_pending=breaker.max_pending,
        max_requests=breaker.max_requests,
        error_percent=breaker.error_percent,
        min_requests=breaker.min_requests,
        window_s=breaker.window,
        open_s=breaker.open,
        probes=breaker.probes,
    )


def _backend(backend: pools.Backend, shelf: Shelf) -> traffic.Backend:
    return traffic.Backend(
        address=backend.address,
        weight=backend.weight,
        max_connections=backend.max_connections,
        backup=backend.backup,
        enabled=backend.enabled,
        tls=None if backend.tls is None else _backend_tls(backend.tls, shelf),
        labels=dict(backend.labels),
    )


def _health_check(check: pools.HealthCheck) -> traffic.HealthCheck:
    return traffic.HealthCheck(
        type=check.type,
        path=check.path,
        interval_s=check.interval,
        timeout_s=check.timeout,
        rise=check.rise,
        fall=check.fall,
        expected_status=check.expected_status,
    )


def _route(route: routes.Route) -> traffic.Route:
    if route.pool is not None:
        shares: tuple[traffic.Share, ...] = (traffic.Share(route.pool),)
    else:
        shares = tuple(traffic.Share(share.pool, share.weight) for share in route.pools or ())
    redirect = route.redirect
    return traffic.Route(
        id=route.title,
        host=route.host,
        path_prefix=route.path_prefix,
        methods=tuple(route.methods),
        headers=tuple(route.headers.items()),
        pools=shares,
        strip_prefix=route.strip_prefix,
        preserve_host=route.preserve_host,
        request_headers=_edits(route.request_headers),
        response_headers=_edits(route.response_headers),
        redirect=None if redirect is None else traffic.Redirect(redirect.to, redirect.status),
        allow=tuple(route.allow),
        deny=tuple(route.deny),
        rate_limit=None if route.rate_limit is None else _rate_limit(route.rate_limit),
        max_body_bytes=route.max_body_bytes,
        websocket=route.websocket,
        security_headers=route.security_headers,
        cors=None if route.cors is None else _cors(route.cors),
        mirror=None if route.mirror is None else _mirror(route.mirror),
        compression=None if route.compression is None else _compression(route.compression),
    )


def _rate_limit(limit: policies.RateLimit) -> wants.RateLimit:
    return wants.RateLimit(limit.requests_per_second, limit.burst, limit.key)


def _cors(cors: policies.Cors) -> wants.Cors:
    return wants.Cors(
        origins=tuple(cors.origins),
        methods=tuple(cors.methods),
        headers=tuple(cors.headers),
        expose_headers=tuple(cors.expose_headers),
        credentials=cors.credentials,
        max_age_s=cors.max_age,
    )


def _mirror(mirror: policies.Mirror) -> wants.Mirror:
    return wants.Mirror(
        pool=mirror.pool,
        percent=mirror.percent,
        max_requests=mirror.max_requests,
        max_body_bytes=mirror.max_body_bytes,
    )


def _compression(compression: policies.Compression) -> wants.Compression:
    return wants.Compression(
        codings=tuple(compression.codings),
        types=tuple(compression.types),
        min_bytes=compression.min_bytes,
    )


def _edits(edits: routes.RequestEdits | routes.ResponseEdits) -> traffic.HeaderEdits:
    if not edits.model_fields_set:
        return _NO_EDITS
    return traffic.HeaderEdits(
        set=tuple(edits.set.items()), add=tuple(edits.add.items()), remove=tuple(edits.remove)
    )


_NO_EDITS = traffic.HeaderEdits()
