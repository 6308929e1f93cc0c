"""May this process use that directory? One at a time may.

The lock is the kernel's: it ends with the last process that has it, however that ends, and a
daemon that goes into the background takes it along.
"""

import fcntl
import os

from veloflux.control.store.faults import explained
from veloflux.control.store.store import StoreError

_NAME = "store.lock"


class Claim:
    """A directory that is ours until `release`; it is made when it is missing.

    Raises StoreError when it cannot be had.
    """

    def __init__(self, directory: str) -> None:
        path = os.path.join(directory, _NAME)
        with explained(path):
            _make(directory)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            give_to_owner(self._descriptor, directory)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(self._descriptor)
            raise StoreError(
                f"{directory} is in use by another daemon (process {holder or 'unknown'}); "
                "stop that one, or give this one a data_dir of its own"
            ) from None
        self.name_holder()

    def name_holder(self) -> None:
        """Write down who has it, for whoever is refused."""
        os.ftruncate(self._descriptor, 0)
        # It is a courtesy: on a full disk the lock holds without it.
        try:
            os.pwrite(self._descriptor, b"%d\n" % os.getpid(), 0)
        except OSError:
            return

    def release(self) -> None:
        """Let others have it; harmless when done twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _make(directory: str) -> None:
    parent = os.path.dirname(os.path.abspath(directory))
    if not os.path.isdir(directory):
        if not os.path.exists(parent):
            os.makedirs(parent)
        os.mkdir(directory, 0o700)
        made = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            give_to_owner(made, parent)
        finally:
            os.close(made)
        sync_directory(parent)
    mode = os.stat(directory).st_mode
    # Whoever can write to it could put another file in place of ours.
    if mode & 0o022:
        os.chmod(directory, mode & 0o7755)


def give_to_owner(descriptor: int, directory: str) -> None:
    """Let a file belong to the directory's owner: root may start what goes on as somebody else."""
    if os.geteuid() == 0:
        found = os.stat(directory)
        os.fchown(descriptor, found.st_uid, found.st_gid)


def sync_directory(directory: str) -> None:
    """Make names in it as durable as the files they name."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
