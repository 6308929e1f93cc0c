"""A real backend that behaves as a simulated one: the same queue and script, with a real clock.

    python -m bench.balancing.backend --port 9001 --script '{"fails": 2.0}'

The script's time begins at SIGUSR1; until then it answers at once. `/health` always answers.
"""

import argparse
import asyncio
import json
import signal
from dataclasses import replace

from bench.balancing.server import Script, Server

HEAD_END = b"\r\n\r\n"


def script_of(text: str) -> Script:
    """A script from JSON, with the names of Script; raises TypeError for one that is not there."""
    fields = json.loads(text)
    fields["slow"] = tuple(tuple(stretch) for stretch in fields.get("slow", ()))
    return replace(Script(), **fields)


class Backend:
    """Answers requests without bodies when `server` says so."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._name = server.name.encode()
        self._loop = asyncio.get_running_loop()
        self.started_at: float | None = None

    async def serve(self, port: int) -> None:
        """Listen from the moment on that the script says, for as long as the process lives."""
        started = asyncio.Event()

        def start() -> None:
            self.started_at = self._loop.time()
            started.set()

        self._loop.add_signal_handler(signal.SIGUSR1, start)
        joins = self._server.script.joins
        if joins:
            await started.wait()
            await asyncio.sleep(joins)
        listener = await asyncio.start_server(self._talk, "127.0.0.1", port, backlog=1024)
        await listener.serve_forever()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(HEAD_END)
                is_good = True
                if not head.startswith(b"GET /health") and self.started_at is not None:
                    reply = self._server.ask(self._loop.time() - self.started_at)
                    is_good = reply is not None and reply.is_good
                    if reply is not None:
                        until = self.started_at + reply.at
                        await asyncio.sleep(until - self._loop.time())
                status = b"200 OK" if is_good else b"500 Internal Server Error"
                writer.write(
                    b"HTTP/1.1 %b\r\nContent-Length: 3\r\nX-Backend: %b\r\n\r\nok\n"
                    % (status, self._name)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the proxy has closed the connection
        finally:
            writer.close()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--script", type=script_of, default=Script())
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--work-s", type=float, default=0.02)
    chosen = parser.parse_args()

    async def serve() -> None:
        name = f"127.0.0.1:{chosen.port}"
        server = Server(name, chosen.script, chosen.slots, chosen.work_s, queue=10_000, seed=1)
        await Backend(server).serve(chosen.port)

    asyncio.run(serve())


if __name__ == "__main__":
    main()
