"""A backend in a thread of the test: it says what it got, and can be slow, ill or held up."""

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.support.content import BLOCK, blocks, digest


class Backend:
    """Serves on a port of 127.0.0.1 that the system chose, until closed.

    Every answer's body is `name`, but for these paths: `/held…` waits for `release` first,
    `/bytes?n=` sends so many of `content.blocks`, chunked with `&chunked=1`, `/health` has the
    status `health`. A request with a body is answered with its digest. `paths` counts requests.
    """

    def __init__(self, name: str = "one", port: int = 0) -> None:
        self.name = name
        self.health = 200
        self.paths: Counter[str] = Counter()
        self.arrived = threading.Semaphore(0)
        self.release = threading.Event()
        backend = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body in one piece, or the second waits for the first's acknowledgement.
            wbufsize = 65536
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                address = urlsplit(self.path)
                query = {name: values[-1] for name, values in parse_qs(address.query).items()}
                backend.paths[address.path] += 1
                told = self._told()
                backend.arrived.release()
                if address.path.startswith("/held"):
                    backend.release.wait(60)
                if address.path == "/bytes":
                    self._send_blocks(int(query["n"]), chunked="chunked" in query)
                else:
                    self._send(backend.health if address.path == "/health" else 200, told)

            do_HEAD = do_PUT = do_POST = do_DELETE = do_OPTIONS = do_PATCH = do_PURGE = do_GET

            def _told(self) -> bytes:
                """What to say of the request: the digest of its body if it has one."""
                if "Transfer-Encoding" in self.headers:
                    return digest(self._chunks()).encode()
                if "Content-Length" in self.headers:
                    return digest(self._counted(int(self.headers["Content-Length"]))).encode()
                return backend.name.encode()

            def _counted(self, left: int) -> Iterator[bytes]:
                while left:
                    piece = self.rfile.read1(min(left, BLOCK))
                    if not piece:
                        raise ConnectionError("the body is not whole")
                    left -= len(piece)
                    yield piece

            def _chunks(self) -> Iterator[bytes]:
                while size := int(self.rfile.readline().split(b";")[0], 16):
                    yield from self._counted(size)
                    self.rfile.readline()
                self.rfile.readline()

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            def _send_blocks(self, size: int, chunked: bool) -> None:
                self.send_response(200)
                if chunked:
                    self.send_header("Transfer-Encoding", "chunked")
                else:
                    self.send_header("Content-Length", str(size))
                self.end_headers()
                if self.command == "HEAD":
                    return
                for piece in blocks(size):
                    if chunked:
                        self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
                    else:
                        self.wfile.write(piece)
                if chunked:
                    self.wfile.write(b"0\r\n\r\n")

            def handle(self) -> None:
                try:
                    super().handle()
                except (ConnectionError, ValueError):
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False
            request_queue_size = 1024

            def handle_error(self, request: object, client_address: object) -> None:
                """Clients that go away in the middle are part of the tests."""
                if not isinstance(sys.exc_info()[1], ConnectionError):
                    super().handle_error(request, client_address)

        self._server = Server(("127.0.0.1", port), Answer)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens, as in a configuration."""
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Answer whoever waits, and stop accepting."""
        if self._thread.is_alive():
            self.release.set()
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
