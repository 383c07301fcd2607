"""What comes to the workers' port and is no worker of ours, or a bad one: it is closed with a
reason in the log, and costs nobody else anything. While all of this happens a good worker runs a
task from the first test to the last, and after each deed innocent tasks must come back right."""

import os
import pickle
import socket
import struct
import uuid
from pathlib import Path
from typing import Any, Callable, Iterator, List

import pytest
import workload
from conftest import fleets
from fleet import Fleet
from harness import FINAL, Client, wait_until
from peer import (
    GREETING, VERSION, Peer, Refusal, assign_ack, credit, heartbeat, hello, join, log, ref, result,
    started,
)

MIB = 1 << 20
NOBODY = uuid.uuid4().bytes
MESSAGES, PIECE = 1, 2  # kinds of frames
NO_COUNT = struct.pack("<Q", 0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Its one worker has three slots, one of them taken by a task that must never notice."""
    folder = tmp_path_factory.mktemp("neighbour")
    with fleets("push", tmp_path_factory.mktemp) as maker:
        server = maker(slots=3)
        task = server.client.submit(server.client.register(workload.hold), str(folder), "here")
        server.client.started(task)
        yield server
        (folder / "go").touch()
        assert server.client.value(task) == "here"
        assert server.client.task(task)["attempt"] == 1
        assert (folder / "started").read_text() == "here\n"
        assert server.log.count("3 slots") == 1, "the good worker has never left"


@pytest.fixture
def port(server: Fleet) -> Iterator[int]:
    yield server.door.number
    expect_innocents(server.client)


def expect_innocents(client: Client) -> None:
    _, ids = client.batch(client.register(workload.add), [(n, 7) for n in range(20)])
    assert [client.value(task) for task in ids] == [n + 7 for n in range(20)]


def expect_line(server: Fleet, before: str, words: str) -> None:
    wait_until(lambda: words in server.log[len(before):], f"the log says '{words}'")


# ---- no ZeroMQ at all -----------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("data", [
    b"", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0" * 5000, b"\xff" * 100_000,
    GREETING[:11], GREETING + b"\x04\xff", GREETING + b"\x02" + b"\xff" * 8 + b"FH",
    GREETING.replace(b"NULL", b"EVIL"), os.urandom(4096),
], ids=range(9))
def test_junk_on_the_port_hurts_nobody(port: int, data: bytes) -> None:
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            try:
                stranger.sendall(data)
            except ConnectionError:
                continue  # it was closed in the middle


def test_many_strangers_cost_no_memory(server: Fleet, port: int) -> None:
    """Each of them sends the first piece of a large message, and stays."""
    piece = struct.pack("<QII", 0, 16 * MIB, 0) + bytes(50_000)
    peers = []
    before = server.rss()
    for _ in range(300):
        peer = Peer(port)
        peer.frame(PIECE, piece)
        peers.append(peer)
    expect_innocents(server.client)
    assert server.rss() - before < 60 * MIB, "300 pieces of a message that never comes"
    for peer in peers:
        peer.close()


# ---- frames that are none -------------------------------------------------------------------


def frame_of(message: bytes) -> bytes:
    return NO_COUNT + struct.pack("<I", len(message)) + message


@pytest.mark.smoke
@pytest.mark.parametrize("deed, says", [
    (lambda peer: peer.part(b"hello"), "not a frame of Farhand"),
    (lambda peer: peer.part(b""), "not a frame of Farhand"),
    (lambda peer: (peer.part(b"FH", more=True), peer.part(b"FH")), "not a frame of Farhand"),
    (lambda peer: peer.frame(7, NO_COUNT), "kind 7"),
    (lambda peer: peer.frame(MESSAGES, struct.pack("<Q", 10 ** 9) + hello()), "earlier connection"),
    (lambda peer: peer.frame(MESSAGES, NO_COUNT + b"\xff\xff\xff\x7f"), "ends beyond its frame"),
    (lambda peer: peer.frame(MESSAGES, frame_of(b"\x63")), "unknown type"),
    (lambda peer: peer.frame(MESSAGES, frame_of(hello()[:30])), "HELLO"),
    (lambda peer: peer.frame(MESSAGES, frame_of(hello() + b"x")), "HELLO"),
    (lambda peer: peer.frame(MESSAGES, frame_of(log(NOBODY, (1, 1), b"", is_error=2))), "is_error"),
    (lambda peer: peer.frame(MESSAGES, frame_of(assign_ack(1)[:5])), "ASSIGN_ACK"),
    (lambda peer: peer.frame(PIECE, struct.pack("<QII", 0, 2 ** 31, 0) + b"x"), "a piece of"),
    (lambda peer: peer.frame(PIECE, struct.pack("<QII", 0, 100, 50) + b"x"), "a piece of"),
])
def test_a_frame_that_is_none_is_refused_with_a_reason(
        server: Fleet, port: int, deed: Callable[[Peer], Any], says: str) -> None:
    before = server.log
    with Peer(port) as peer:
        deed(peer)
        with pytest.raises((Refusal, ConnectionError)) as refusal:
            peer.hear()
    if refusal.type is Refusal:
        assert says in str(refusal.value)
    expect_line(server, before, says)


@pytest.mark.parametrize("version", [0, VERSION + 1, 255])
def test_another_version_is_told_so(server: Fleet, port: int, version: int) -> None:
    before = server.log
    with Peer(port) as peer:
        peer.frame(MESSAGES, b"whatever that version says", version)
        with pytest.raises(Refusal, match=f"version {version} meets version {VERSION}"):
            peer.hear()
    expect_line(server, before, "both sides need the same version")


def test_a_frame_that_is_too_long_ends_its_connection(port: int) -> None:
    with Peer(port) as peer:
        peer.part(bytes(65 * 1024))
        peer.expect_end()


# ---- messages at the wrong time, or that cannot be -------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("messages, says", [
    ([heartbeat()], "a message before HELLO"),
    ([hello(slots=0)], "impossible number of slots"),
    ([hello(slots=2 ** 32 - 1)], "impossible number of slots"),
    ([hello(), hello()], "a second HELLO"),
    ([hello(), b"\x02" + bytes(12)], "WELCOME"),  # what only a dispatcher says
    ([hello(), b"\x09" + ref(NOBODY, (1, 1))], "RESULT_ACK"),
    ([hello(), result(NOBODY, (1, 1), state=0)], "impossible state"),
])
def test_a_message_that_cannot_be_ends_the_session(server: Fleet, port: int,
                                                   messages: List[bytes], says: str) -> None:
    before = server.log
    with Peer(port) as peer:
        peer.tell(*messages)
        assert says in peer.hear_of("BYE").text
        assert "bare bytes" not in hosts(server.client), "its session is over"
    expect_line(server, before, says)


def test_a_second_worker_of_one_instance_takes_the_place_of_the_first(server: Fleet,
                                                                      port: int) -> None:
    """It is the same worker, over a new connection."""
    mine = uuid.uuid4().bytes
    with join(port, instance=mine) as first, join(port, instance=mine) as second:
        first.tell(heartbeat())
        with pytest.raises(Refusal):
            first.hear()
        second.tell(heartbeat())
        assert second.hear().type == "HEARTBEAT"
        assert hosts(server.client).count("bare bytes") == 1


def hosts(client: Client) -> List[str]:
    return [worker["host"] for worker in client.good("GET", "/v1/workers?limit=1000")["items"]]


# ---- liars ----------------------------------------------------------------------------------


@pytest.fixture
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A server that has no worker of its own."""
    with fleets("push", tmp_path_factory.mktemp) as maker:
        yield maker(slots=0)


def take_task(server: Fleet, peer: Peer) -> Any:
    """(id, task and token as the peer knows them) of a task that the peer is given."""
    client = server.client
    task = client.submit(client.register(os.getpid))
    peer.tell(credit(1))
    return task, peer.hear_of("ASSIGN").ref


def test_a_result_under_a_false_token_is_stale(alone: Fleet) -> None:
    with join(alone.door.number) as liar, join(alone.door.number) as other:
        task, (id_of_it, token) = take_task(alone, liar)
        wrong = [(id_of_it, (token[0] + 1, token[1])), (id_of_it, (token[0], token[1] + 1)),
                 (NOBODY, token)]
        for what in wrong:
            liar.tell(result(*what, pickle.dumps("false")))
            assert liar.hear_of("STALE").ref == what
        other.tell(result(id_of_it, token, pickle.dumps("false")))
        assert other.hear_of("STALE").ref == (id_of_it, token), "it is not its task"
        assert alone.client.state(task) == "QUEUED"
        for _ in range(2):  # the second one comes before or after the first one is recorded
            liar.tell(result(id_of_it, token, pickle.dumps("true")))
        assert liar.hear().type == "RESULT_ACK"
        assert alone.client.value(task) == "true"
        liar.tell(result(id_of_it, token, pickle.dumps("late")))
        assert liar.hear_of("STALE").ref == (id_of_it, token)
        assert alone.client.value(task) == "true"


def test_what_a_worker_does_not_hold_any_more_goes_elsewhere(alone: Fleet) -> None:
    """Its heartbeats say nothing of the task, although it has come."""
    with join(alone.door.number) as liar:
        task, _ = take_task(alone, liar)
        with join(alone.door.number) as honest:
            honest.tell(credit(1))
            for _ in range(3):
                liar.tell(heartbeat(received=1))
                liar.hear_of("HEARTBEAT")
            id_of_it, token = honest.hear_of("ASSIGN").ref
            honest.tell(started(id_of_it, token), result(id_of_it, token, pickle.dumps("done")))
            assert alone.client.value(task) == "done"
    assert alone.client.task(task)["attempt"] == 2


def test_what_a_worker_claims_and_was_never_given_is_stale(alone: Fleet) -> None:
    claims = [(uuid.uuid4().bytes, (n, 1)) for n in range(1000)]
    with join(alone.door.number, held=claims) as liar:
        assert {liar.hear_of("STALE").ref for _ in claims} == set(claims)
        liar.tell(heartbeat(held=claims[:3]))
        assert {liar.hear_of("STALE").ref for _ in range(3)} == set(claims[:3])
    assert sum(alone.client.counts().values()) == 0


def test_output_of_others_and_what_never_came_change_nothing(alone: Fleet) -> None:
    """Claims that no worker of ours makes: they are ignored, and the session goes on."""
    client = alone.client
    with join(alone.door.number) as liar, join(alone.door.number) as other:
        task, (id_of_it, token) = take_task(alone, liar)

        def explained() -> str:
            return str(client.good("GET", f"/v1/tasks/{task}/explain")["text"])

        liar.tell(assign_ack(2 ** 64 - 1), assign_ack(2))
        other.tell(assign_ack(1), log(id_of_it, token, b"not its own"), heartbeat())
        other.hear_of("HEARTBEAT")
        assert explained().startswith("it is on its way to worker")
        liar.tell(assign_ack(1))
        wait_until(lambda: "about to begin it" in explained(), "it has come")
        liar.tell(log(id_of_it, token, b"a line\n"), log(id_of_it, token, b"far", offset=2 ** 63),
                  log(id_of_it, (token[0], token[1] + 1), b"false", offset=7),
                  log(NOBODY, token, b"of nobody"), log(id_of_it, token, b"line\n!", offset=2))
        path = f"/v1/tasks/{task}/logs"
        wait_until(lambda: client.good("GET", path)["stdout"] == "a line\n!", "all of it is seen")
        assert client.state(task) == "RUNNING", "what prints has begun"
        liar.tell(result(id_of_it, token, pickle.dumps("done")))
        assert client.value(task) == "done"


def test_a_worker_that_says_cancelled_of_itself_has_lost_the_attempt(alone: Fleet) -> None:
    with join(alone.door.number) as liar:
        task, (id_of_it, token) = take_task(alone, liar)
        liar.tell(result(id_of_it, token, state=4, reason=13), credit(2))
        assert liar.hear_of("ASSIGN").ref[0] == id_of_it, "it is given out again"
        assert alone.client.state(task) not in FINAL


def test_a_worker_that_does_not_read_costs_what_it_was_given(alone: Fleet, tmp_path: Path) -> None:
    """It asks for work and never reads what comes. What is for it stays in memory once, and
    goes elsewhere when the worker is given up."""
    client = alone.client
    function = client.register(workload.echo)
    with join(alone.door.number, slots=100, modules=None) as deaf:
        deaf.tell(credit(10_000))
        before = alone.rss()
        ids = [client.submit(function, "x" * MIB) for _ in range(24)]
        assert alone.rss() - before < 60 * MIB, "not twice"
        wait_until(lambda: not hosts(client), "it is given up")
    alone.slots = 2
    alone.add_worker()
    assert all(client.value(task) == "x" * MIB for task in ids)
