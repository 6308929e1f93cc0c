"""All endpoints, in the order of the document."""

from veloflux.control.api.endpoints import analytics, core, debug, metrics, streams, system

ROWS = (*core.ROWS, *metrics.ROWS, *system.ROWS, *analytics.ROWS, *debug.ROWS, *streams.ROWS)

# A listener for metrics alone is for whoever reaches it.
METRICS_ROWS = core.METRICS_ROWS
