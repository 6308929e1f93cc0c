"""A backend in a thread of the test: it answers with its name, and can be held up."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Backend:
    """Serves on a port of 127.0.0.1 that the system chose, until closed.

    Every answer's body is `name`. Requests for paths under `/held` wait for `release`.
    """

    def __init__(self, name: str = "one") -> None:
        self.name = name
        self.arrived = threading.Semaphore(0)
        self.release = threading.Event()
        backend = self

        class Answer(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Head and body in one piece, or the second waits for the first's acknowledgement.
            wbufsize = -1
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                backend.arrived.release()
                if self.path.startswith("/held"):
                    backend.release.wait(60)
                body = backend.name.encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:
                    self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it listens, as in a configuration."""
        return f"127.0.0.1:{self.port}"

    def close(self) -> None:
        """Answer whoever waits, and stop."""
        self.release.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
