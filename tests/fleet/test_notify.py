"""What a service supervisor is told."""

import os
import socket
import tempfile

from twisted.trial.unittest import SynchronousTestCase

from veloflux.fleet.notify import Notify


class NotifyTests(SynchronousTestCase):
    def receiver(self, name: str) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.settimeout(5)
        sock.bind(name)
        return sock

    def path(self) -> str:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        return f"{directory.name}/notify"

    def test_tells_each_state(self) -> None:
        path = self.path()
        systemd, notify = self.receiver(path), Notify({"NOTIFY_SOCKET": path})
        notify.ready("serving")
        expected = b"READY=1\nSTATUS=serving\nMAINPID=%d" % os.getpid()
        self.assertEqual(systemd.recv(4096), expected)
        notify.reloading(12.5)
        self.assertEqual(systemd.recv(4096), b"RELOADING=1\nMONOTONIC_USEC=12500000")
        notify.stopping("draining")
        self.assertEqual(systemd.recv(4096), b"STOPPING=1\nSTATUS=draining")

    def test_knows_abstract_names(self) -> None:
        name = f"veloflux-test-{os.getpid()}"
        systemd = self.receiver(f"\0{name}")
        Notify({"NOTIFY_SOCKET": f"@{name}"}).ready("serving")
        self.assertTrue(systemd.recv(4096).startswith(b"READY=1"))

    def test_without_systemd_it_does_nothing(self) -> None:
        Notify({}).ready("serving")

    def test_goes_on_when_nobody_listens(self) -> None:
        Notify({"NOTIFY_SOCKET": self.path()}).ready("serving")
        self.assertEqual(self.flushLoggedErrors(), [])
