"""Why a service does not do what it is asked, said without HTTP.

Each class is one kind of reason; the API gives each a status, in one table. `detail` is for the
caller to read: it names the thing and the way out, and holds no secret.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with what was sent; `pointer` (RFC 6901) leads to it.

    `code` is one word for programs, `detail` a sentence for people.
    """

    pointer: str
    code: str
    detail: str


class Refusal(Exception):  # noqa: N818  # what its subclasses are; it is never raised itself
    """What all reasons have in common."""

    def __init__(self, detail: str, problems: Iterable[Fault] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.problems = tuple(problems)


class InvalidError(Refusal):
    """What was sent can never be right; `problems` holds everything that is wrong with it."""


class UnauthenticatedError(Refusal):
    """It is not known who calls: the proof is missing, wrong or at its end."""


class SignInError(UnauthenticatedError):
    """What was sent to sign in with is wrong."""


class ForbiddenError(Refusal):
    """The caller is known, and may not."""


class NotFoundError(Refusal):
    """There is no such thing, or none that the caller may know of."""


class ConflictError(Refusal):
    """It is right by itself, and does not go with what is there."""


class StaleError(Refusal):
    """It was meant for another state than the one that is there.

    `etag` is the current one without its quotes, empty when there is nothing.
    """

    def __init__(self, detail: str, etag: str = "") -> None:
        super().__init__(detail)
        self.etag = etag


class BusyError(Refusal):
    """Too much is asked at the moment; it may work after `retry_after_s`."""

    def __init__(self, detail: str, retry_after_s: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class TooManyTriesError(BusyError):
    """So many credentials were wrong that no more are looked at for a while."""


class UnavailableError(Refusal):
    """Something that this needs does not work at the moment."""
