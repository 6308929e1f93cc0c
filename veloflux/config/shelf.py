"""Files that the configuration names: each is read once, and what it holds is what is used.

So what was checked is what is served, also when a file is replaced in between.
"""

import os
import stat

from veloflux.core.model.tls import Document

# No chain of certificates is that long.
MAX_BYTES = 1 << 20


class Shelf:
    """Takes files relative to `directory`."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self._taken: dict[str, tuple[Document, bool]] = {}

    def take(self, path: str) -> Document:
        """The file with its content. Raises OSError, and ValueError for what is no such file."""
        return self._take(path)[0]

    def is_public(self, path: str) -> bool:
        """Whether every user of the machine can read it. Raises as `take` does."""
        return self._take(path)[1]

    def _take(self, path: str) -> tuple[Document, bool]:
        path = os.path.normpath(os.path.join(self.directory, path))
        if path not in self._taken:
            self._taken[path] = _read(path)
        return self._taken[path]


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
