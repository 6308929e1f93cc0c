"""How the daemon is, and its metrics."""

import platform
from dataclasses import dataclass

from twisted.copyright import version as twisted_version

from veloflux import __version__
from veloflux.control import exposition
from veloflux.control.api.endpoint import OPEN, Asked, Endpoint, Reply
from veloflux.control.services.status import Details, Health, Summary


@dataclass(frozen=True, slots=True)
class Greeting:
    """That this is VeloFlux."""

    status: str
    version: str


@dataclass(frozen=True, slots=True)
class Versions:
    """What is in use; `api` is the version of the paths."""

    version: str
    python: str
    twisted: str
    api: str


def root(asked: Asked) -> Greeting:
    """Say that this is VeloFlux, and its version; a browser gets the dashboard."""
    return Greeting(f"VeloFlux {__version__}", __version__)


def version(asked: Asked) -> Versions:
    """Give the versions in use."""
    return Versions(__version__, platform.python_version(), twisted_version, "v1")


def health(asked: Asked) -> Reply[Health]:
    """Tell whether the daemon can do its work, with the counts of its health checks."""
    found = asked.services.status.health()
    return Reply(found, 503 if found.status == "unhealthy" else 200)


def live(asked: Asked) -> Reply[None]:
    """Answer 200 as long as the daemon has workers, or drains: 503 asks for a restart."""
    fleet = asked.services.status.fleet
    return Reply(None, 200 if fleet.is_draining or fleet.status() else 503)


def ready(asked: Asked) -> Reply[None]:
    """Answer 200 while traffic may come, 503 before the first configuration and in a drain."""
    return Reply(None, 200 if asked.services.status.fleet.is_ready else 503)


def status(asked: Asked) -> Summary | Details:
    """Summarise workers, pools, backends and routes; who signs in sees every worker."""
    found = asked.services.status
    return found.summary() if asked.by is None else found.details()


async def metrics(asked: Asked) -> bytes:
    """Give all metrics in Prometheus' text format."""
    return await asked.services.metrics.page()


_TEXT = (exposition.CONTENT_TYPE.decode(),)

ROWS = (
    Endpoint("GET", "/", OPEN, root),
    Endpoint("GET", "/health", OPEN, health, also=(503,)),
    Endpoint("GET", "/api/health", OPEN, health, also=(503,)),
    Endpoint("GET", "/healthz", OPEN, live, also=(503,)),
    Endpoint("GET", "/readyz", OPEN, ready, also=(503,)),
    Endpoint("GET", "/api/version", OPEN, version),
    Endpoint("GET", "/api/status", OPEN, status, knows_caller=True),
    Endpoint("GET", "/metrics", "metrics:read", metrics, produces=_TEXT),
    Endpoint("GET", "/api/metrics/prometheus", "metrics:read", metrics, produces=_TEXT),
)

# A listener for metrics alone is for whoever reaches it.
METRICS_ROWS = (Endpoint("GET", "/metrics", OPEN, metrics, produces=_TEXT),)
