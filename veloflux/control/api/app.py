"""The admin API: rows on Klein, behind the gate and the guard.

Of Klein only the routing and the life of a request are used. Every answer is written here: what a
function returns, and every error, its own included, as a problem.
"""

from collections.abc import Callable, Sequence
from typing import Any

from klein import Klein
from twisted.internet.defer import Deferred, DeferredLock, ensureDeferred
from twisted.internet.defer import TimeoutError as TooLateError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from veloflux.control.api.call import Call, Frame, shielded
from veloflux.control.api.endpoint import Endpoint
from veloflux.control.api.endpoints.documentation import documentation
from veloflux.control.api.gate import NOTHING_HERE, Gate, compose, compose_problem
from veloflux.control.api.pages import Pages
from veloflux.control.api.problem import Problem, refused
from veloflux.control.api.site import AdminSite, Limits
from veloflux.control.api.table import METRICS_ROWS, ROWS
from veloflux.control.api.upgrade import Streams, Upgrades
from veloflux.control.dashboard.front import Front
from veloflux.control.dashboard.shelf import built
from veloflux.control.metrics import Metrics
from veloflux.control.services.errors import Refusal
from veloflux.core.flow.exchange import KNOWN_METHODS
from veloflux.core.model.metrics import ADMIN_REQUESTS, Sample
from veloflux.core.model.node import Admin

# Nothing takes that long; what does is stuck.
ANSWER_DEADLINE_S = 30.0

_log = Logger()


def admin_site(
    reactor: Any,
    admin: Admin,
    frame: Frame,
    hostname: str,
    streams: Streams,
    rows: Sequence[Endpoint] = ROWS,
) -> AdminSite:
    """Make what serves the admin API; `hostname` is this machine's.

    A Unix socket is served under any host: no browser reaches it. So is TLS: it is reached by the
    names of its certificate alone.
    """
    names = None
    if not admin.address.path and admin.tls is None:
        names = {"localhost", admin.address.host, hostname.lower()}
    rows = (*rows, *documentation(rows, frame.in_thread))
    app = build(rows, frame, reactor)
    pages = Pages(admin.cors_origins)
    upgrades = Upgrades(app.resource(), streams, frame.guard, pages)
    front = Front(upgrades, built())
    gate = Gate(front, names, pages, counted(frame.services.metrics))
    return AdminSite(gate, reactor, Limits(rows))


def metrics_site(reactor: Any, frame: Frame) -> AdminSite:
    """Make what serves the metrics alone, to anybody and under any host."""
    app = build(METRICS_ROWS, frame, reactor)
    gate = Gate(app.resource(), None, Pages(()), counted(frame.services.metrics))
    return AdminSite(gate, reactor, Limits(METRICS_ROWS))


def counted(metrics: Metrics) -> Callable[[bytes, int], None]:
    """What counts requests by method and status."""

    def count(method: bytes, status: int) -> None:
        # Clients choose the method, so only those that are known have a name.
        name = method.decode() if method in KNOWN_METHODS else "other"
        code_class = f"{status // 100}xx" if status else "none"
        metrics.add(Sample(ADMIN_REQUESTS.name, (name, code_class), 1.0))

    return count


def build(rows: Sequence[Endpoint], frame: Frame, reactor: Any) -> Klein:
    """Make the application that answers by these rows; raises TypeError for one that cannot be."""
    app = Klein()
    # Those who read an object come first: whoever changes it asks them about conditions.
    reading: dict[str, Call] = {}
    turns: dict[str, DeferredLock] = {}
    for row in sorted(rows, key=lambda row: not row.is_safe):
        turn = None
        if row.changes:
            turn = turns.setdefault(row.changes, DeferredLock())
        call = Call(row, frame, reading.get(row.path), turn)
        if row.is_safe and row.has_etag:
            reading[row.path] = call
        for path in row.paths:
            _add(app, path, call, reactor)

    app.handle_errors(Exception)(_compose_failure)
    return app


def _add(app: Klein, path: str, call: Call, reactor: Any) -> None:
    method = call.row.method
    rule = path.replace("{", "<").replace("}", ">")

    # A name of its own for each: two routes of one name would both be the later one. Slashes are
    # not merged, or `//health` would be redirected, and that in HTML.
    @app.route(rule, methods=[method], endpoint=f"{method} {path}", merge_slashes=False)
    def answer(request: Request, **parameters: str) -> Deferred[bytes]:
        answered = ensureDeferred(call.answer(request, parameters))
        if not call.row.is_safe:
            # Klein cancels what a client does not wait for. A change that has begun goes on.
            answered = shielded(answered)
        return answered.addTimeout(ANSWER_DEADLINE_S, reactor)


def _compose_failure(request: Any, failure: Failure) -> bytes:
    error = failure.value
    if isinstance(error, MethodNotAllowed):
        methods = sorted({*(error.valid_methods or ()), "OPTIONS"})
        request.setHeader(b"Allow", ", ".join(methods).encode())
        if request.method == b"OPTIONS":
            return compose(request, 204, b"", None)
    return compose_problem(request, _problem(failure))


def _problem(failure: Failure) -> Problem:
    error = failure.value
    if isinstance(error, Problem):
        return error
    if isinstance(error, Refusal):
        return refused(error)
    if isinstance(error, MethodNotAllowed):
        return Problem(405, "This path does not know that method.")
    if isinstance(error, HTTPException):
        return Problem(404, NOTHING_HERE)
    if isinstance(error, TooLateError):
        return Problem(503, "The answer took too long; a change that has begun goes on.")
    _log.failure("a call of the admin API failed", failure)
    return Problem(500, "Something went wrong; the log says what.")
