"""Run a command that ends with whoever started it.

    python -m veloflux.demo.leash COMMAND [ARGUMENT ...]

Should the one who started it be killed outright, without time to stop anything, the kernel sends
the command SIGTERM.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(command: list[str]) -> None:
    """Become `command`; raises OSError when it cannot be run."""
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # gone before the kernel was asked to tell
        raise SystemExit(1)
    # Masked signals survive exec, and the one who starts us waits for its own with a mask.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    os.execvp(command[0], command)  # noqa: S606  the command is the caller's own


if __name__ == "__main__":
    main(sys.argv[1:])
