"""The life of a call, from who asks to the answer; every row's goes the same way."""

from collections.abc import Mapping
from inspect import isawaitable
from typing import TypeVar

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.server import Request

from veloflux.control.api.arguments import Arguments
from veloflux.control.api.endpoint import Asked, Endpoint, Reply, Services
from veloflux.control.api.gate import compose, request_id
from veloflux.control.api.guard import Guard

_T = TypeVar("_T")


class Call:
    """Answers the calls of one row; raises TypeError when its function does not fit it."""

    def __init__(self, row: Endpoint, services: Services, guard: Guard) -> None:
        self.row = row
        self._services = services
        self._guard = guard
        self._arguments = Arguments(row)

    async def answer(self, request: Request, parameters: Mapping[str, str]) -> bytes:
        """Answer one; raises Problem and Refusal."""
        authorization = request.requestHeaders.getRawHeaders(b"Authorization", [])
        address = str(getattr(request.getClientAddress(), "host", "unix"))
        by = await self._guard.admit(self.row, authorization, address)
        arguments = self._arguments.path(parameters)
        query, is_dry_run = self._arguments.query(request.uri.partition(b"?")[2])
        assert request.content is not None
        content = request.content.read()
        body = self._arguments.body(request.getHeader(b"Content-Type"), content)
        asked = Asked(self._services, by, address, request_id(request), is_dry_run)
        answered = self.row.answer(asked, **arguments, **query, **body)
        if isawaitable(answered):
            answered = await answered
        return self._compose(request, answered if isinstance(answered, Reply) else Reply(answered))

    def _compose(self, request: Request, reply: Reply[object]) -> bytes:
        status = reply.status or self.row.status
        if reply.location:
            request.setHeader(b"Location", reply.location.encode())
        if reply.body is None:
            return compose(request, status, b"", None)
        body = reply.body if isinstance(reply.body, bytes) else msgspec.json.encode(reply.body)
        return compose(request, status, body, (reply.content_type or self.row.produces[0]).encode())


def shielded(work: Deferred[_T]) -> Deferred[_T]:
    """Follow work that goes on when nobody waits for it."""
    follower: Deferred[_T] = Deferred()

    def answer(result: _T | Failure) -> None:
        if not follower.called:
            follower.callback(result)
        elif isinstance(result, Failure):
            # Nobody hears of it but the log.
            result.trap(CancelledError)

    work.addBoth(answer)
    return follower
