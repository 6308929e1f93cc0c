"""The same with clients that speak TLS: what waits, holds back and ends connections, over again."""

from tests.edge import (
    test_attempts,
    test_bodies,
    test_compression,
    test_keepalive,
    test_limits,
    test_mirror,
    test_pipelining,
    test_service,
    test_timeouts,
    test_tunnels,
)
from tests.support.secure import BackendsOverTls, OverTls


class Attempts(OverTls, test_attempts.Gone):
    pass


class EarlyAnswers(OverTls, test_bodies.EarlyAnswers):
    pass


class Compressed(OverTls, test_compression.Streams):
    pass


class Mirrors(OverTls, test_mirror.Trouble):
    pass


class Copies(OverTls, test_mirror.Bounds):
    pass


class Sizes(OverTls, test_keepalive.Sizes):
    pass


class Memory(OverTls, test_limits.Memory):
    pass


class Bounds(OverTls, test_pipelining.Bounds):
    pass


class Drain(OverTls, test_service.Drain):
    pass


class Close(OverTls, test_service.Close):
    pass


class Clients(OverTls, test_timeouts.Clients):
    pass


class Readers(OverTls, test_timeouts.Readers):
    pass


class Backends(OverTls, test_timeouts.Backends):
    pass


class Tunnels(OverTls, test_tunnels.Tunnels):
    pass


class Relays(OverTls, test_tunnels.Relays):
    pass


class EarlyAnswersFrom(BackendsOverTls, test_bodies.EarlyAnswers):
    pass


class AttemptsAt(BackendsOverTls, test_attempts.Gone):
    pass


class SizesFrom(BackendsOverTls, test_keepalive.Sizes):
    def test_both_at_once(self) -> None:
        """No record fits into its windows."""


class BackendsAt(BackendsOverTls, test_timeouts.Backends):
    pass


class TunnelsTo(BackendsOverTls, test_tunnels.Tunnels):
    pass


class RelaysTo(BackendsOverTls, test_tunnels.Relays):
    pass


class TunnelsThrough(OverTls, BackendsOverTls, test_tunnels.Tunnels):
    pass


class RelaysThrough(OverTls, BackendsOverTls, test_tunnels.Relays):
    pass


class StockRelays(OverTls, test_tunnels.Relays):
    has_stock_transports = True


class StockReaders(OverTls, test_timeouts.Readers):
    has_stock_transports = True


class StockDrain(OverTls, test_service.Drain):
    has_stock_transports = True


class StockEarlyAnswers(OverTls, test_bodies.EarlyAnswers):
    has_stock_transports = True
