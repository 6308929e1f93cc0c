"""A secret that all workers of a node know, and that outlives the daemon: what is signed with it
today is known tomorrow.
"""

import os
import secrets

_NAME = "secret.key"
_BYTES = 32


def node_secret(data_dir: str) -> bytes:
    """Return the secret kept in `data_dir`, which is made when it is missing.

    Raises ValueError when the file is not one of ours, and OSError.
    """
    path = os.path.join(data_dir, _NAME)
    os.makedirs(data_dir, 0o700, exist_ok=True)
    try:
        with open(path, "rb") as file:
            kept = file.read(_BYTES + 1)
    except FileNotFoundError:
        return _make(path)
    if len(kept) != _BYTES:
        raise ValueError(f"{path} holds no key of {_BYTES} bytes; remove it to have a new one made")
    return kept


def _make(path: str) -> bytes:
    """Write a file that only its owner may read; it appears whole or not at all."""
    made = secrets.token_bytes(_BYTES)
    new = f"{path}.new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with open(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(made)
        file.flush()
        os.fsync(descriptor)
    os.replace(new, path)
    return made
