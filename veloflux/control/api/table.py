"""All endpoints, in the order of the document."""

from veloflux.control.api.endpoints import core

ROWS = (*core.ROWS,)

# A listener for metrics alone is for whoever reaches it.
METRICS_ROWS = core.METRICS_ROWS
