"""HTTP/1.1 over keep-alive connections, and a pool of them that any thread may use.

Written by hand because it stands in the way of every task: one request through ``http.client``
costs 115 microseconds of processor time, most of it in the e-mail parser that reads the headers;
one through this file 15. It speaks what it needs and no more: a body with Content-Length out; a
body with Content-Length, chunked, or until the end of the connection in.

Whatever goes wrong on the way is a :class:`farhand.errors.ServerUnavailable`; what would go wrong
again, because there is no such server at the URL, a :class:`farhand.errors.WrongServer`.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import urllib.parse
from typing import BinaryIO, Dict, List, NamedTuple, Optional, cast

from .errors import ServerUnavailable, WrongServer

_HTTP = b"HTTP/1."
_LINE_MAX = 64 << 10
_HEADERS_MAX = 200
_JOIN_MAX = 256 << 10  # a smaller body leaves together with its head: one packet, one system call


class Response(NamedTuple):
    """A complete answer; header names are in lower case."""

    status: int
    headers: Dict[str, str]
    body: bytes


class Address:
    """Where the server is, taken from its URL."""

    def __init__(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url if "://" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:  # no number, or out of range
            port = 0
        wrong = parts.scheme not in ("http", "https") or port == 0 or not _is_plain(url)
        if wrong or not parts.hostname or parts.path.startswith("//"):
            raise ValueError(f"not the URL of a server: {url!r} (like http://127.0.0.1:8000)")
        if parts.query or parts.fragment or parts.username:
            raise ValueError(f"a server's URL has only a host, a port and a path: {url!r}")
        self.tls = parts.scheme == "https"
        self.host = parts.hostname
        self.port = port or (443 if self.tls else 80)
        self.prefix = parts.path.rstrip("/")
        self.netloc = parts.netloc
        self.url = f"{parts.scheme}://{parts.netloc}{self.prefix}"


class Connection:
    """One connection; one request at a time."""

    def __init__(self, address: Address, timeout: float) -> None:
        sock = socket.create_connection((address.host, address.port), timeout)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _notice_dead_peer(sock)
            if address.tls:
                sock = _with_tls(sock, address.host)
        except BaseException:
            sock.close()
            raise
        self._sock = sock
        self._file = cast(BinaryIO, sock.makefile("rb", buffering=64 << 10))
        self.keep = True

    def exchange(self, head: bytes, body: bytes, timeout: float) -> Response:
        """Sends a request and reads its answer, each wait for the network within `timeout`."""
        self._sock.settimeout(timeout)
        try:
            if len(body) <= _JOIN_MAX:
                self._sock.sendall(head + body)
            else:
                self._sock.sendall(head)
                self._sock.sendall(body)
        except (ConnectionResetError, BrokenPipeError):
            self.keep = False  # and yet an answer may be there already, such as 413
        try:
            line = self._file.readline(_LINE_MAX)
        except ConnectionResetError:
            line = b""
        if not line:
            raise ConnectionError("closed without an answer")
        if line.strip() and not line.startswith(_HTTP[: len(line)]):
            raise WrongServer("what answers does not speak HTTP/1.1")
        return self._read(line)

    def is_alive(self) -> bool:
        """Whether the server has kept it too. Between two answers it has nothing to say."""
        return not _readable(self._sock)

    def _read(self, line: bytes) -> Response:
        status = _status(line)
        headers = self._headers()
        while 100 <= status < 200:  # interim answers announce, they do not answer
            status = _status(self._file.readline(_LINE_MAX))
            headers = self._headers()
        length = headers.get("content-length")
        if "chunked" in headers.get("transfer-encoding", "").lower():
            body = self._chunks()
        elif status in (204, 304):
            body = b""
        elif length is not None:
            body = self._exactly(_number(length, 10))
        else:
            self.keep = False
            body = self._file.read()
        if headers.get("connection", "").lower() == "close":
            self.keep = False
        return Response(status, headers, body)

    def _headers(self) -> Dict[str, str]:
        headers: Dict[str, str] = {}
        for _ in range(_HEADERS_MAX):
            line = self._file.readline(_LINE_MAX)
            if line in (b"\r\n", b"\n"):
                return headers
            name, colon, value = line.partition(b":")
            if not colon:
                break
            headers[name.decode("latin-1").lower()] = value.strip().decode("latin-1")
        raise ConnectionError("the answer's head is broken")

    def _chunks(self) -> bytes:
        chunks: List[bytes] = []
        while True:
            size = _number(self._file.readline(_LINE_MAX).split(b";")[0].decode("latin-1"), 16)
            if size == 0:
                self._headers()  # trailers
                return b"".join(chunks)
            chunks.append(self._exactly(size))
            self._exactly(2)

    def _exactly(self, size: int) -> bytes:
        body = self._file.read(size)
        if len(body) != size:
            raise ConnectionError("the answer breaks off")
        return body

    def close(self) -> None:
        """Closes the connection; may be called twice."""
        try:
            self._file.close()
        finally:
            self._sock.close()


def _is_plain(url: str) -> bool:
    """Whether nothing in it could end the line of a request."""
    return url.isascii() and url.isprintable() and " " not in url


def _with_tls(sock: socket.socket, host: str) -> socket.socket:
    try:
        return ssl.create_default_context().wrap_socket(sock, server_hostname=host)
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
        raise  # it broke off, as it may with any server that is being started
    except ssl.SSLCertVerificationError as error:
        raise WrongServer(f"its certificate is not trusted: {error.verify_message}") from error
    except ssl.SSLError as error:
        reason = error.reason or str(error)
        raise WrongServer(f"TLS fails ({reason}): does it speak http:// only?") from error


def _status(line: bytes) -> int:
    parts = line.split(None, 2)
    if len(parts) < 2 or not parts[0].startswith(_HTTP) or not parts[1].isdigit():
        raise ConnectionError("the answer's first line is broken")
    return int(parts[1])


def _number(text: str, base: int) -> int:
    try:
        number = int(text, base)
    except ValueError:
        number = -1
    if number < 0:
        raise ConnectionError("the answer's length is broken")
    return number


def _readable(sock: socket.socket) -> bool:
    """Whether there are bytes, or the end of the connection, to be read."""
    if not hasattr(select, "poll"):
        return bool(select.select([sock], [], [], 0)[0])
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def _notice_dead_peer(sock: socket.socket) -> None:
    """A machine that vanished is noticed after half a minute, also below a parked request."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3)):
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)


class Pool:
    """Connections to one server. Thread-safe: a request takes one that is idle or opens another."""

    def __init__(
        self, address: Address, headers: Dict[str, str], connect_timeout: float, idle_max: int = 32
    ) -> None:
        self.address = address
        self._common = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._connect_timeout = connect_timeout
        self._idle_max = idle_max
        self._idle: List[Connection] = []
        self._lock = threading.Lock()
        self._closed = False

    def exchange(
        self,
        method: str,
        target: str,
        headers: Dict[str, str],
        body: Optional[bytes],
        timeout: float,
    ) -> Response:
        """One request and its answer. Raises ServerUnavailable: it may have been done or not."""
        lines = [f"{method} {self.address.prefix}{target} HTTP/1.1\r\n"]
        lines.append(f"Host: {self.address.netloc}\r\n{self._common}")
        lines.extend(f"{name}: {value}\r\n" for name, value in headers.items())
        if body is not None:
            lines.append(f"Content-Length: {len(body)}\r\n")
        head = ("".join(lines) + "\r\n").encode("latin-1")
        try:
            connection = self._take()
            try:
                response = connection.exchange(head, body or b"", timeout)
            except BaseException:
                connection.close()
                raise
            self._give_back(connection)
            return response
        except WrongServer as error:
            raise WrongServer(f"{self.address.url}: {error}") from error.__cause__
        except socket.timeout:
            raise ServerUnavailable(f"{self.address.url}: no answer within {timeout:g} s") from None
        except OSError as error:
            reason = error.strerror or str(error) or type(error).__name__
            raise ServerUnavailable(f"{self.address.url}: {reason}") from error

    def _take(self) -> Connection:
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return Connection(self.address, self._connect_timeout)
            if connection.is_alive():
                return connection
            connection.close()

    def _give_back(self, connection: Connection) -> None:
        with self._lock:
            if connection.keep and not self._closed and len(self._idle) < self._idle_max:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Closes what is idle, and what is busy as soon as it is not. Requests may still follow."""
        with self._lock:
            idle, self._idle = self._idle, []
            self._closed = True
        for connection in idle:
            connection.close()

    def forget(self) -> None:
        """In a child after a fork: these connections are the parent's. The lock may be held."""
        self._lock = threading.Lock()
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
