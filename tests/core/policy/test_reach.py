"""Where backends may be (F1)."""

from twisted.trial.unittest import SynchronousTestCase

from veloflux.core.model.address import Address
from veloflux.core.model.traffic import BackendNetworks
from veloflux.core.policy.reach import Reach

ADMIN = Address("127.0.0.1", 9090)


class Reaching(SynchronousTestCase):
    def admits(self, text: str, reach: Reach) -> bool:
        return reach.admits(Address.parse(text))

    def test_keeps_out_metadata_links_and_the_admin_listener_in_every_spelling(self) -> None:
        reach = Reach(BackendNetworks(), [ADMIN])
        for text in (
            "169.254.169.254:80",
            "[fd00:ec2::254]:80",
            "[fe80::1]:80",
            "0.0.0.0:80",
            "[::]:80",
            "224.0.0.1:80",
            "[ff02::1]:80",
            "[::ffff:169.254.169.254]:80",
            "[::169.254.169.254]:80",
            "[64:ff9b::a9fe:a9fe]:80",
            "[64:ff9b:1::a9fe:a9fe]:80",
            "[2002:a9fe:a9fe::1]:80",
            "127.0.0.1:9090",
            "[::ffff:7f00:1]:9090",
            "[64:ff9b::7f00:1]:9090",
        ):
            self.assertFalse(self.admits(text, reach), text)

    def test_lets_backends_be_where_they_are(self) -> None:
        reach = Reach(BackendNetworks(), [ADMIN])
        for text in (
            "127.0.0.1:9001",
            "10.0.0.1:80",
            "192.0.2.1:9090",
            "[::1]:9090",
            "[2001:db8::1]:80",
            "name.example:80",
            "unix:/run/app.sock",
        ):
            self.assertTrue(self.admits(text, reach), text)

    def test_can_be_narrowed_and_widened(self) -> None:
        reach = Reach(BackendNetworks(allow=("10.0.0.0/8",), deny=("10.9.0.0/16",)))
        self.assertTrue(self.admits("10.1.0.1:80", reach))
        self.assertFalse(self.admits("10.9.0.1:80", reach))
        self.assertFalse(self.admits("192.0.2.1:80", reach))
        self.assertTrue(self.admits("169.254.169.254:80", Reach(BackendNetworks(deny=()))))

    def test_an_admin_listener_everywhere_is_on_loopback_too(self) -> None:
        reach = Reach(BackendNetworks(), [Address("0.0.0.0", 9090)])
        self.assertFalse(self.admits("127.0.0.2:9090", reach))
        self.assertTrue(self.admits("127.0.0.2:9091", reach))

    def test_a_unix_socket_of_ours_is_no_backend(self) -> None:
        reach = Reach(BackendNetworks(), [Address(path="/run/admin.sock")])
        self.assertFalse(self.admits("unix:/run/admin.sock", reach))

    def test_what_a_name_leads_to_is_judged_as_an_address(self) -> None:
        reach = Reach(BackendNetworks(), [ADMIN])
        self.assertFalse(reach.admits_ip("169.254.169.254", 80))
        self.assertFalse(reach.admits_ip("fe80::1%eth0", 80))
        self.assertFalse(reach.admits_ip("127.0.0.1", 9090))
        self.assertTrue(reach.admits_ip("127.0.0.1", 9091))
