"""Files that the configuration names: each is read once, and what it holds is what is used.

So what was checked is what is served, also when a file is replaced in between. Certificates that
are made on the spot are kept in the data directory, by whoever may write there.
"""

import os
import stat
from collections.abc import Sequence
from datetime import datetime

from veloflux.config import pem
from veloflux.config.self_signed import file_name, make
from veloflux.core.model.tls import Certificate, Document

# No chain of certificates is that long.
MAX_BYTES = 1 << 20


class Shelf:
    """Takes files relative to `directory`; with `keeps`, those that are made are written.

    `data_dir` is where they are kept, relative to it as well.
    """

    data_dir = "var"

    def __init__(self, directory: str, now: datetime, *, keeps: bool = False) -> None:
        self.directory = directory
        self._now = now
        self._keeps = keeps
        self._taken: dict[str, tuple[Document, bool]] = {}

    def take(self, path: str) -> Document:
        """The file with its content. Raises OSError, and ValueError for what is no such file."""
        return self._take(path)[0]

    def is_public(self, path: str) -> bool:
        """Whether every user of the machine can read it. Raises as `take` does."""
        return self._take(path)[1]

    def take_self_signed(self, names: Sequence[str]) -> Certificate:
        """A certificate for these, made when there is none that is good for a while. Raises
        OSError when it cannot be kept."""
        path = os.path.normpath(os.path.join(self.directory, self.data_dir, file_name(names)))
        try:
            cert, key = self.take(f"{path}.pem"), self.take(f"{path}.key")
            [leaf] = pem.certificates(cert.content)
            pem.check_pair(leaf, pem.public_key(key.content))
            if leaf.not_valid_after_utc - self._now > pem.SOON:
                return Certificate(cert, key)
        except (OSError, ValueError):
            pass
        content, secret = make(names, self._now)
        made = Certificate(Document(f"{path}.pem", content), Document(f"{path}.key", secret))
        if self._keeps:
            os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
            for document in (made.key, made.cert):
                _write(document)
        for document in (made.key, made.cert):
            self._taken[document.path] = document, False
        return made

    def _take(self, path: str) -> tuple[Document, bool]:
        path = os.path.normpath(os.path.join(self.directory, path))
        if path not in self._taken:
            self._taken[path] = _read(path)
        return self._taken[path]


def _write(document: Document) -> None:
    """It appears whole or not at all, and only its owner may read it."""
    fresh = f"{document.path}.{os.getpid()}"
    fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(fd, "wb") as file:
        file.write(document.content)
    os.replace(fresh, document.path)


def _read(path: str) -> tuple[Document, bool]:
    # Not to wait for ever when it is a pipe that nobody writes to.
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise ValueError("is not a file")
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"is over {MAX_BYTES} bytes")
    return Document(path, content), bool(mode & stat.S_IROTH)
