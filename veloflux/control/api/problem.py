"""Errors as problem details (RFC 9457), with the members that older clients read beside them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from math import ceil

import msgspec

from veloflux.control.services import errors
from veloflux.control.services.errors import Fault, Refusal

CONTENT_TYPE = b"application/problem+json"
BEARER = b'Bearer realm="VeloFlux"'

# The most special class that an error has decides.
_STATUSES: dict[type[Refusal], int] = {
    errors.InvalidError: 400,
    errors.UnauthenticatedError: 401,
    errors.ForbiddenError: 403,
    errors.NotFoundError: 404,
    errors.ConflictError: 409,
    errors.StaleError: 412,
    errors.BusyError: 429,
    errors.UnavailableError: 503,
}


@dataclass(frozen=True, slots=True)
class ProblemDetails:
    """What went wrong (RFC 9457); `instance` is the request's id.

    `error`, `message` and `code` are `title`, `detail` and `status` for older clients.
    """

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: tuple[Fault, ...]
    error: str
    message: str
    code: int


class Problem(Exception):  # noqa: N818  # RFC 9457's word for it
    """An answer that is no success; `detail` is for the caller to read, and gives nothing away."""

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[bytes, bytes] | None = None,
        errors: Iterable[Fault] = (),
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.errors = tuple(errors)

    def body(self, instance: str) -> bytes:
        """Write it for the request with this id."""
        title = HTTPStatus(self.status).phrase
        return msgspec.json.encode(
            ProblemDetails(
                type="about:blank",
                title=title,
                status=self.status,
                detail=self.detail,
                instance=instance,
                errors=self.errors,
                error=title,
                message=self.detail,
                code=self.status,
            )
        )


def refused(refusal: Refusal) -> Problem:
    """Make a problem of a service's reason."""
    kind = next(each for each in type(refusal).__mro__ if each in _STATUSES)
    headers = _HEADERS.get(kind, _none)(refusal)
    return Problem(_STATUSES[kind], refusal.detail, headers, refusal.problems)


def _none(refusal: Refusal) -> dict[bytes, bytes]:
    return {}


def _etag(refusal: Refusal) -> dict[bytes, bytes]:
    assert isinstance(refusal, errors.StaleError)
    return {b"ETag": b'"%b"' % refusal.etag.encode()} if refusal.etag else {}


def _bearer(refusal: Refusal) -> dict[bytes, bytes]:
    return {b"WWW-Authenticate": BEARER}


def retry_after(refusal: Refusal) -> dict[bytes, bytes]:
    """Say when it may work, in whole seconds."""
    assert isinstance(refusal, errors.BusyError)
    return {b"Retry-After": b"%d" % max(1, ceil(refusal.retry_after_s))}


_HEADERS: dict[type, Callable[[Refusal], dict[bytes, bytes]]] = {
    errors.UnauthenticatedError: _bearer,
    errors.StaleError: _etag,
    errors.BusyError: retry_after,
}
