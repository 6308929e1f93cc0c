"""The same under any other reactor, whose transports queue each write for the next turn.

What waits, holds back and ends connections, over again: there nothing is spliced, and how much is
unsent has to be asked in another way.
"""

from tests.edge import (
    test_attempts,
    test_bodies,
    test_compression,
    test_http2_backends,
    test_http2_tunnels,
    test_keepalive,
    test_limits,
    test_mirror,
    test_pipelining,
    test_service,
    test_timeouts,
    test_tunnels,
)


class Attempts(test_attempts.Gone):
    has_stock_transports = True


class EarlyAnswers(test_bodies.EarlyAnswers):
    has_stock_transports = True


class Compressed(test_compression.Streams):
    has_stock_transports = True


class Mirrors(test_mirror.Trouble):
    has_stock_transports = True


class Copies(test_mirror.Bounds):
    has_stock_transports = True


class Sizes(test_keepalive.Sizes):
    has_stock_transports = True


class Memory(test_limits.Memory):
    has_stock_transports = True


class Bounds(test_pipelining.Bounds):
    has_stock_transports = True


class Drain(test_service.Drain):
    has_stock_transports = True


class Close(test_service.Close):
    has_stock_transports = True


class Clients(test_timeouts.Clients):
    has_stock_transports = True


class Readers(test_timeouts.Readers):
    has_stock_transports = True


class Backends(test_timeouts.Backends):
    has_stock_transports = True


class Tunnels(test_tunnels.Tunnels):
    has_stock_transports = True


class Relays(test_tunnels.Relays):
    has_stock_transports = True


class Http2Backends(test_http2_backends.FromHttp2):
    has_stock_transports = True


class Http2Connections(test_http2_backends.Connections):
    has_stock_transports = True


class Http2Tunnels(test_http2_tunnels.Tunnels):
    has_stock_transports = True
