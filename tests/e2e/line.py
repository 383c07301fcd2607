"""A TCP line to a server that can be cut, held up and made slow, to put between it and a worker."""

import contextlib
import socket
import threading
import time
from typing import Any, List, Optional

PORTION = 16 << 10  # that is passed on at once
BUFFER = 64 << 10  # of the kernel, so that a slow line is not hidden behind large ones


class Line:
    """Passes bytes between whoever connects to `url` and the port of a server. `rate` is in bytes a
    second and direction; None: as fast as it goes."""

    def __init__(self, port: int, rate: Optional[int] = None) -> None:
        self._to, self.rate = ("127.0.0.1", port), rate
        self._listener = socket.socket()
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._listener.setsockopt(socket.SOL_SOCKET, option, BUFFER)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen()
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._ends: List[socket.socket] = []
        self._lock, self._flowing, self._closed = threading.Lock(), threading.Event(), False
        self._flowing.set()
        self.passed = 0  # bytes
        self.connections = 0
        threading.Thread(target=self._accept, daemon=True).start()

    # -- faults

    def cut(self) -> None:
        """Ends all connections; new ones may come."""
        with self._lock:
            ends, self._ends = self._ends, []
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def hold(self) -> None:
        """Connections stand and come about, and nothing gets through."""
        self._flowing.clear()

    def go_on(self) -> None:
        self._flowing.set()

    def close(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.go_on()
        self.cut()

    def __enter__(self) -> "Line":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    # -- the way of the bytes

    def _accept(self) -> None:
        while not self._closed:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(self._to)
            except OSError:  # nobody is there
                near.close()
                continue
            far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
            far.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            with self._lock:
                self._ends += [near, far]
                self.connections += 1
            for ends in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=ends, daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        due = time.monotonic()
        with contextlib.suppress(OSError):
            while True:
                data = source.recv(PORTION)
                if not data:
                    break
                self._flowing.wait()
                if self.rate:
                    due = max(due, time.monotonic()) + len(data) / self.rate
                    time.sleep(max(0.0, due - time.monotonic()))
                sink.sendall(data)
                self.passed += len(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
