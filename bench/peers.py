"""The proxies that are measured: how each is started, and with which configuration.

Each stands before one origin, keeps connections to it, and names the client to it, with one
processor's worth of workers. `$port`, `$origin`, `$admin` and `$folder` are filled in.
"""

import os
import pwd
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from string import Template

from bench.load import Wrk, answers, free_port
from bench.prices import PRICES, Price, configuration
from bench.process import Process
from veloflux.config.self_signed import make

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Peer:
    """A proxy in one configuration; `$config` in the command is that file's path.

    `other` is a configuration that it changes to and back under load. `load` stands in place of the
    work's; with `against`, what it costs more than that peer is shown. One that `is_secure` speaks
    TLS, with a certificate in `$folder` that is made for it (ECDSA, P-256). `calls` are those of
    its admin API, a second, under load; `watchers` is how many watch its metrics then, None where
    it is not looked at what they cost.
    """

    label: str
    command: str
    config: str = ""
    other: str = ""
    preface: bytes = b""
    load: Wrk | None = None
    against: str = ""
    is_secure: bool = False
    calls: int = 0
    watchers: int | None = None

    def start(self, key: str, origin: int, cores: set[int], folder: Path) -> "Running":
        """Start it before `origin`; raises BenchError when it does not come up."""
        port = free_port()
        room = folder / key
        room.mkdir()
        admin = free_port()
        words = {
            "port": port,
            "origin": origin,
            "admin": admin,
            "folder": room,
            "config": room / "config",
            "python": sys.executable,
            "bin": Path(sys.executable).parent,
            "here": HERE,
        }
        configs = [Template(text).substitute(words) for text in (self.config, self.other)]
        (room / "config").write_text(configs[0])
        if self.is_secure:
            made = make(["127.0.0.1", "h"], datetime.now(UTC))
            for name, content in zip(("tls.pem", "tls.key"), made, strict=True):
                (room / name).write_bytes(content)
                (room / name).chmod(0o600)
        command = [Template(word).substitute(words) for word in self.command.split()]
        process = Process(key, command, cores, room)
        try:
            process.wait(lambda: answers(port, self.preface, self.is_secure))
        except BaseException:
            process.end()
            raise
        both = configs[0], configs[1]
        more = (admin, self.calls, self.watchers)
        return Running(self.label, port, process, room / "config", both, *more)


@dataclass(frozen=True, slots=True)
class Running:
    """A peer that answers at 127.0.0.1:`port`, and `calls` times a second at `admin`, where it has
    so many watchers."""

    label: str
    port: int
    process: Process
    config: Path
    configs: tuple[str, str]
    admin: int
    calls: int
    watchers: int | None

    def reconfigure(self, is_other: bool) -> None:
        """Write its other configuration, or its first one again; it is not told."""
        aside = self.config.with_name("config.new")
        aside.write_text(self.configs[is_other])
        aside.rename(self.config)


# Its workers take the rights of whoever starts it, so that they can use files here.
NGINX_TOP = (
    f"user {pwd.getpwuid(os.getuid()).pw_name};"
    + """
daemon off;
worker_processes 1;
pid $folder/pid;
error_log stderr crit;
events { worker_connections 8000; }
http {
  client_body_temp_path $folder; proxy_temp_path $folder; fastcgi_temp_path $folder;
  uwsgi_temp_path $folder; scgi_temp_path $folder;
  keepalive_requests 1000000000;
"""
)

# 100 bytes of answer from memory, and files; behind a PROXY header at two more addresses.
ORIGIN = (
    NGINX_TOP
    + """
  access_log off;
  sendfile on;
  server {
    listen 127.0.0.1:$port backlog=4096;
    listen 127.0.0.2:$port backlog=4096;
    listen 127.0.0.3:$port backlog=4096 proxy_protocol;
    listen 127.0.0.4:$port backlog=4096 proxy_protocol;
    root $folder;
    location / { return 200 "BODY"; }
    location = /json { default_type application/json; }
    location /files/ { }
  }
}
"""
)

NGINX = (
    NGINX_TOP
    + """
  access_log ACCESS;
  upstream origin {
    server 127.0.0.1:$origin;
    keepalive 256; keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:$port backlog=4096;
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $$host;
      proxy_set_header X-Forwarded-For $$remote_addr;
    }
  }
}
"""
)

NGINX_TLS = NGINX.replace(
    "listen 127.0.0.1:$port backlog=4096;",
    """listen 127.0.0.1:$port ssl backlog=4096;
    ssl_certificate $folder/tls.pem;
    ssl_certificate_key $folder/tls.key;
    ssl_protocols TLSv1.2 TLSv1.3;""",
)

NGINX_H2 = NGINX_TLS.replace(" ssl backlog", " ssl http2 backlog")

HAPROXY_TOP = """
global
  nbthread 1
  maxconn 4000
defaults
  timeout connect 3s
  timeout client 60s
  timeout server 60s
"""

HAPROXY_HTTP = (
    HAPROXY_TOP
    + """
  mode http
  option forwardfor
  http-reuse always
frontend in
  bind 127.0.0.1:$port backlog 4096
  default_backend out
backend out
  server origin 127.0.0.1:$origin
"""
)

HAPROXY_TCP = (
    HAPROXY_TOP
    + """
  mode tcp
frontend in
  bind 127.0.0.1:$port backlog 4096
  default_backend out
backend out
  server origin 127.0.0.1:$origin
"""
)

SPLICE = "mode tcp\n  option splice-request\n  option splice-response"

VELOFLUX = """
workers: WORKERS
data_dir: $folder/var
admin: {address: "127.0.0.1:$admin"}
listeners:
  - address: 127.0.0.1:$port
pools:
  - name: app
    backends: [{address: "127.0.0.1:$origin"}]
routes:
ROUTES
logging:
  access: ACCESS
"""
VELOFLUX_TCP = """
workers: 1
data_dir: $folder/var
admin: {address: "127.0.0.1:$admin"}
listeners:
  - {address: "127.0.0.1:$port", protocol: tcp, pool: app}
pools:
  - name: app
    backends: [{address: "127.0.0.1:$origin"}]
"""

SECURE = """- address: 127.0.0.1:$port
    tls: {certificates: [{cert: $folder/tls.pem, key: $folder/tls.key}]}"""
VELOFLUX_TLS = VELOFLUX.replace("- address: 127.0.0.1:$port", SECURE)

NGINX_COMMAND = "nginx -e stderr -c $config"
HAPROXY_COMMAND = "haproxy -db -f $config"
TWISTD_COMMAND = "$bin/twistd -n --pidfile= veloflux --config $config"

NO_LOG = "null"
ONE_ROUTE = "  - pool: app"


def _many(more: str = "") -> str:
    """As many routes as bench.load.MANY asks for, and one for everything else."""
    lines = [
        f"  - {{pool: app, host: h{host}.example.org, path_prefix: /p{prefix}{more}}}"
        for host in range(1000)
        for prefix in range(10)
    ]
    return "\n".join([ONE_ROUTE, *lines])


MANY_ROUTES = _many()
# Of those, the first have a pool each; one of them changes.
TENANTS = 2000


def _pools(of_first: int) -> str:
    """A pool for each tenant; the first grants so many attempts more than one."""
    backends = 'backends: [{address: "127.0.0.1:$origin"}]'
    first = f"\n  - {{name: t0, {backends}, retries: {{attempts: {of_first}}}}}"
    others = (f"\n  - {{name: t{n}, {backends}}}" for n in range(1, TENANTS))
    return first + "".join(others)


def _of_tenants() -> str:
    lines = MANY_ROUTES.splitlines()
    for n in range(TENANTS):
        lines[n + 1] = lines[n + 1].replace("pool: app", f"pool: t{n}")
    return "\n".join(lines)


# The same requests, but no route that is the same: none of the old one's parts can be kept.
OTHER_ROUTES = _many(", max_body_bytes: 1MiB")


def _nginx(access: str) -> Peer:
    return Peer("nginx", NGINX_COMMAND, NGINX.replace("ACCESS", access))


def _nginx_of_two() -> Peer:
    """As VeloFlux has it: a socket for each worker, so that connections are spread evenly."""
    config = NGINX.replace("ACCESS", "off").replace("worker_processes 1", "worker_processes 2")
    config = config.replace("listen 127.0.0.1:$port", "listen 127.0.0.1:$port reuseport")
    return Peer("nginx, two workers", NGINX_COMMAND, config)


def _veloflux(
    label: str = "VeloFlux",
    workers: int = 1,
    routes: str = ONE_ROUTE,
    access: str = NO_LOG,
    other_routes: str = "",
) -> Peer:
    filled = VELOFLUX.replace("WORKERS", str(workers)).replace("ACCESS", access)
    other = filled.replace("ROUTES", other_routes) if other_routes else ""
    return Peer(label, TWISTD_COMMAND, filled.replace("ROUTES", routes), other)


def _with_tenants(label: str, *, is_changed: bool = False) -> Peer:
    def configured(attempts: int) -> str:
        peer = _veloflux(routes=_of_tenants())
        return peer.config.replace("\nroutes:", f"{_pools(attempts)}\nroutes:")

    return Peer(label, TWISTD_COMMAND, configured(1), configured(2) if is_changed else "")


def _priced(price: Price) -> Peer:
    preface = b"PROXY UNKNOWN\r\n" if price.load and price.load.is_prefaced else b""
    return Peer(
        price.label,
        TWISTD_COMMAND,
        configuration(price),
        preface=preface,
        load=price.load,
        against=price.against and f"price-{price.against}",
    )


ORIGIN_PEER = Peer("origin", NGINX_COMMAND, ORIGIN.replace("BODY", "x" * 100))
PEERS = {
    "nginx": _nginx("off"),
    "nginx-2": _nginx_of_two(),
    "nginx-log": _nginx("$folder/access.log combined"),
    "haproxy": Peer("HAProxy", HAPROXY_COMMAND, HAPROXY_HTTP),
    "haproxy-tcp": Peer("HAProxy", HAPROXY_COMMAND, HAPROXY_TCP),
    "haproxy-splice": Peer("HAProxy", HAPROXY_COMMAND, HAPROXY_TCP.replace("mode tcp", SPLICE)),
    "twisted-web": Peer("twisted.web.proxy", "$python $here/proxy_twisted.py $port $origin"),
    "aiohttp": Peer("aiohttp", "$python $here/proxy_aiohttp.py $port $origin"),
    "floor": Peer("floor", "$python $here/floor.py $port $origin"),
    "veloflux": _veloflux(),
    "veloflux-log": _veloflux(access="{path: $folder/access.log, format: combined}"),
    "veloflux-tcp": Peer("VeloFlux", TWISTD_COMMAND, VELOFLUX_TCP),
    "nginx-tls": Peer("nginx", NGINX_COMMAND, NGINX_TLS.replace("ACCESS", "off"), is_secure=True),
    "nginx-h2": Peer("nginx", NGINX_COMMAND, NGINX_H2.replace("ACCESS", "off"), is_secure=True),
    "veloflux-tls": Peer(
        "VeloFlux",
        TWISTD_COMMAND,
        VELOFLUX_TLS.replace("WORKERS", "1").replace("ACCESS", NO_LOG).replace("ROUTES", ONE_ROUTE),
        is_secure=True,
    ),
    "veloflux-routes": _veloflux("VeloFlux, 10,000 routes", routes=MANY_ROUTES),
    "veloflux-one-route": _veloflux("VeloFlux, one route"),
    "veloflux-2": _veloflux("VeloFlux, two workers", workers=2),
    "veloflux-uncalled": _veloflux("VeloFlux, its admin API not called"),
    "veloflux-called": replace(
        _veloflux("VeloFlux, its admin API called 100 times a second"), calls=100
    ),
    "veloflux-quiet": _veloflux("VeloFlux, left alone", routes=MANY_ROUTES),
    "veloflux-swaps": _veloflux(
        "VeloFlux, reloaded", routes=MANY_ROUTES, other_routes=OTHER_ROUTES
    ),
    "veloflux-tenants-quiet": _with_tenants("VeloFlux, left alone"),
    "veloflux-tenants": _with_tenants("VeloFlux, one pool changed", is_changed=True),
    "veloflux-unwatched": replace(_veloflux("VeloFlux, not watched"), watchers=0),
    "veloflux-watched": replace(_veloflux("VeloFlux, 1,000 watchers"), watchers=1000),
    **{f"price-{key}": _priced(price) for key, price in PRICES.items()},
}
