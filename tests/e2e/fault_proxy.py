"""A way between two programs that can be made bad: a proxy for TCP with faults to order.

A connection has two ways: UP, from who dials to who listens, and DOWN. Faults are put on a proxy
and hold for all its connections, also those to come, until heal(). Each call returns once it holds.

A byte stream of TCP has no holes. So what is stalled comes later, and who was robbed of bytes by
drop() is cut when the way heals, as by a firewall that has forgotten the connection.
"""

import collections
import functools
import queue
import random
import select
import socket
import struct
import threading
import time
from typing import Any, Callable, Deque, Dict, List, Optional, Tuple

UP, DOWN = "up", "down"
RST, FIN = "RST", "FIN"
CHUNK = 1 << 16
HELD_MAX = 1 << 18  # bytes of one way in the proxy; then its sender is not read

Ready = Dict[socket.socket, Callable[[], None]]


def end(sock: socket.socket, how: str) -> None:
    if how == RST and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


class Flow:
    """One way of one connection. What is held goes out at its time; behind it follows nothing, the
    sender's own end ("end"), or the connection's (RST, FIN)."""

    def __init__(self, way: str, source: socket.socket, sink: socket.socket) -> None:
        self.way, self.source, self.sink = way, source, sink
        self.held: Deque[Tuple[float, bytes, Optional[str]]] = collections.deque()
        self.held_bytes = 0
        self.read_all = self.over = self.robbed = False

    def hold(self, due: float, data: bytes, then: Optional[str] = None) -> None:
        if self.held:
            due = max(due, self.held[-1][0])
        self.held.append((due, data, then))
        self.held_bytes += len(data)


class Connection:
    def __init__(self, lower: socket.socket, upper: socket.socket) -> None:
        """`lower` is who has dialled, `upper` who listens."""
        self.ends = (lower, upper)
        self.flows = {UP: Flow(UP, lower, upper), DOWN: Flow(DOWN, upper, lower)}
        self.deaf: Optional[socket.socket] = None  # the other end knows that all is over

    def end(self, how: str) -> None:
        for sock in self.ends:
            end(sock, how)


class Proxy:
    """Listens at `url` and connects each who dials to the port `target`. `seed` decides delays."""

    def __init__(self, target: int, seed: Any = 0) -> None:
        self.target = target
        self.random = random.Random(str(seed))
        self._connections: List[Connection] = []
        self._nowhere: List[socket.socket] = []
        self._be_healthy()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._listener.setblocking(False)
        self.url = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._orders: "queue.SimpleQueue[Callable[[], None]]" = queue.SimpleQueue()
        self._bell, self._ring = socket.socketpair()
        self._closing = False
        self._failure: Optional[BaseException] = None
        self._thread = threading.Thread(target=self._run, name=f"proxy of {self.url}", daemon=True)
        self._thread.start()

    def _be_healthy(self) -> None:
        self._delays: Dict[str, Tuple[float, float]] = {}
        self._rate: Optional[float] = None
        self._stalled: List[str] = []
        self._dropped: List[str] = []
        self._cut_at: Dict[str, Tuple[int, str]] = {}  # the bytes that pass yet
        self._black = self._closed = False

    # -- faults

    def delay(self, least_s: float, most_s: float, *ways: str) -> None:
        """What is sent comes so much later, in order."""
        self._do(lambda: self._delays.update(dict.fromkeys(ways or (UP, DOWN), (least_s, most_s))))

    def narrow(self, rate: float) -> None:
        """So many bytes a second come through, of each connection and way."""
        self._do(lambda: setattr(self, "_rate", rate))

    def stall(self, *ways: str) -> None:
        """Nothing comes through, and nothing is lost: it waits here and with its sender."""
        self._do(lambda: self._stalled.extend(ways or (UP, DOWN)))

    def drop(self, *ways: str) -> None:
        """What is sent vanishes, and so does the end of a connection; no sender can tell."""
        self._do(lambda: self._dropped.extend(ways or (UP, DOWN)))

    def cut(self, how: str = RST) -> None:
        """Ends all connections, and both sides are told."""
        def order() -> None:
            for connection in list(self._connections):
                self._end(connection, how)
        self._do(order)

    def cut_at(self, byte: int, way: str, how: str = RST) -> None:
        """Ends the connection behind that byte of those that are still to come (1: the first)."""
        self._do(lambda: self._cut_at.update({way: (byte, how)}))

    @property
    def is_armed(self) -> bool:
        """A cut_at() is still to come."""
        return bool(self._cut_at)

    def half_open(self, way: str, how: str = RST) -> None:
        """Ends all connections for who sends that way. The others are told nothing, and what they
        send goes nowhere."""
        def order() -> None:
            for connection in self._connections:
                if connection.deaf is None:
                    flow = connection.flows[way]
                    connection.deaf = flow.sink
                    end(flow.source, how)
        self._do(order)

    def black_hole(self) -> None:
        """New connections come about and lead nowhere."""
        self._do(lambda: setattr(self, "_black", True))

    def refuse(self) -> None:
        """New connections are reset."""
        self._do(lambda: setattr(self, "_closed", True))

    def heal(self) -> None:
        """The way is good again. Who talks to nobody since half_open() goes on with that."""
        def order() -> None:
            self._be_healthy()
            for connection in list(self._connections):
                if any(flow.robbed for flow in connection.flows.values()):
                    self._end(connection, RST)
            for sock in self._nowhere:
                end(sock, RST)
            self._nowhere.clear()
        self._do(order)

    def close(self) -> None:
        self._do(lambda: setattr(self, "_closing", True))
        self._thread.join()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    # -- the thread: it alone touches connections

    def _do(self, order: Callable[[], None]) -> None:
        done = threading.Event()

        def obey() -> None:
            order()
            done.set()

        self._orders.put(obey)
        self._ring.send(b"!")
        while not done.wait(0.1):
            if not self._thread.is_alive():
                raise RuntimeError("the proxy has ended") from self._failure

    def _run(self) -> None:
        try:
            while not self._closing:
                reads, writes, wait_s = self._interests(time.monotonic())
                readable, writable, _ = select.select(list(reads), list(writes), [], wait_s)
                for sock in readable:
                    reads[sock]()
                for sock in writable:
                    writes[sock]()
        except BaseException as error:
            self._failure = error
        finally:
            for sock in (self._listener, self._bell, self._ring, *self._nowhere):
                sock.close()
            for connection in self._connections:
                connection.end(RST)

    def _obey(self) -> None:
        self._bell.recv(CHUNK)
        while not self._orders.empty():
            self._orders.get()()

    def _interests(self, now: float) -> Tuple[Ready, Ready, Optional[float]]:
        """What is to be done with which socket when it is ready, and how long until there is more
        to do."""
        reads: Ready = {self._bell: self._obey, self._listener: self._accept}
        writes: Ready = {}
        wait_s: Optional[float] = None
        for connection in self._connections:
            if connection.deaf:
                reads[connection.deaf] = functools.partial(self._ignore, connection)
                continue
            for flow in connection.flows.values():
                if flow.way in self._stalled:
                    continue
                if not flow.read_all and flow.held_bytes < HELD_MAX:
                    reads[flow.source] = functools.partial(self._read, connection, flow)
                if flow.held and flow.held[0][0] <= now:
                    writes[flow.sink] = functools.partial(self._write, connection, flow)
                elif flow.held:
                    wait_s = min(wait_s or 3600, flow.held[0][0] - now)
        return reads, writes, wait_s

    def _accept(self) -> None:
        try:
            lower, _ = self._listener.accept()
        except OSError:
            return  # who has knocked is gone
        if self._black:
            self._nowhere.append(lower)
            return
        try:
            if self._closed:
                raise ConnectionRefusedError
            upper = socket.create_connection(("127.0.0.1", self.target), timeout=10)
        except OSError:
            end(lower, RST)
            return
        for sock in (lower, upper):
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._connections.append(Connection(lower, upper))

    def _end(self, connection: Connection, how: str) -> None:
        connection.end(how)
        self._connections.remove(connection)

    def _ignore(self, connection: Connection) -> None:
        try:
            if connection.deaf.recv(CHUNK):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        if connection in self._connections:
            self._end(connection, FIN)

    def _read(self, connection: Connection, flow: Flow) -> None:
        if connection not in self._connections or connection.deaf:
            return
        try:
            data = flow.source.recv(CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = None
        if not data:
            flow.read_all = True
        if flow.way in self._dropped:
            flow.robbed = True
        elif data is None:
            self._end(connection, RST)
        else:
            self._take(flow, data)

    def _take(self, flow: Flow, data: bytes) -> None:
        least_s, most_s = self._delays.get(flow.way, (0, 0))
        due = time.monotonic() + self.random.uniform(least_s, most_s)
        if self._rate:
            due = max([due, *(held[0] for held in flow.held)]) + len(data) / self._rate
        then = None if data else "end"
        if data and flow.way in self._cut_at:
            left, how = self._cut_at.pop(flow.way)
            if left <= len(data):
                data, then, flow.read_all = data[:left], how, True
            else:
                self._cut_at[flow.way] = (left - len(data), how)
        flow.hold(due, data, then)

    def _write(self, connection: Connection, flow: Flow) -> None:
        if connection not in self._connections or connection.deaf:
            return
        due, data, then = flow.held[0]
        try:
            sent = flow.sink.send(data) if data else 0
            flow.held_bytes -= sent
            if sent < len(data):
                flow.held[0] = (due, data[sent:], then)
                return
            flow.held.popleft()
            if then == "end":
                flow.sink.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return
        except OSError:
            self._end(connection, RST)
            return
        if then == "end":
            flow.over = True
            if all(other.over for other in connection.flows.values()):
                self._end(connection, FIN)
        elif then:
            self._end(connection, then)
