"""A peer: what twisted.web ships as a reverse proxy. `proxy_twisted.py PORT ORIGIN`"""

import sys

from twisted.internet import reactor  # noqa: TID251  a program of its own
from twisted.web.proxy import ReverseProxyResource
from twisted.web.server import Site

port, origin = int(sys.argv[1]), int(sys.argv[2])
reactor.listenTCP(
    port, Site(ReverseProxyResource("127.0.0.1", origin, b"")), 4096, interface="127.0.0.1"
)
reactor.run()
