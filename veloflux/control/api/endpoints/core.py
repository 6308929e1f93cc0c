"""How the daemon is, and its metrics."""

import platform

from twisted.copyright import version as twisted_version

from veloflux import __version__
from veloflux.control import exposition
from veloflux.control.api.endpoint import OPEN, Asked, Endpoint, Reply


def root(asked: Asked) -> Reply:
    """Say that this is VeloFlux, and its version."""
    return Reply({"status": f"VeloFlux {__version__}", "version": __version__})


def version(asked: Asked) -> Reply:
    """Give the versions in use."""
    return Reply(
        {
            "version": __version__,
            "python": platform.python_version(),
            "twisted": twisted_version,
            "api": "v1",
        }
    )


def health(asked: Asked) -> Reply:
    """Tell whether the daemon can do its work, with the counts of its health checks."""
    found = asked.services.status.health()
    return Reply(found, 503 if found.status == "unhealthy" else 200)


def live(asked: Asked) -> Reply:
    """Answer 200 as long as the daemon has workers: 503 asks for a restart."""
    return Reply(None, 200 if asked.services.status.fleet.status() else 503)


def ready(asked: Asked) -> Reply:
    """Answer 200 while traffic may come, 503 before the first configuration and in a drain."""
    return Reply(None, 200 if asked.services.status.fleet.is_ready else 503)


def status(asked: Asked) -> Reply:
    """Summarise workers, pools, backends and routes; who signs in sees every worker."""
    found = asked.services.status
    return Reply(found.summary() if asked.by is None else found.details())


async def metrics(asked: Asked) -> Reply:
    """Give all metrics in Prometheus' text format."""
    return Reply(await asked.services.metrics.page(), content_type=exposition.CONTENT_TYPE)


ROWS = (
    Endpoint("GET", "/", OPEN, root),
    Endpoint("GET", "/health", OPEN, health),
    Endpoint("GET", "/api/health", OPEN, health),
    Endpoint("GET", "/healthz", OPEN, live),
    Endpoint("GET", "/readyz", OPEN, ready),
    Endpoint("GET", "/api/version", OPEN, version),
    Endpoint("GET", "/api/status", OPEN, status, knows_caller=True),
    Endpoint("GET", "/metrics", "metrics:read", metrics),
    Endpoint("GET", "/api/metrics/prometheus", "metrics:read", metrics),
)

# A listener for metrics alone is for whoever reaches it.
METRICS_ROWS = (Endpoint("GET", "/metrics", OPEN, metrics),)
