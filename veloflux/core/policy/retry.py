"""Is a request that failed sent once more, when, and does the pool's budget bear it?

A backend in trouble gets its requests again from everybody, and drowns. So what has cost a backend
work is repeated only as long as few others are: a share of the recent requests, and a few a second
for pools with little traffic (Finagle's RetryBudget, Envoy's `retry_budget`). Repeats wait for a
random while (full jitter, M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
2015). Who was not reached has had no work: others are tried at once, and it costs nothing.
"""

from typing import Literal, Protocol

from veloflux.core.model.resilience import Cause, Retries
from veloflux.core.policy.balance.candidate import Luck
from veloflux.core.policy.window import Window

Decision = Literal["stop", "around", "repeat"]
"""`stop`: no more; `around`: another backend, at once and for nothing; `repeat`: after `backoff`,
if the budget grants it."""

# RFC 9110 section 9.2.2; QUERY is safe by RFC 9110's terms in its own draft. TRACE is not served.
IDEMPOTENT = frozenset((b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"QUERY"))

# What the configuration calls the failures of `core.flow.exchange`; those it has no word for,
# timeouts above all, are never repeated: the backend may be at work on the request still.
CAUSES: dict[str, Cause] = {
    "unresolved": "connect_failure",
    "connect_timeout": "connect_failure",
    "tls": "connect_failure",
    "tls_untrusted": "connect_failure",
    "refused": "refused",
    "reset": "reset_before_response",
}
# A status of `Retries.statuses`.
_UNWANTED = "unwanted_status"
# These took no time either; any number of backends is gone around.
_AT_ONCE = frozenset(("refused", "unresolved", "tls", "tls_untrusted"))
# What a window of the budget lasts; Finagle's and Envoy's are as long.
SPAN_S = 10.0
_MOST_DOUBLINGS = 60


class Failed(Protocol):
    """What befell a request: `exchange.Failure`."""

    @property
    def reason(self) -> str: ...


class Fields(Protocol):
    """The fields of a request; `length` of its body, None when chunked."""

    @property
    def length(self) -> int | None: ...
    def value(self, name: bytes) -> bytes | None: ...


class Head(Protocol):
    """The head of a request."""

    @property
    def method(self) -> bytes: ...
    @property
    def fields(self) -> Fields: ...


def again(
    model: Retries,
    failure: Failed,
    attempts: int,
    head: Head,
    sent: bool,
    *,
    has_body: bool = False,
) -> Decision:
    """What comes after a failure; to be asked only then.

    `attempts` are those so far that may have cost a backend work or the client time: all but those
    refused at once or not found. `sent` says that a backend may have seen some of the request;
    `has_body` that its whole body is at hand still, where it has one.
    """
    reason = failure.reason
    cause = CAUSES.get(reason)
    if not model.attempts or (reason != _UNWANTED and cause not in model.on):
        return "stop"
    if reason in _AT_ONCE and not sent:
        return "around"
    if attempts > model.attempts:
        return "stop"
    if not sent:
        return "around"
    fields = head.fields
    if fields.length != 0 and not has_body:
        return "stop"
    # The key is looked for last: it is seldom there.
    if head.method in IDEMPOTENT or fields.value(b"idempotency-key"):
        return "repeat"
    return "stop"


def backoff(attempt: int, base_s: float, max_s: float, luck: Luck) -> float:
    """How long to wait before the `attempt`th repeat, the first being 1: anything up to a bound
    that doubles, and never over `max_s`."""
    return luck() * min(max_s, base_s * 2.0 ** min(attempt - 1, _MOST_DOUBLINGS))


class Budget:
    """One pool's, in one of `workers`: each grants its part of `min_per_second`.

    In any ten seconds, never more than `percent` of the requests in them, and `min_per_second` for
    each of the ten.
    """

    __slots__ = ("_granted", "_least", "_requests", "_share", "request")

    def __init__(self, percent: int, min_per_second: int, workers: int = 1) -> None:
        self.configure(percent, min_per_second, workers)
        self._requests = Window(SPAN_S)
        self._granted = Window(SPAN_S)
        # request(now, times): count requests, not their repeats; when they are counted elsewhere
        # anyway, now and then will do.
        self.request = self._requests.add

    def configure(self, percent: int, min_per_second: int, workers: int = 1) -> None:
        """Take new rules for what has been granted already, too."""
        self._share = percent
        # In hundredths, so that whole numbers are compared.
        self._least = min_per_second * 100 * int(SPAN_S) // max(workers, 1)

    def withdraw(self, now: float) -> bool:
        """Whether a request may be repeated now; if so, it counts."""
        may = self._requests.at_least(now) * self._share + self._least
        if (self._granted.at_most(now) + 1) * 100 > may:
            return False
        self._granted.add(now)
        return True
