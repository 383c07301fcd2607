"""`farhand serve` as a process: its stop, in order and at once, and what it starts with again."""

import signal
import sys
import threading
from pathlib import Path
from typing import List, Tuple

import pytest
import workload
from conftest import ServerMaker
from harness import BROKEN, Refused, call, lines_of, wait_until


# ---- the stop -------------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_stop_lets_running_tasks_end_and_keeps_queued_ones(make_server: ServerMaker,
                                                            tmp_path: Path) -> None:
    server = make_server("--grace", "1000", slots=1)
    function = server.client.register(workload.hold)
    running = server.client.submit(function, str(tmp_path), "running")
    server.client.started(running)
    queued = server.client.submit(function, str(tmp_path), "queued")
    server.signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in server.log, "the server is stopping")
    (tmp_path / "go").touch()
    assert server.wait() == 0
    server.assert_nothing_left()
    assert lines_of(tmp_path / "ended") == ["running"]
    server.start()
    assert server.client.task(running)["state"] == "COMPLETED", "its end was recorded"
    assert server.client.value(queued) == "queued"
    assert lines_of(tmp_path / "started") == ["running", "queued"]


def test_a_stop_takes_nothing_new(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server("--grace", "1000", slots=1)
    function = server.client.register(workload.hold)
    server.client.started(server.client.submit(function, str(tmp_path), "running"))
    late = server.connect()
    assert late.get("/readyz").status == 200
    server.signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in server.log, "the server is stopping")
    with pytest.raises((Refused, *BROKEN)) as refused:
        late.submit(function, str(tmp_path), "late")
    if isinstance(refused.value, Refused):
        assert refused.value.answer.status == 503
    with pytest.raises(BROKEN):
        server.connect().get("/readyz")
    (tmp_path / "go").touch()
    assert server.wait() == 0
    server.start()
    stats = server.client.stats()
    assert sum(stats["tasks"].values()) == 1, "what was refused is not there"


def test_a_stop_ends_what_outlives_the_grace_and_runs_it_again(make_server: ServerMaker,
                                                              tmp_path: Path) -> None:
    server = make_server("--grace", "0.05", slots=1)
    task = server.client.submit(server.client.register(workload.hold), str(tmp_path), "long")
    server.client.started(task)
    assert server.stop() == 0
    assert lines_of(tmp_path / "ended") == []
    server.start()
    (tmp_path / "go").touch()
    assert server.client.value(task) == "long"
    assert lines_of(tmp_path / "started") == ["long", "long"]


@pytest.mark.smoke
@pytest.mark.parametrize("first, second", [(signal.SIGTERM, signal.SIGTERM),
                                           (signal.SIGINT, signal.SIGTERM),
                                           (signal.SIGTERM, signal.SIGINT)])
def test_a_second_signal_stops_at_once(make_server: ServerMaker, tmp_path: Path, first: int,
                                       second: int) -> None:
    server = make_server("--grace", "1000", slots=1)
    task = server.client.submit(server.client.register(workload.hold), str(tmp_path), "long")
    server.client.started(task)
    server.signal(first)
    wait_until(lambda: "stopping" in server.log, "the server is stopping")
    server.signal(second)
    assert server.wait() == 0
    server.assert_nothing_left()
    (tmp_path / "go").touch()
    server.start()
    assert server.client.value(task) == "long"


@pytest.mark.smoke
def test_a_stop_answers_parked_polls(make_server: ServerMaker) -> None:
    server = make_server(slots=0)
    task = server.client.submit(server.client.register(workload.add), 1, 2)
    group, _ = server.client.batch(server.client.register(workload.add), [(1, 2)])
    waits = [("GET", f"/v1/tasks/{task}?wait=60", None),
             ("GET", f"/v1/tasks/{task}/result?wait=60", None),
             ("POST", "/v1/tasks:wait", {"ids": [task], "wait_s": 60}),
             ("POST", "/v1/tasks:wait", {"group_id": group, "wait_s": 60})]
    answers: List[object] = []

    def wait(method: str, path: str, body: object) -> None:
        try:
            answers.append(server.connect().ask(method, path, body).status)
        except BROKEN as error:
            answers.append(error)

    threads = [threading.Thread(target=wait, args=args) for args in waits]
    for thread in threads:
        thread.start()
    wait_until(lambda: server.client.stats()["waiting_calls"] == len(waits),
               "all of them are parked")
    assert server.stop() == 0
    for thread in threads:
        thread.join()
    assert len(answers) == len(waits)
    assert set(answers) <= {200, 202, 503}, answers


@pytest.mark.smoke
@pytest.mark.parametrize("signals", [1, 2])
def test_a_stop_amid_submissions_keeps_what_was_acknowledged(make_server: ServerMaker,
                                                             signals: int) -> None:
    """Also when the second signal finds requests on their way to the disk."""
    server = make_server("--grace", "1000", slots=1)
    function = server.client.register(workload.add)
    accepted: List[Tuple[str, int]] = []

    def submit(first: int) -> None:
        client, n = server.connect(), first
        try:
            while True:
                body = {"function_id": function, "tasks": [{"payload": call(n, 1)}] * 50}
                answer = client.post("/v1/tasks:batch", body)
                if answer.status != 200:
                    return
                accepted.extend((task["id"], n) for task in answer.json["tasks"])
                n += 1
        except BROKEN:
            return

    threads = [threading.Thread(target=submit, args=(n * 1000,)) for n in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(accepted) > 2000, "they are at it")
    for _ in range(signals):
        server.signal(signal.SIGTERM)
        wait_until(lambda: "stopping" in server.log, "the server is stopping")
    assert server.wait() == 0
    for thread in threads:
        thread.join()
    server.assert_nothing_left()
    server.start()
    stats = server.client.stats()
    assert sum(stats["tasks"].values()) >= len(accepted)
    for task, n in accepted[::97] + accepted[-100:]:
        assert server.client.value(task) == n + 1


# ---- what a server is started with ----------------------------------------------------------


def test_without_a_pool_it_accepts_and_queues(make_server: ServerMaker) -> None:
    server = make_server(slots=0)
    task = server.client.submit(server.client.register(workload.add), 20, 3)
    assert server.client.task(task)["state"] == "QUEUED"
    assert server.children() == []
    server.stop()
    server.args += ["--local", "1"]
    server.start()
    assert server.client.value(task) == 23


def test_functions_import_from_the_folder_of_the_server_and_from_paths(
        make_server: ServerMaker, tmp_path: Path) -> None:
    for folder in ("cwd", "first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / f"mod_{folder}.py").write_text(
            f"def where(): return {folder!r}\n")
    server = make_server("--path", str(tmp_path / "first"), f"--path={tmp_path / 'second'}",
                         cwd=tmp_path / "cwd")
    for folder in ("cwd", "first", "second"):
        sys.path.insert(0, str(tmp_path / folder))
        try:
            module = __import__(f"mod_{folder}")
            assert server.client.run(server.client.register(module.where)) == folder
        finally:
            sys.path.remove(str(tmp_path / folder))


def test_a_default_execution_limit(make_server: ServerMaker) -> None:
    server = make_server("--task-timeout", "0.3", slots=1)
    function = server.client.register(workload.pause)
    outcome = server.client.outcome(server.client.submit(function, 3600))
    assert (outcome.state, outcome.reason) == ("FAILED", "timeout")
    assert server.client.run(function, 0) == 0
    assert server.client.run(function, 0.4, timeout_s=1000) == 0.4, "its own limit counts"


# ---- after a kill ---------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_backlog_is_worked_off_after_kill9(make_server: ServerMaker) -> None:
    server = make_server(slots=0)
    function = server.client.register(workload.add)
    group, ids = server.client.batch(function, [(n, 1) for n in range(5000)])
    server.args += ["--local", "2"]
    server.restart()
    done = server.client.collect(group)
    assert sorted(task["id"] for task in done) == sorted(ids)
    assert all(task["state"] == "COMPLETED" for task in done)
    assert server.client.value(ids[4321]) == 4322


@pytest.mark.smoke
def test_nothing_survives_kill9(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server("--grace", "0", slots=3)
    function = server.client.register(workload.hold)
    stubborn = server.client.register(workload.ignore_sigterm)
    server.client.started(server.client.submit(function, str(tmp_path), "a"))
    server.client.started(server.client.submit(stubborn, str(tmp_path / "pid")))
    wait_until(lambda: lines_of(tmp_path / "pid"), "the stubborn one runs")
    server.kill9()  # asserts that no process is left
    with pytest.raises(ConnectionRefusedError):
        server.connect().get("/readyz")
    (tmp_path / "go").touch()
    server.start()  # the port is free again, and so is the lock


@pytest.mark.smoke
def test_running_tasks_run_again_after_kill9(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server(slots=2)
    function = server.client.register(workload.hold)
    tasks = [server.client.submit(function, str(tmp_path), name) for name in "ab"]
    wait_until(lambda: len(lines_of(tmp_path / "started")) == 2, "both run")
    server.restart()
    (tmp_path / "go").touch()
    assert [server.client.value(task) for task in tasks] == ["a", "b"]
    assert sorted(lines_of(tmp_path / "started")) == ["a", "a", "b", "b"]
