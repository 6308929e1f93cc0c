"""Tells the service supervisor how the daemon is: systemd's sd_notify(3), without its library."""

import os
import socket
from collections.abc import Mapping

from twisted.logger import Logger


class Notify:
    """Sends states to the socket that systemd names; does nothing where there is none."""

    _log = Logger()

    def __init__(self, environ: Mapping[str, str]) -> None:
        # An @ stands for the zero byte of Linux's abstract names.
        self._path = environ.get("NOTIFY_SOCKET", "").replace("@", "\0", 1)

    def ready(self, status: str) -> None:
        """Say that the daemon serves; ends a reload too."""
        self._send(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}")

    def reloading(self, monotonic_s: float) -> None:
        """Say that a reload has begun, at this monotonic time."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={int(monotonic_s * 1e6)}")

    def stopping(self, status: str) -> None:
        """Say that the daemon is on its way out."""
        self._send(f"STOPPING=1\nSTATUS={status}")

    def _send(self, state: str) -> None:
        if not self._path:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
                notifier.setblocking(False)
                notifier.sendto(state.encode(), self._path)
        except OSError as error:
            self._log.warn("cannot notify the service supervisor: {error}", error=error)
