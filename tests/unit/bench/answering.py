"""Servers for the open-loop driver that answer as they are told, and plans for it."""

import itertools
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tests.benchmarks.bench.open_loop import Found, Plan, drive, request_bytes

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"
SHED = b"HTTP/1.1 503 Busy\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\nno"
CLOSING = OK.replace(b"Content-Length", b"Connection: close\r\ncontent-length")
LARGE = b"z" * 6_000_000
"""More than the kernel takes at once."""
FEW = {"per_second": 100.0, "seconds": 0.03, "connections": 1, "most": 1}
Answer = Callable[[int], bytes | list[bytes]]


@contextmanager
def serving(answer: Answer) -> Iterator[int]:
    """A server whose n-th request, whatever it is, gets `answer(n)`, part by part; empty bytes end the connection."""
    numbers = itertools.count()

    class Handler(socketserver.StreamRequestHandler):
        disable_nagle_algorithm = True

        def handle(self) -> None:
            try:
                while self.one():
                    pass
            except OSError:
                return  # a driver that refuses an answer does not wait for the rest of it

        def one(self) -> bool:
            line, length = self.rfile.readline(), 0
            if not line:
                return False
            while line.strip():
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
                line = self.rfile.readline()
            self.rfile.read(length)
            told = answer(next(numbers))
            parts = [told] if isinstance(told, bytes) else told
            for part in parts:
                self.wfile.write(part)
                if len(parts) > 1:
                    time.sleep(0.001)
            return all(parts) and b"Connection: close" not in b"".join(parts)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
            thread.join(10)


@contextmanager
def peer(run: Callable[[socket.socket], None], buffer: int = 0) -> Iterator[int]:
    """A server that does what `run` does with its listening socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(5)
        if buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        thread = threading.Thread(target=run, args=(listener,), daemon=True)
        thread.start()
        yield int(listener.getsockname()[1])
        thread.join(10)


def accepted(listener: socket.socket) -> socket.socket:
    taken = listener.accept()[0]
    taken.settimeout(5)
    return taken


def plan(
    port: int, *, per_second: float = 200, seconds: float = 0.2, connections: int = 4, most: int = 8, body: bytes = b"{}"
) -> Plan:
    request = request_bytes(f"http://127.0.0.1:{port}/x?y=1", body, {"Content-Type": "application/json"})
    return Plan("127.0.0.1", port, request.decode("latin-1"), per_second, seconds, connections, most)


def sent_to(answer: Answer, *, patience: float = 10, **how: float | bytes) -> Found:
    with serving(answer) as port:
        return drive(plan(port, **how), patience)  # type: ignore[arg-type]
