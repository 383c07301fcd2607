"""A worker of bare bytes: what a peer can do to a dispatcher's port that no worker of ours does.

It speaks as much of ZMTP 3.1 (the bytes of ZeroMQ) and of docs/protocol.md as that needs."""

import contextlib
import socket
import struct
import time
import uuid
from typing import Any, List, NamedTuple, Optional, Tuple

from harness import PATIENCE_S

VERSION = 1
GREETING = (b"\xff" + bytes(8) + b"\x7f" + b"\x03\x01" + b"NULL".ljust(20, b"\0") + b"\0"
            + bytes(31))
READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
TYPES = ("", "HELLO", "WELCOME", "CREDIT", "ASSIGN", "FUNCTION_GET", "FUNCTION", "STARTED",
         "RESULT", "RESULT_ACK", "STALE", "CANCEL", "HEARTBEAT", "DRAIN", "BYE", "ASSIGN_ACK",
         "LOG")
COMPLETED = 2
Token = Tuple[int, int]


# ---- messages -------------------------------------------------------------------------------


def text(value: Optional[str]) -> bytes:
    data = (value or "").encode()
    return b"\xff" * 4 if value is None else struct.pack("<I", len(data)) + data


def refs(held: List[Tuple[bytes, Token]]) -> bytes:
    return struct.pack("<I", len(held)) + b"".join(ref(*one) for one in held)


def ref(task: bytes, token: Token) -> bytes:
    return task + struct.pack("<II", *token)


def hello(instance: Optional[bytes] = None, slots: int = 1, runtime: bytes = b"cp311",
          mode: int = 0, modules: Optional[str] = None,
          held: List[Tuple[bytes, Token]] = []) -> bytes:  # noqa: B006, nobody changes it
    return (b"\x01" + (instance or uuid.uuid4().bytes) + struct.pack("<I", slots)
            + runtime.ljust(8, b"\0") + text("bare bytes") + struct.pack("<BIQ", mode, 0, 0)
            + text(None) + text(modules) + refs(held))


def credit(total: int) -> bytes:
    return b"\x03" + struct.pack("<Q", total)


def started(task: bytes, token: Token) -> bytes:
    return b"\x07" + ref(task, token)


def result(task: bytes, token: Token, value: Optional[bytes] = None, state: int = COMPLETED,
           reason: int = 0) -> bytes:
    blob = b"\xff" * 4 if value is None else struct.pack("<I", len(value)) + value
    return (b"\x08" + ref(task, token) + bytes((0, state, reason, 0, 0)) + struct.pack("<qq", 0, 0)
            + struct.pack("<III", 0, 0, 0) + b"cp311".ljust(8, b"\0") + text(None) * 3
            + b"\xff" * 8 + blob)


def heartbeat(received: int = 0,
              held: List[Tuple[bytes, Token]] = []) -> bytes:  # noqa: B006, nobody changes it
    return b"\x0c" + struct.pack("<Q", received) + refs(held)


def assign_ack(assigns: int) -> bytes:
    return b"\x0f" + struct.pack("<Q", assigns)


def log(task: bytes, token: Token, data: bytes, offset: int = 0, is_error: int = 0) -> bytes:
    return (b"\x10" + ref(task, token) + bytes((is_error,)) + struct.pack("<QI", offset, len(data))
            + data)


class Said(NamedTuple):
    """A message of the dispatcher."""

    type: str
    body: bytes

    @property
    def ref(self) -> Tuple[bytes, Token]:
        """Of ASSIGN, RESULT_ACK, STALE and CANCEL."""
        return self.body[:16], struct.unpack("<II", self.body[16:24])

    @property
    def text(self) -> str:
        """Of BYE."""
        return self.body[5:].decode()


class Refusal(Exception):
    """The dispatcher says why there will be no connection."""


# ---- the connection -------------------------------------------------------------------------


class Peer:
    """A connection after its handshake. `tell()` sends messages in a frame, `hear()` waits for the
    next message; ConnectionError if the dispatcher has closed the connection."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        self._stream = self.socket.makefile("rb")
        self._got = 0  # bytes of frames
        self._heard: List[Said] = []
        self.socket.sendall(GREETING)
        self._read(64)
        self.command(READY)
        self._part()

    def __enter__(self) -> "Peer":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        self._stream.close()
        self.socket.close()

    # -- ZMTP

    def command(self, body: bytes) -> None:
        self.socket.sendall(bytes((0x04, len(body))) + body)

    def part(self, body: bytes, more: bool = False) -> None:
        """A part of a message of ZeroMQ."""
        self.socket.sendall(struct.pack(">BQ", 0x02 | more, len(body)) + body)

    def _read(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) < size:
            raise ConnectionError("the dispatcher has closed the connection")
        return data

    def _part(self) -> bytes:
        """The next part; pings are answered, and commands are an empty one."""
        flags, = self._read(1)
        size, = struct.unpack(">Q", self._read(8)) if flags & 0x02 else self._read(1)
        body = self._read(size)
        if not flags & 0x04:
            return body
        if body.startswith(b"\x04PING"):
            self.command(b"\x04PONG" + body[7:])
        return b""

    # -- frames

    def frame(self, kind: int, rest: bytes, version: int = VERSION) -> None:
        self.part(b"FH" + bytes((version, kind)) + rest)

    def tell(self, *messages: bytes) -> None:
        self.frame(1, struct.pack("<Q", self._got) + b"".join(
            struct.pack("<I", len(message)) + message for message in messages))

    def hear(self) -> Said:
        """The next message that fits into a frame."""
        deadline = time.monotonic() + PATIENCE_S
        while not self._heard:
            assert time.monotonic() < deadline, "the dispatcher says nothing but pings"
            self._take(self._part())
        return self._heard.pop(0)

    def hear_of(self, name: str) -> Said:
        """The next message of this type; the others are passed over."""
        return next(said for said in iter(self.hear, None) if said.type == name)

    def _take(self, frame: bytes) -> None:
        if not frame:
            return
        assert frame[:2] == b"FH", frame[:100]
        if frame[3] == 0:
            raise Refusal(frame[4:].decode())
        self._got += len(frame)
        at = 12
        while frame[3] == 1 and at < len(frame):
            size, = struct.unpack_from("<I", frame, at)
            self._heard.append(Said(TYPES[frame[at + 4]], frame[at + 5:at + 4 + size]))
            at += 4 + size

    def expect_end(self) -> None:
        """Reads until the dispatcher ends the connection."""
        deadline = time.monotonic() + PATIENCE_S
        with contextlib.suppress(ConnectionError):
            while True:
                assert time.monotonic() < deadline, "the connection stands"
                self._take(self._part())


def join(port: int, **fields: Any) -> Peer:
    """A peer that is welcome as a worker."""
    peer = Peer(port)
    peer.tell(hello(**fields))
    said = peer.hear()
    assert said.type == "WELCOME", said
    return peer
