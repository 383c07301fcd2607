"""What a bad line to the server must not cost: a task that runs is not run again for it, and no
payload is too large for it. (test_faults.py has all the faults that a line can have.)"""

import os
import signal
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

import pytest
import workload
from conftest import ServerMaker, WorkerMaker
from fleet import Fleet
from fault_proxy import UP, Proxy
from harness import Client, lines_of, wait_until

MIB = 1 << 20
MODES = ("push", "pull")


@pytest.fixture
def server(make_server: ServerMaker) -> Fleet:
    return make_server("--grace", "1", slots=0, bind=True)


@pytest.fixture
def line(server: Fleet) -> Iterator[Proxy]:
    with Proxy(server.door.number) as line:
        yield line


def listed(client: Client) -> List[Dict[str, Any]]:
    return client.good("GET", "/v1/workers")["items"]


# ---- cut ------------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("mode", MODES)
def test_a_cut_costs_nothing_that_runs(server: Fleet, make_worker: WorkerMaker, line: Proxy,
                                       tmp_path: Path, mode: str) -> None:
    """It is the same worker over the next connection, under the same session."""
    worker = make_worker(line.url, mode=mode)
    client = server.client
    function = client.register(workload.hold)
    running = [client.submit(function, str(tmp_path), n) for n in range(2)]
    waiting = [client.submit(function, str(tmp_path), n) for n in range(2, 5)]
    for task in running:
        client.started(task)
    before, = listed(client)
    for n in range(3):
        line.cut()
        wait_until(lambda n=n: worker.log.count("the dispatcher is gone") == n + 1, "it noticed")
        wait_until(lambda n=n: server.log.count("is back, with") == n + 1, "it is back")
    (tmp_path / "go").touch()
    assert [client.value(task) for task in running + waiting] == list(range(5))
    assert sorted(lines_of(tmp_path / "started")) == list("01234"), "each ran once"
    after, = listed(client)
    assert (after["id"], after["connected_at"]) == (before["id"], before["connected_at"])


def test_short_tasks_under_many_cuts(server: Fleet, make_worker: WorkerMaker, line: Proxy,
                                     tmp_path: Path) -> None:
    """Nothing is lost; what was in a child when the line was cut is told over the next one."""
    make_worker(line.url, mode="push")
    make_worker(line.url, mode="pull")
    client, noted = server.client, tmp_path / "noted"
    function = client.register(workload.square_noted)
    group, ids = client.batch(function, [(str(noted), n) for n in range(5000)])
    for share in range(500, 4500, 500):
        wait_until(lambda s=share: len(lines_of(noted)) >= s, "some have run")
        line.cut()
    assert {task["state"] for task in client.collect(group)} == {"COMPLETED"}
    assert [client.value(task) for task in ids[::500]] == [n * n for n in range(0, 5000, 500)]
    assert sorted(map(int, lines_of(noted))) == list(range(5000)), "each ran once"


def test_a_result_in_the_middle_of_which_the_line_is_cut_comes_whole(
        server: Fleet, make_worker: WorkerMaker, line: Proxy) -> None:
    make_worker(line.url)
    client = server.client
    client.run(client.register(workload.add), 1, 1)
    line.cut_at(MIB, UP)
    task = client.submit(client.register(workload.huge), 9)
    for share in (4, 8):
        wait_until(lambda: not line.is_armed, "a part has come")
        line.cut_at(share * MIB, UP)
    assert client.value(task) == b"x" * (9 * MIB)
    assert client.task(task)["attempt"] == 1


# ---- held up --------------------------------------------------------------------------------


def test_a_silent_line_ends_what_runs_before_it_runs_elsewhere(
        server: Fleet, make_worker: WorkerMaker, line: Proxy, tmp_path: Path) -> None:
    """The connection stands and says nothing: the worker ends its tasks by itself, so that none
    runs in two places, and is one of many again when the line works."""
    fenced = make_worker(line.url, slots=1)
    client = server.client
    task = client.submit(client.register(workload.hold_and_tell), str(tmp_path), "x")
    client.started(task)
    child, = fenced.children()
    line.stall()
    other = make_worker(server.url, slots=1)
    wait_until(lambda: len(lines_of(tmp_path / "started")) == 2, "it runs elsewhere")
    assert child not in fenced.children(), "and nowhere else"
    line.heal()
    wait_until(lambda: len(listed(client)) == 2, "it is back")
    (tmp_path / "go").touch()
    assert client.value(task) in other.children()


@pytest.mark.parametrize("mode", MODES)
def test_both_sides_may_sleep_for_long(server: Fleet, make_worker: WorkerMaker, tmp_path: Path,
                                       mode: str) -> None:
    """As on one laptop that is closed: nobody has missed anything."""
    worker = make_worker(server.url, mode=mode, slots=1)
    client = server.client
    task = client.submit(client.register(workload.hold), str(tmp_path), "x")
    client.started(task)
    everybody = [*worker.processes(), server.process.pid]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    since = time.monotonic()
    wait_until(lambda: time.monotonic() - since > 5, "longer than any patience")
    for pid in everybody:
        os.kill(pid, signal.SIGCONT)
    (tmp_path / "go").touch()
    assert client.value(task) == "x"
    assert lines_of(tmp_path / "started") == ["x"] and client.task(task)["attempt"] == 1


# ---- slow -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["arguments", "result"])
def test_a_large_payload_over_a_slow_line_arrives(server: Fleet, make_worker: WorkerMaker,
                                                  line: Proxy, way: str) -> None:
    """At 8 Mbit/s heartbeats stand in line behind it for longer than a worker may be silent."""
    make_worker(line.url, slots=1)
    client = server.client
    client.run(client.register(workload.add), 1, 1)
    line.narrow(MIB)
    if way == "result":
        task = client.submit(client.register(workload.huge), 6)
    else:
        task = client.submit_bytes(client.register(len, name="len"), b"x" * (6 * MIB))
    assert client.value(task) == (6 * MIB if way == "arguments" else b"x" * (6 * MIB))
    assert client.task(task)["attempt"] == 1
