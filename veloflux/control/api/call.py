"""The life of a call, from who asks to the answer; every row's goes the same way."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import isawaitable
from typing import Any, TypeVar

import msgspec
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request

from veloflux.control.api.allowance import Allowance
from veloflux.control.api.arguments import Arguments
from veloflux.control.api.conditional import Conditions, conditions, tag_of
from veloflux.control.api.endpoint import Asked, Endpoint, InThread, Reply, Services
from veloflux.control.api.gate import compose, request_id
from veloflux.control.api.guard import Guard
from veloflux.control.api.idempotency import Answer, Idempotency
from veloflux.control.api.problem import Problem, refused
from veloflux.control.services.audit import Audit, Entry, Outcome
from veloflux.control.services.errors import (
    BusyError,
    InvalidError,
    NotFoundError,
    Refusal,
    UnavailableError,
)
from veloflux.control.services.principal import Principal
from veloflux.control.store.store import StoreError

_T = TypeVar("_T")
# Bodies up to here are read in less than a millisecond; longer ones in a thread.
AT_ONCE_BYTES = 32 * 1024
# Changes that wait for their turn.
MAX_WAITING = 64

_log = Logger()


@dataclass(frozen=True, slots=True)
class Frame:
    """What all calls have in common; without a store there is no repeating, without audit none."""

    services: Services
    guard: Guard
    allowance: Allowance
    in_thread: InThread
    idempotency: Idempotency | None
    audit: Audit | None


class Call:
    """Answers the calls of one row; raises TypeError when its function does not fit it.

    `current` answers for the same object when it is read. In its `turn` a change is alone with what
    it changes, so that nothing comes between a condition and the change that it is for.
    """

    def __init__(
        self,
        row: Endpoint,
        frame: Frame,
        current: "Call | None" = None,
        turn: DeferredLock | None = None,
    ) -> None:
        self.row = row
        self._frame = frame
        self._current = current
        self._turn = turn
        self._arguments = Arguments(row)

    async def answer(self, request: Request, parameters: Mapping[str, str]) -> bytes:
        """Answer one; raises Problem and Refusal."""
        entry = Entry(None, self.row.name, _object(request), _address(request), request_id(request))
        try:
            answer = await self._decided(request, parameters, entry)
        except (Problem, Refusal) as error:
            problem = error if isinstance(error, Problem) else refused(error)
            if self._is_told(request, problem.status):
                await self._record(entry, "refused", problem.detail)
            raise problem from None
        except Exception:
            if not self.row.is_safe:
                await self._record(entry, "failed", "a bug; the log has it")
            raise
        if self.row.is_written_down:
            await self._record(entry, "done", "")
        for name, value in answer.headers:
            request.setHeader(name, value)
        return compose(request, answer.status, answer.body, None)

    async def _decided(
        self, request: Request, parameters: Mapping[str, str], entry: Entry
    ) -> Answer:
        try:
            entry.by = await self._admit(request)
            return await self._answer(request, parameters, entry)
        except StoreError as error:
            # Its text names files, which are nobody's business who may only call.
            _log.error("a call of the admin API needs the store: {error}", error=error)
            raise UnavailableError(
                "The store cannot be reached at the moment; the log says why."
            ) from error

    async def _admit(self, request: Request) -> Principal | None:
        authorization = request.requestHeaders.getRawHeaders(b"Authorization", [])
        by = await self._frame.guard.admit(self.row, authorization, _address(request))
        if by is not None:
            self._frame.allowance.take(by)
        return by

    async def _answer(
        self, request: Request, parameters: Mapping[str, str], entry: Entry
    ) -> Answer:
        if self.row.policy:
            request.setHeader(b"Content-Security-Policy", self.row.policy.encode())
        arguments = self._arguments.path(parameters)
        query, is_dry_run = self._arguments.query(request.uri.partition(b"?")[2])
        assert request.content is not None
        content = request.content.read()
        body = await self._body(request, content)
        on = conditions(request)
        asked = Asked(
            self._frame.services,
            entry.by,
            entry.address,
            entry.request_id,
            is_dry_run,
            entry,
            _cookies(request),
            request.isSecure(),
        )

        async def work() -> Answer:
            return await self._do(asked, on, arguments, query | body)

        key = request.requestHeaders.getRawHeaders(b"Idempotency-Key", [])
        if self.row.is_safe or not key:
            return await work()
        repeats = self._frame.idempotency
        if repeats is None or not self.row.takes_key or entry.by is None or len(key) > 1:
            raise InvalidError("This call takes no Idempotency-Key, or one at the most.")
        whole = b"%b %b\n%b" % (request.method, request.uri, content)
        return await repeats.once(entry.by.id, key[0], whole, work)

    async def _body(self, request: Request, content: bytes) -> dict[str, Any]:
        if content and (request.getHeader(b"Content-Encoding") or b"identity") != b"identity":
            raise Problem(415, "The body must not be compressed; take Content-Encoding out.")
        kind = request.getHeader(b"Content-Type")
        if len(content) <= AT_ONCE_BYTES:
            return self._arguments.body(kind, content)
        return await self._frame.in_thread(lambda: self._arguments.body(kind, content))

    async def _do(
        self, asked: Asked, on: Conditions, arguments: Mapping[str, Any], rest: Mapping[str, Any]
    ) -> Answer:
        """Call the function when the conditions hold."""
        if self._turn is not None:
            if len(self._turn.waiting) >= MAX_WAITING:
                raise BusyError("Too many changes wait for the one that is made at the moment.")
            await self._turn.acquire()
        try:
            if on and not self.row.is_safe:
                if self._current is None:
                    # Making the change would mean that the condition holds (RFC 9110, 13.2.1).
                    raise InvalidError(_NO_TAG)
                on.check(await self._current.etag(asked, arguments))
            answer = self._written(await self._called(asked, {**arguments, **rest}))
        finally:
            if self._turn is not None:
                self._turn.release()
        if on and self.row.is_safe and self.row.has_etag and on.is_known(_etag(answer)):
            return msgspec.structs.replace(answer, status=304, body=b"")
        return answer

    async def etag(self, asked: Asked, arguments: Mapping[str, Any]) -> str | None:
        """The tag of what reading would give now; None when there is nothing."""
        try:
            reply = await self._called(asked, {**arguments, **self._arguments.query(b"")[0]})
        except NotFoundError:
            return None
        return _etag(self._written(reply))

    async def _called(self, asked: Asked, arguments: Mapping[str, Any]) -> Reply[object]:
        answered = self.row.answer(asked, **arguments)
        if isawaitable(answered):
            answered = await answered
        return answered if isinstance(answered, Reply) else Reply(answered)

    def _written(self, reply: Reply[object]) -> Answer:
        headers: list[tuple[bytes, bytes]] = []
        body = b""
        if isinstance(reply.body, bytes):
            body = reply.body
        elif reply.body is not None:
            body = msgspec.json.encode(reply.body)
        if reply.body is not None:
            kind = reply.content_type or self.row.produces[0]
            headers.append((b"Content-Type", kind.encode()))
        if self.row.has_etag:
            headers.append((b"ETag", b'"%b"' % (reply.etag or tag_of(body)).encode()))
        if reply.location:
            headers.append((b"Location", reply.location.encode()))
        if reply.cookie:
            headers.append((b"Set-Cookie", reply.cookie.encode()))
        return Answer(0.0, b"", reply.status or self.row.status, tuple(headers), body)

    def _is_told(self, request: Request, status: int) -> bool:
        """Whether a refusal is written down: of a change, and of who may not or cannot sign in.

        Not of who reads without saying who they are. How many are kept is for the audit to bound.
        """
        if status == 401 and self.row.is_safe:
            return request.requestHeaders.hasHeader(b"Authorization")
        return not self.row.is_safe or status in (401, 403, 429)

    async def _record(self, entry: Entry, outcome: Outcome, reason: str) -> None:
        if self._frame.audit is None:
            return
        entry.outcome, entry.reason = outcome, reason
        try:
            await self._frame.audit.record(entry)
        except Refusal as error:
            # What was done is done; to say that it was not would be worse.
            _log.error(
                "the audit has no record of {entry.action} of {entry.object} by {by} from "
                "{entry.address}: {entry.outcome}, call {entry.request_id}; {error}",
                entry=entry,
                by=entry.by.name if entry.by else "nobody",
                error=error,
            )


_NO_TAG = "There is no ETag of this: take If-Match and If-None-Match out."


def shielded(work: Deferred[_T]) -> Deferred[_T]:
    """Follow work that goes on when nobody waits for it."""
    follower: Deferred[_T] = Deferred()

    def answer(result: _T | Failure) -> None:
        if not follower.called:
            follower.callback(result)
        elif isinstance(result, Failure) and not result.check(Problem):
            _log.failure("a call that nobody waited for failed", result)

    work.addBoth(answer)
    return follower


def _etag(answer: Answer) -> str:
    return dict(answer.headers)[b"ETag"].decode()[1:-1]


def _object(request: Request) -> str:
    path = request.path.decode()
    return path.replace("/api/v1/", "/api/", 1) if path.startswith("/api/v1/") else path


def _cookies(request: Request) -> dict[str, str]:
    found = request.received_cookies.items()
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in found}


def _address(request: Request) -> str:
    return str(getattr(request.getClientAddress(), "host", "unix"))
