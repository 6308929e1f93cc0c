"""The operator's password where the configuration has none: made once, kept as a hash.

The first start writes the password itself to `data_dir/admin-password`, for the operator to read
and remove, and its argon2id hash to `admin-password.hash`, which is all that is read ever after.
"""

import os
import secrets

from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import InvalidHashError, VerificationError
from twisted.logger import Logger

# The second choice of the OWASP Password Storage Cheat Sheet: 19 MiB, two passes, one lane.
HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)

_log = Logger()


def stored_hash(data_dir: str) -> str:
    """Return the hash kept in this directory; make it, a password and a hash when there is none.

    Raises ValueError when it cannot be kept there, or what is kept is no such hash. It blocks: it
    is for the start.
    """
    path = os.path.join(data_dir, "admin-password.hash")
    try:
        os.makedirs(data_dir, mode=0o700, exist_ok=True)
        kept = _read(path)
        if kept is None:
            return _make(data_dir, path)
    except OSError as error:
        raise ValueError(
            f"data_dir: the operator's password cannot be kept in {data_dir}: {error.strerror} "
            f"({error.filename}); make it a directory that this user may write to, or name another"
        ) from error
    try:
        extract_parameters(kept)
    except InvalidHashError:
        raise ValueError(
            f"{path} holds no argon2 hash; remove it to have a new password made"
        ) from None
    return kept


def matches(kept: str, password: bytes) -> bool:
    """Whether this is the password of that hash; takes tens of milliseconds."""
    try:
        return HASHER.verify(kept, password)
    except VerificationError:
        return False


def _read(path: str) -> str | None:
    try:
        with open(path) as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


def _make(data_dir: str, path: str) -> str:
    password = secrets.token_urlsafe(24)
    made = HASHER.hash(password)
    clear = os.path.join(data_dir, "admin-password")
    # The hash comes last: if we are cut off between the two, the next start makes both anew.
    _write(clear, password + "\n")
    _write(path, made + "\n")
    _log.warn("a password for the operator was made; it is in {path}", path=clear)
    return made


def _write(path: str, text: str) -> None:
    """Write a file that only its owner may read; it appears whole or not at all."""
    new = f"{path}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    os.replace(new, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
