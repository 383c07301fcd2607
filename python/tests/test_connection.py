"""The bytes of HTTP: what a server may answer, and what must not be taken for an answer."""

import socket
import threading

import pytest

from farhand import Client, ServerUnavailable, WrongServer
from farhand.connection import Address, Pool


class Raw:
    """A server that answers each request of a connection with the next of these bytes, then closes
    the connection."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.requests, self.connections = [], 0
        self.script = []
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            answers = self.script.pop(0) if self.script else []
            with sock, sock.makefile("rb") as file:
                for answer in answers:
                    head = b""
                    while not head.endswith(b"\r\n\r\n"):
                        line = file.readline()
                        if not line:
                            break
                        head += line
                    if b"Content-Length: " in head and b"x" * 9 not in answer:
                        file.read(int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0]))
                    self.requests.append(head)
                    sock.sendall(answer)


@pytest.fixture
def raw():
    server = Raw()
    yield server
    server.listener.close()


@pytest.fixture
def pool(raw):
    address = Address("http://127.0.0.1:%d" % raw.listener.getsockname()[1])
    pool = Pool(address, {"X-Common": "1"}, 5)
    yield pool
    pool.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def get(pool, body=None):
    return pool.exchange("POST", "/path", {"X-Own": "2"}, body, 5)


def test_the_request(raw, pool):
    raw.script = [[OK]]
    assert get(pool, b"body") == (200, {"content-length": "2"}, b"ok")
    assert raw.requests == [
        b"POST /path HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nX-Common: 1\r\nX-Own: 2\r\n"
        b"Content-Length: 4\r\n\r\n" % raw.listener.getsockname()[1]]


@pytest.mark.parametrize("answer, status, body", [
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
     200, b"abcde"),
    (b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n0\r\nTrailer: 1\r\n\r\n", 200, b""),
    (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 200, b"ok"),
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 304, b""),
    (b"HTTP/1.0 200 OK\r\n\r\nto the end", 200, b"to the end"),
    (b"HTTP/1.1 503\r\nContent-Length:0\r\n\r\n", 503, b""),
    (b"HTTP/1.1 200 OK\nContent-Length: 1\n\nx", 200, b"x"),
])
def test_answers(raw, pool, answer, status, body):
    raw.script = [[answer]]
    response = get(pool)
    assert (response.status, response.body) == (status, body)


@pytest.mark.parametrize("answer", [
    b"", b"\r\n", b"HTTP/1", b"HTTP/1.1\r\n\r\n", b"HTTP/1.1 abc\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
    b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n",
])
def test_what_is_no_answer(raw, pool, answer):
    raw.script = [[answer]]
    with pytest.raises(ServerUnavailable) as caught:
        get(pool)
    assert not isinstance(caught.value, WrongServer)
    assert pool.address.url in str(caught.value)
    assert not pool._idle


@pytest.mark.parametrize("answer", [
    b"SSH-2.0-x\r\n", b"HTTP/2 200 OK\r\n\r\n", b"+OK\r\n", b"\x15\x03\x03\x00\x02\x02\x46",
])
def test_another_protocol_is_not_tried_again(raw, answer):
    raw.script = [[answer]]
    url = "http://127.0.0.1:%d" % raw.listener.getsockname()[1]
    with pytest.raises(WrongServer, match="does not speak HTTP") as caught:
        Client(url, retry_for=60).version()
    assert url in str(caught.value) and raw.connections == 1


def test_https_where_there_is_none_is_not_tried_again(fake):
    url = fake.url.replace("http:", "https:")
    with pytest.raises(WrongServer, match="does it speak http:// only") as caught:
        Client(url, retry_for=60).version()
    assert url in str(caught.value)


def test_connections_are_kept(raw, pool):
    raw.script = [[OK, OK, OK]]
    for _ in range(3):
        assert get(pool).body == b"ok"
    assert raw.connections == 1


def test_a_kept_connection_that_was_closed_is_no_failure(raw, pool):
    raw.script = [[OK], [OK], [OK]]
    for _ in range(3):
        while pool._idle and pool._idle[0].is_alive():
            pass  # the news of its end is on the way
        assert get(pool, b"body").body == b"ok"
    assert raw.connections == 3


def test_connection_close(raw, pool):
    raw.script = [[b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", OK], [OK]]
    get(pool)
    assert not pool._idle
    assert get(pool).body == b"ok" and raw.connections == 2


def test_an_answer_before_the_body_was_read(raw, pool):
    """413 and a closed connection, while we are still sending."""
    raw.script = [[b"HTTP/1.1 413 xxxxxxxxx\r\nContent-Length: 4\r\n\r\nmuch"]]
    try:
        response = get(pool, bytes(20_000_000))
    except ServerUnavailable:
        pytest.skip("the system threw the answer away")
    assert (response.status, response.body) == (413, b"much")


def test_addresses():
    for text, expected in {
        "http://h": ("h", 80, "", False), "https://h/": ("h", 443, "", True),
        "h:8000": ("h", 8000, "", False), "http://[::1]:5/farhand/": ("::1", 5, "/farhand", False),
    }.items():
        address = Address(text)
        assert (address.host, address.port, address.prefix, address.tls) == expected
    for text in ("", "http://", "ftp://h", "http://h?x", "http://u:p@h", "http://h:99999",
                 "http://h:0", "http://h:x", "http://a b", "http://h/a\r\nX: 1", "http//h:80",
                 "http://http://h", "http:///path"):
        with pytest.raises(ValueError):
            Address(text)


def test_a_path_before_ours(raw):
    raw.script = [[OK]]
    pool = Pool(Address("127.0.0.1:%d/lab" % raw.listener.getsockname()[1]), {}, 5)
    pool.exchange("GET", "/v1/stats", {}, None, 5)
    pool.close()
    assert raw.requests[0].startswith(b"GET /lab/v1/stats HTTP/1.1\r\n")
