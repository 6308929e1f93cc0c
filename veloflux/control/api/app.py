"""The admin API: rows on Klein, behind the gate and the guard.

Of Klein only the routing and the life of a request are used. Every answer is written here: what a
function returns, and every error, its own included, as a problem.
"""

from collections.abc import Callable, Iterable
from inspect import isawaitable
from typing import Any

import msgspec
from klein import Klein
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.defer import TimeoutError as TooLateError
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from veloflux.control.api.endpoint import Asked, Endpoint, Reply, Services
from veloflux.control.api.endpoints import core
from veloflux.control.api.gate import NOTHING_HERE, Gate, compose, compose_problem
from veloflux.control.api.guard import Guard
from veloflux.control.api.problem import Problem
from veloflux.control.api.site import AdminSite
from veloflux.control.services.operator import Operator
from veloflux.core.model.node import Admin

# Nothing takes that long; what does is stuck.
ANSWER_DEADLINE_S = 30.0

_log = Logger()


def admin_site(
    reactor: Any,
    admin: Admin,
    services: Services,
    operator: Operator,
    clock: Callable[[], float],
    hostname: str,
) -> AdminSite:
    """Make what serves the admin API; `hostname` is this machine's.

    A Unix socket is served under any host: no browser reaches it.
    """
    names = None
    if not admin.address.path:
        names = {"localhost", admin.address.host, hostname.lower()}
    app = build(core.ROWS, services, Guard(operator, clock), reactor)
    return AdminSite(Gate(app.resource(), names), reactor)


def metrics_site(
    reactor: Any, services: Services, operator: Operator, clock: Callable[[], float]
) -> AdminSite:
    """Make what serves the metrics alone, to anybody and under any host."""
    app = build(core.METRICS_ROWS, services, Guard(operator, clock), reactor)
    return AdminSite(Gate(app.resource(), None), reactor)


def build(rows: Iterable[Endpoint], services: Services, guard: Guard, reactor: Any) -> Klein:
    """Make the application that answers by these rows."""
    app = Klein()
    for row in rows:
        for path in row.paths:
            _add(app, path, row, services, guard, reactor)

    app.handle_errors(Exception)(_compose_failure)
    return app


def _add(
    app: Klein, path: str, row: Endpoint, services: Services, guard: Guard, reactor: Any
) -> None:
    async def answer(request: Request) -> Reply:
        authorization = request.requestHeaders.getRawHeaders(b"Authorization", [])
        by = await guard.admit(row, authorization, _address(request))
        reply = row.answer(Asked(services, by))
        return await reply if isawaitable(reply) else reply

    # A name of its own for each: two routes of one name would both be the later one. Slashes are
    # not merged, or `//health` would be redirected, and that in HTML.
    @app.route(path, methods=[row.method], endpoint=f"{row.method} {path}", merge_slashes=False)
    def call(request: Request) -> Deferred[bytes]:
        answered = ensureDeferred(answer(request)).addTimeout(ANSWER_DEADLINE_S, reactor)
        return answered.addCallback(lambda reply: _compose(request, reply))


def _compose(request: Request, reply: Reply) -> bytes:
    if reply.body is None:
        return compose(request, reply.status, b"", None)
    body = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
    return compose(request, reply.status, body, reply.content_type)


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
    if isinstance(error, MethodNotAllowed):
        return Problem(405, "This path does not know that method.")
    if isinstance(error, HTTPException):
        return Problem(404, NOTHING_HERE)
    if isinstance(error, TooLateError):
        return Problem(503, "The answer took too long.")
    _log.failure("a call of the admin API failed", failure)
    return Problem(500, "Something went wrong; the log says what.")


def _address(request: Request) -> str:
    return str(getattr(request.getClientAddress(), "host", "unix"))
