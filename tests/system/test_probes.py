"""Health checks of real servers on loopback."""

from shutil import rmtree
from tempfile import mkdtemp
from typing import Any

from twisted.internet import reactor as global_reactor  # noqa: TID251  # a test is a main program
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from veloflux.core.model.address import Address
from veloflux.core.model.traffic import Backend, HealthCheck, Pool, Snapshot
from veloflux.fleet.probes import Probes

reactor: Any = global_reactor


class Health(Resource):
    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.agents: list[bytes | None] = []

    def render_GET(self, request: Request) -> bytes:
        self.agents.append(request.getHeader(b"user-agent"))
        if request.path == b"/slow":
            return b"x" * 200_000
        request.setResponseCode(200 if request.path == b"/health" else 500)
        return b"fine"


class LoopbackTests(TestCase):
    timeout = 20

    def states_of(self, *pools: Pool) -> Deferred[dict[str, bool]]:
        """What the first result of each pool's one backend says."""
        found: dict[str, bool] = {}
        done: Deferred[dict[str, bool]] = Deferred()

        def changed(pool: str, backend: str, healthy: bool) -> None:
            found[pool] = healthy
            if len(found) == len(pools):
                done.callback(found)

        probes = Probes(reactor, changed, lambda *_: None, lambda: 0.5)
        self.addCleanup(probes.stop)
        probes.configure(Snapshot(1, (), pools, ()))
        return done

    async def test_tells_good_backends_from_bad_ones(self) -> None:
        health = Health()
        port = reactor.listenTCP(0, Site(health), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        directory = mkdtemp()  # trial's own may be too deep for a socket's name
        self.addCleanup(rmtree, directory)
        path = f"{directory}/backend.sock"
        unix = reactor.listenUNIX(path, Site(health))
        self.addCleanup(unix.stopListening)
        silent = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(silent.stopListening)
        closed = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        refused = Address("127.0.0.1", closed.getHost().port)
        await closed.stopListening()

        def pool(name: str, address: Address, **how: Any) -> Pool:
            check = HealthCheck(**{"timeout_s": 5.0, **how})
            return Pool(name, (Backend(address),), health_check=check)

        server = Address("127.0.0.1", port.getHost().port)
        found = await self.states_of(
            pool("good", server),
            pool("by name", Address("localhost", server.port), type="tcp"),
            pool("unix", Address(path=path)),
            pool("long answer", server, path="/slow"),
            pool("error", server, path="/other"),
            pool("silent", Address("127.0.0.1", silent.getHost().port), timeout_s=0.2),
            pool("closed", refused),
            pool("no name", Address("no-such-host.invalid", 80)),
        )
        good = {"good", "by name", "unix", "long answer"}
        bad = {"error", "silent", "closed", "no name"}
        self.assertEqual(found, dict.fromkeys(good, True) | dict.fromkeys(bad, False))
        self.assertTrue(all(a and a.startswith(b"veloflux-health/") for a in health.agents))
