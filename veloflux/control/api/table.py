"""All endpoints, in the order of the document."""

from veloflux.control.api.endpoints import (
    analytics,
    audit,
    auth,
    backends,
    backup,
    configuration,
    core,
    debug,
    explain,
    metrics,
    pools,
    routes,
    streams,
    system,
    transactions,
    users,
)

ROWS = (
    *core.ROWS,
    *pools.ROWS,
    *backends.ROWS,
    *routes.ROWS,
    *configuration.ROWS,
    *transactions.ROWS,
    *backup.ROWS,
    *metrics.ROWS,
    *system.ROWS,
    *analytics.ROWS,
    *debug.ROWS,
    *explain.ROWS,
    *streams.ROWS,
    *auth.ROWS,
    *users.ROWS,
    *audit.ROWS,
)

# A listener for metrics alone is for whoever reaches it.
METRICS_ROWS = core.METRICS_ROWS
