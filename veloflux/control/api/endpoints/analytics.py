"""What traffic was like."""

from pydantic import Field

from veloflux.control.api.endpoint import Asked, Endpoint
from veloflux.control.api.input import Input
from veloflux.control.services.analytics.bucket import Kind
from veloflux.control.services.analytics.query import Period, Report


class AnalyticsQuery(Input):
    """Of which time, and by what."""

    period: Period = Field("1h", description="How far back.")
    group_by: Kind = Field("route", description="What the groups are.")


async def analytics(asked: Asked, query: AnalyticsQuery) -> Report:
    """Tell what traffic was like: totals, percentiles, a time series, and who had how much of it.

    From what was counted by the minute (kept for 48 hours) and by the hour (90 days), over restarts
    too. Of very many names the busiest are kept, the others are added up as `other`; a route's name
    is empty for requests that no route took.
    """
    return await asked.services.observatory.analytics.report(query.period, query.group_by)


ROWS = (Endpoint("GET", "/api/analytics", "metrics:read", analytics, problems=(503,)),)
