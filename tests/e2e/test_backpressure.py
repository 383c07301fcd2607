"""A full queue is said before anything is accepted; what runs is never more than the slots; memory
does not follow the backlog."""

import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path
from typing import List, Optional

import pytest
import workload
from conftest import ServerMaker
from fleet import everywhere, everywhere_smoke
from harness import HERE, PATIENCE_S, Answer, Client, Server, call, wait_until

QUEUE = 50
MIB = 1 << 20


def expect_queue_full(answer: Answer) -> None:
    assert answer.status == 503, answer
    assert answer.code == "queue_full"
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json["detail"]


def offer(client: Client, function: str, way: str, count: int) -> Answer:
    """So many tasks in one of the ways to submit."""
    if way == "legacy":
        return client.post("/execute_function", {"function_id": function, "payload": call(1, 2)})
    if way == "single":
        return client.post("/v1/tasks", {"function_id": function, "payload": call(1, 2)})
    return client.post("/v1/tasks:batch", {"function_id": function,
                                           "tasks": [{"payload": call(1, 2)}] * count})


@pytest.mark.smoke
@pytest.mark.parametrize("way", ["legacy", "single", "batch"])
def test_a_full_queue_refuses_before_anything_is_accepted(make_server: ServerMaker,
                                                          way: str) -> None:
    server = make_server("--max-queued", str(QUEUE), slots=0)
    client = server.client
    function = client.register(workload.add)
    expect_queue_full(offer(client, function, "batch", QUEUE + 1))
    assert client.counts()["QUEUED"] == 0, "a batch is taken whole or not at all"
    group, ids = client.batch(function, [(n, 1) for n in range(QUEUE - 1)])
    expect_queue_full(offer(client, function, "batch", 2))
    assert offer(client, function, way, 1).status // 100 == 2
    for _ in range(3):
        expect_queue_full(offer(client, function, way, 1))
    assert client.counts()["QUEUED"] == QUEUE
    server.add_slots(2)
    assert len(server.client.collect(group)) == QUEUE - 1
    assert [server.client.value(task) for task in ids] == [n + 1 for n in range(QUEUE - 1)]
    wait_until(lambda: server.client.counts()["QUEUED"] == 0, "all of it is worked off")
    assert offer(server.client, function, way, 1).status // 100 == 2, "there is room again"


def test_a_queue_full_of_bytes_refuses(make_server: ServerMaker) -> None:
    server = make_server("--max-queued-bytes", str(MIB), slots=0)
    client = server.client
    function = client.register(workload.echo)
    accepted = []
    while True:
        body = {"function_id": function, "payload": call("x" * 100_000)}
        answer = client.post("/v1/tasks", body)
        if answer.status != 201:
            break
        accepted.append(answer.json["id"])
    expect_queue_full(answer)
    assert len(accepted) == MIB // 100_100
    small = client.submit(function, "small")
    assert client.counts()["QUEUED"] == len(accepted) + 1
    server.add_slots(1)
    assert all(server.client.value(task) == "x" * 100_000 for task in accepted)
    assert server.client.value(small) == "small"


def test_a_task_that_never_fits_is_told_apart(make_server: ServerMaker) -> None:
    """To wait would be in vain, but the answer is the same as for all: the queue's limit."""
    server = make_server("--max-queued-bytes", "1000", slots=0)
    function = server.client.register(workload.echo)
    answer = server.client.post("/v1/tasks", {"function_id": function, "payload": call("x" * 2000)})
    assert answer.status in (413, 503), answer
    assert server.client.counts()["QUEUED"] == 0


def test_the_limit_holds_over_a_restart(make_server: ServerMaker) -> None:
    server = make_server("--max-queued", str(QUEUE), slots=0)
    function = server.client.register(workload.add)
    server.client.batch(function, [(n, 1) for n in range(QUEUE)])
    server.restart()
    expect_queue_full(offer(server.client, function, "single", 1))


def test_cancelled_tasks_make_room(make_server: ServerMaker) -> None:
    server = make_server("--max-queued", "2", slots=0)
    function = server.client.register(workload.add)
    first = server.client.submit(function, 1, 1)
    server.client.submit(function, 2, 2)
    expect_queue_full(offer(server.client, function, "single", 1))
    assert server.client.delete(f"/v1/tasks/{first}").status == 200
    server.client.submit(function, 3, 3)
    expect_queue_full(offer(server.client, function, "single", 1))


def test_delayed_tasks_and_running_ones_count(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server("--max-queued", "2", slots=1)
    client = server.client
    client.submit(client.register(workload.add), 1, 1, not_before="2099-01-01T00:00:00Z")
    client.started(client.submit(client.register(workload.hold), str(tmp_path), "runs"))
    expect_queue_full(offer(client, client.register(workload.add), "single", 1))
    (tmp_path / "go").touch()


def occupy(client: Client, folder: Path, slots: int) -> None:
    """All slots hold a task until there is a file `go`."""
    client.batch(client.register(workload.hold), [(str(folder), n) for n in range(slots)])
    wait_until(lambda: len(told(folder)) == slots, "each slot has a task")


@everywhere
def test_who_waits_and_tries_again_gets_all_of_it_through_once(make_server: ServerMaker,
                                                               tmp_path: Path) -> None:
    server = make_server("--max-queued", "10", slots=2)
    client = server.client
    occupy(client, tmp_path, slots=2)
    function = client.register(workload.deed)
    noted = tmp_path / "noted"
    refused, accepted = 0, []  # type: int, List[str]
    for n in range(80):
        body = {"function_id": function, "payload": call(str(noted), "slow", n)}
        while True:
            answer = client.post("/v1/tasks", body)
            if answer.status == 201:
                accepted.append(answer.json["id"])
                break
            expect_queue_full(answer)
            refused += 1
            (tmp_path / "go").touch()
    assert [client.value(task) for task in accepted] == [n * n for n in range(80)]
    ran = [int(line.split()[0]) for line in noted.read_text().splitlines()]
    assert sorted(ran) == list(range(80))
    assert refused and client.stats()["rejected_total"] == refused


SDK_CALLS = """
import sys
from operator import mul
from farhand import Executor
with Executor(url=sys.argv[1]) as executor:
    assert list(executor.map(mul, range(80), range(80))) == [n * n for n in range(80)]
"""


@everywhere
def test_the_sdk_waits_until_there_is_room(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server("--max-queued", "40", slots=2)
    occupy(server.client, tmp_path, slots=2)
    url = f"http://127.0.0.1:{server.port.number}"
    path = os.pathsep.join([str(HERE.parents[1] / "python"), os.environ.get("PYTHONPATH", "")])
    with subprocess.Popen([sys.executable, "-c", SDK_CALLS, url],
                          env={**os.environ, "PYTHONPATH": path}) as sdk:
        try:
            wait_until(lambda: server.client.stats()["rejected_total"] > 0, "there is no room")
            (tmp_path / "go").touch()
            assert sdk.wait(PATIENCE_S) == 0
        finally:
            sdk.kill()
    assert server.client.counts()["COMPLETED"] == 80 + 2


# ---- what runs ------------------------------------------------------------------------------


@everywhere_smoke
@pytest.mark.parametrize("function", [workload.hold])
def test_running_is_what_has_started_and_never_more_than_the_slots(
        make_server: ServerMaker, tmp_path: Path, function: object) -> None:
    server = make_server(slots=3)
    client = server.client
    group, ids = client.batch(client.register(function), [(str(tmp_path), n) for n in range(40)])
    wait_until(lambda: len(told(tmp_path)) == 3, "three of them have started")
    wait_until(lambda: client.counts()["RUNNING"] == 3, "the server knows of three")
    for _ in range(50):
        expect_honest(client, tmp_path, group, ids, slots=3)
    (tmp_path / "go").touch()
    while client.good("GET", f"/v1/groups/{group}")["counts"]["COMPLETED"] < 40:
        expect_honest(client, tmp_path, group, ids, slots=3)
    assert len(told(tmp_path)) == 40


def told(folder: Path) -> List[str]:
    path = folder / "started"
    return path.read_text().split() if path.exists() else []


def expect_honest(client: Client, folder: Path, group: str, ids: List[str], slots: int) -> None:
    """What the server calls RUNNING has told of its start before (so it is read first)."""
    stats = client.stats()
    running = [n for n, task in enumerate(ids[::5]) if client.state(task) == "RUNNING"]
    of_group = client.good("GET", f"/v1/groups/{group}")["counts"]
    started = {int(n) for n in told(folder)}
    assert stats["tasks"]["RUNNING"] <= slots and stats["slots_busy"] <= slots
    assert of_group["RUNNING"] <= slots and sum(of_group.values()) == len(ids)
    assert {5 * n for n in running} <= started


@everywhere
def test_short_tasks_that_are_handed_ahead_are_not_called_running(make_server: ServerMaker) -> None:
    """Many at once travel to the children, one of each child runs."""
    server = make_server(slots=2)
    client = server.client
    function = client.register(workload.add)
    client.collect(client.batch(function, [(n, 1) for n in range(500)])[0])  # it is known as short
    group, ids = client.batch(function, [(n, 1) for n in range(10_000)])
    seen = 0
    while True:
        stats = client.stats()
        assert stats["tasks"]["RUNNING"] <= 2 and stats["slots_busy"] <= 2, stats
        seen += 1
        if stats["tasks"]["QUEUED"] + stats["tasks"]["RUNNING"] == 0:
            break
    assert seen > 1
    assert client.good("GET", f"/v1/groups/{group}")["counts"]["COMPLETED"] == len(ids)


# ---- memory ---------------------------------------------------------------------------------


def queue_up(server: Server, function: str, count: int) -> None:
    body = {"function_id": function, "tasks": [{"payload": call("p" * 100)}] * 5000}
    for _ in range(count // 5000):
        server.client.good("POST", "/v1/tasks:batch", body)


def test_memory_does_not_follow_the_backlog(make_server: ServerMaker) -> None:
    """The window is full long before; every task beyond it is on disk only."""
    server = make_server(slots=0)
    function = server.client.register(workload.echo)
    queue_up(server, function, 40_000)
    before = server.rss()
    queue_up(server, function, 50_000)
    grown = server.rss() - before
    assert server.client.counts()["QUEUED"] == 90_000
    assert grown < 6 * MIB, f"50,000 queued tasks took {grown >> 10} KiB of memory"
    server.restart()
    assert server.client.counts()["QUEUED"] == 90_000
    assert server.rss() < before + 6 * MIB


def test_memory_does_not_follow_the_results(make_server: ServerMaker) -> None:
    """Functions make results faster than a disk takes them; then they are held up."""
    server = make_server(slots=2)
    client = server.client
    group, _ = client.batch(client.register(workload.huge), [(9,)] * 40)
    done = client.collect(group)
    assert [task["result_size"] > 9 * MIB for task in done] == [True] * 40
    assert server.peak_rss() < 200 * MIB, "360 MiB of results went through it"


READERS = 100
ANSWERS_MAX = 64 * MIB  # of large answers under way


@pytest.mark.parametrize("way", ["result?wait=60", "wait", "result"])
def test_memory_does_not_follow_the_readers(make_server: ServerMaker, tmp_path: Path,
                                            way: str) -> None:
    """Many clients want one large result and do not read it: those behind the first few are asked
    to come back, before anything is made for them, and then get it."""
    server = make_server(slots=1)
    client = server.client
    task = client.submit(client.register(workload.huge_when), str(tmp_path), 9)
    if way == "result":  # of old, from the disk
        (tmp_path / "go").touch()
        client.finished(task)
        server.restart()
        client = server.client
    readers = [socket.create_connection(("127.0.0.1", server.port.number)) for _ in range(READERS)]
    for reader in readers:
        reader.sendall(reading(task, way))
    if way != "result":
        wait_until(lambda: client.stats()["waiting_calls"] == READERS, "all of them wait")
        (tmp_path / "go").touch()
    statuses = [int(reader.recv(12)[9:]) for reader in readers]
    assert sorted(set(statuses)) == [200, 503]
    assert statuses.count(200) <= ANSWERS_MAX // (12 * MIB)
    assert server.peak_rss() < 250 * MIB, f"{READERS} readers took {server.peak_rss() >> 20} MiB"
    for reader in readers:
        reader.close()
    answer = wait_until(lambda: ask_again(client, task), "there is room again")
    assert len(pickle.loads(answer.body)) == 9 * MIB


def reading(task: str, way: str) -> bytes:
    """The bytes of a request for the result."""
    if way != "wait":
        return f"GET /v1/tasks/{task}/{way} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    body = json.dumps({"ids": [task], "wait_s": 60, "include_results": True})
    return (f"POST /v1/tasks:wait HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            f"Content-Type: application/json\r\n\r\n{body}").encode()


def ask_again(client: Client, task: str) -> Optional[Answer]:
    answer = client.ask("GET", f"/v1/tasks/{task}/result",
                        headers={"Accept": "application/octet-stream"})
    if answer.status == 200:
        return answer
    assert answer.status == 503 and answer.code == "busy" and answer.headers["retry-after"]
    return None
