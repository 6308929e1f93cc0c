"""What may be said of a person: addresses, names and passwords that are in order."""

import re
import unicodedata
from collections.abc import Iterator

import msgspec

from veloflux.control.services.errors import Fault, InvalidError
from veloflux.control.services.identity.hashing import MAX_PASSWORD_BYTES
from veloflux.control.services.principal import Role

MIN_PASSWORD = 12
MAX_NAME = 100
MAX_EMAIL = 254

# What browsers take for an address (HTML, 4.10.5.1.5): no quotes, no spaces, nothing that could
# end a header.
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_EMAIL = re.compile(rf"[A-Za-z0-9.!#$%&'*+/=?^_`{{|}}~-]{{1,64}}@{_LABEL}(?:\.{_LABEL})*")


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What a user shall be; None leaves it as it is."""

    email: str | None = None
    role: Role | None = None
    first_name: str | None = None
    last_name: str | None = None
    enabled: bool | None = None
    password: str | None = None


def folded(name: str) -> str:
    """Write a name as it is compared: there are not two that differ in case alone."""
    return name.lower()


def checked(changes: Changes) -> Changes:
    """Return them with names trimmed; raises InvalidError with all that is wrong."""
    trimmed = msgspec.structs.replace(
        changes,
        first_name=changes.first_name and changes.first_name.strip(),
        last_name=changes.last_name and changes.last_name.strip(),
    )
    faults = tuple(_faults(trimmed))
    if faults:
        raise InvalidError("The user is not as it should be.", faults)
    return trimmed


def label_faults(field: str, label: str) -> Iterator[Fault]:
    """Say what is wrong with a name that people read."""
    if len(label) > MAX_NAME:
        yield Fault(f"/{field}", "value", f"has {MAX_NAME} characters at the most")
    # Control characters, lone surrogates, and what turns the direction of text around.
    elif any(unicodedata.category(each) in ("Cc", "Cs", "Cf", "Zl", "Zp") for each in label):
        yield Fault(f"/{field}", "value", "has letters, not control characters")


def _faults(changes: Changes) -> Iterator[Fault]:
    if changes.email is not None and (
        len(changes.email) > MAX_EMAIL or not _EMAIL.fullmatch(changes.email)
    ):
        yield Fault("/email", "value", "is an address such as ada@example.org")
    for field in ("first_name", "last_name"):
        yield from label_faults(field, getattr(changes, field) or "")
    if changes.password is not None:
        yield from _password_faults(changes.password, changes.email)


def _password_faults(password: str, email: str | None) -> Iterator[Fault]:
    try:
        size = len(password.encode())
    except UnicodeEncodeError:
        yield Fault("/password", "value", "is text")
        return
    if len(password) < MIN_PASSWORD:
        yield Fault("/password", "value", f"has {MIN_PASSWORD} characters at least")
    elif size > MAX_PASSWORD_BYTES:
        yield Fault("/password", "value", f"has {MAX_PASSWORD_BYTES} bytes at the most")
    elif len(set(password)) == 1 or (email and folded(password) == folded(email)):
        yield Fault("/password", "value", "is too easy to guess")
