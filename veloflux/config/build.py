"""The validated file made into the model that the daemon runs on."""

import os.path

from veloflux.config import listeners, pools, routes, schema
from veloflux.core.model import node, traffic


def build(
    configuration: schema.Configuration, directory: str, processors: int, version: int
) -> node.Node:
    """Return the node; relative paths start at `directory`, `workers: auto` is `processors`."""
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
        ),
        metrics_address=configuration.metrics.address,
        log_level=configuration.logging.level,
        snapshot=_snapshot(configuration, directory, version),
    )


def _path(directory: str, path: str) -> str:
    return os.path.normpath(os.path.join(directory, path))


def _snapshot(
    configuration: schema.Configuration, directory: str, version: int
) -> traffic.Snapshot:
    access = configuration.logging.access
    return traffic.Snapshot(
        version=version,
        listeners=tuple(map(_listener, configuration.listeners)),
        pools=tuple(map(_pool, configuration.pools)),
        routes=tuple(map(_route, configuration.routes)),
        access_log=None if access is None else _access_log(access, directory),
    )


def _access_log(log: schema.AccessLog, directory: str) -> traffic.AccessLog:
    path = None if log.path is None else _path(directory, log.path)
    return traffic.AccessLog(path=path, format=log.format)


def _listener(listener: listeners.Listener) -> traffic.Listener:
    limits = listener.limits
    return traffic.Listener(
        name=listener.title,
        address=listener.address,
        protocol=listener.protocol,
        pool=listener.pool,
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


def _pool(pool: pools.Pool) -> traffic.Pool:
    return traffic.Pool(
        name=pool.name,
        backends=tuple(map(_backend, pool.backends)),
        algorithm=pool.algorithm,  # type: ignore[arg-type]  # the others were refused by name
        health_check=None if pool.health_check is None else _health_check(pool.health_check),
        timeouts=traffic.Timeouts(
            connect_s=pool.timeouts.connect,
            first_byte_s=pool.timeouts.first_byte,
            idle_s=pool.timeouts.idle,
            total_s=pool.timeouts.total,
        ),
        keepalive=traffic.Keepalive(
            max_idle=pool.keepalive.max_idle, idle_timeout_s=pool.keepalive.idle_timeout
        ),
    )


def _backend(backend: pools.Backend) -> traffic.Backend:
    return traffic.Backend(
        address=backend.address,
        weight=backend.weight,
        backup=backend.backup,
        enabled=backend.enabled,
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
        max_body_bytes=route.max_body_bytes,
        websocket=route.websocket,
        security_headers=route.security_headers,
    )


def _edits(edits: routes.RequestEdits | routes.ResponseEdits) -> traffic.HeaderEdits:
    if not edits.model_fields_set:
        return _NO_EDITS
    return traffic.HeaderEdits(
        set=tuple(edits.set.items()), add=tuple(edits.add.items()), remove=tuple(edits.remove)
    )


_NO_EDITS = traffic.HeaderEdits()
