"""Figures of this moment and of the last minutes."""

from veloflux.control.api.endpoint import Asked, Endpoint
from veloflux.control.services import overview
from veloflux.control.services.overview import Overview, Performance, Realtime


def everything(asked: Asked) -> Overview:
    """Give the figures of the machine, the requests, the backends and what was turned away."""
    found = asked.services.observatory
    return overview.overview(found.status, found.analytics, found.host, found.wall())


def realtime(asked: Asked) -> Realtime:
    """Give the figures of the last minute, and how they changed from the one before."""
    found = asked.services.observatory
    return overview.realtime(found.analytics, found.wall())


async def performance(asked: Asked) -> Performance:
    """Give the last quarter of an hour in steps of five seconds."""
    found = asked.services.observatory
    seconds = tuple(found.analytics.series.seconds)
    answer: Performance = await found.in_thread(lambda: overview.performance(seconds))
    return answer


ROWS = (
    Endpoint("GET", "/api/metrics", "metrics:read", everything),
    Endpoint("GET", "/api/metrics/realtime", "metrics:read", realtime),
    Endpoint("GET", "/api/system/performance", "metrics:read", performance),
)
