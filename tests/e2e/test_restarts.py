"""The server ends and comes back while workers elsewhere run tasks of it: what runs goes on, what
is over waits to be told, nothing runs again."""

from collections import Counter
from pathlib import Path

import pytest
import workload
from conftest import ServerMaker, WorkerMaker
from fleet import Fleet
from harness import lines_of, wait_until


@pytest.fixture
def server(make_server: ServerMaker) -> Fleet:
    return make_server("--grace", "1", slots=0, bind=True)


@pytest.mark.smoke
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_nothing_runs_again_for_a_restart_of_the_server(
        server: Fleet, make_worker: WorkerMaker, tmp_path: Path, how: str) -> None:
    """Tasks that run, tasks that end while the server is away, tasks that wait, tasks of which
    each may run once: each of them runs exactly once."""
    for mode in ("push", "pull"):
        make_worker(server.url, mode=mode, slots=4)
    client = server.client
    hold = client.register(workload.hold)
    ends, stays, waits = (tmp_path / name for name in ("ends", "stays", "waits"))
    for folder in (ends, stays, waits):
        folder.mkdir()
    ending = [client.submit(hold, str(ends), n, at_most_once=n == 0) for n in range(4)]
    staying = [client.submit(hold, str(stays), n, at_most_once=n == 0) for n in range(4)]
    for folder in (ends, stays):
        wait_until(lambda f=folder: len(lines_of(f / "started")) == 4, "all run")
    (waits / "go").touch()
    waiting = [client.submit(hold, str(waits), n, at_most_once=n == 0) for n in range(20)]
    for _ in range(2):
        if how == "stop":
            assert server.stop() == 0
        else:
            server.kill9()
        (ends / "go").touch()
        wait_until(lambda: len(lines_of(ends / "ended")) == 4, "they end meanwhile")
        server.start()
    client = server.client
    assert [client.value(task) for task in ending] == list(range(4))
    assert [client.value(task) for task in waiting] == list(range(20)), "there are free slots again"
    assert {client.started(task)["state"] for task in staying} == {"RUNNING"}
    (stays / "go").touch()
    assert [client.value(task) for task in staying] == list(range(4))
    for folder, count in ((ends, 4), (stays, 4), (waits, 20)):
        assert Counter(lines_of(folder / "started")) == {str(n): 1 for n in range(count)}
    assert {client.task(task)["attempt"] for task in ending + staying + waiting} == {1}


@pytest.mark.parametrize("mode", ["push", "pull"])
def test_what_runs_on_is_seen_to_have_printed_what_it_had(
        server: Fleet, make_worker: WorkerMaker, tmp_path: Path, mode: str) -> None:
    make_worker(server.url, mode=mode)
    task = server.client.submit(server.client.register(workload.speak_and_hold), str(tmp_path),
                                "said before")
    path = f"/v1/tasks/{task}/logs"
    wait_until(lambda: "\n" in server.client.good("GET", path)["stdout"], "its line is seen")
    server.kill9()
    server.start()
    wait_until(lambda: server.client.good("GET", path)["stdout"] == "said before\n",
               "its line is seen again")
    (tmp_path / "go").touch()
    server.client.value(task)
    assert server.client.good("GET", path)["stderr"] == "the end\n"


def test_a_worker_that_never_comes_back_keeps_nobody_waiting_for_long(
        server: Fleet, make_worker: WorkerMaker, tmp_path: Path) -> None:
    """Both ended at the same time; what ran is given to another worker after a grace."""
    worker = make_worker(server.url)
    client = server.client
    hold = client.register(workload.hold)
    once = client.submit(hold, str(tmp_path), "once", at_most_once=True)
    again = client.submit(hold, str(tmp_path), "again")
    wait_until(lambda: len(lines_of(tmp_path / "started")) == 2, "both run")
    worker.kill9()
    server.restart()
    make_worker(server.url)
    client = server.client
    explained = client.good("GET", f"/v1/tasks/{again}/explain")
    assert explained["waits_for"] in ("grace", "capacity", "nothing"), explained
    outcome = client.outcome(once)
    assert (outcome.state, outcome.reason) == ("FAILED", "worker_lost")
    client.started(again)
    (tmp_path / "go").touch()
    assert client.value(again) == "again"
    assert sorted(lines_of(tmp_path / "started")) == ["again", "again", "once"]
