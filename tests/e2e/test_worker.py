"""Workers elsewhere, over real connections: what they do is what a local pool does, and a task
survives the end of either side."""

import os
import signal
import socket
from pathlib import Path
from typing import Iterator, List

import pytest
import workload
from conftest import ServerMaker, WorkerMaker
from harness import Server, StartFailed, Worker, b64, run_farhand, wait_until

MODES = ("push", "pull")


@pytest.fixture
def server(make_server: ServerMaker) -> Server:
    """No local pool: all that runs runs on workers."""
    return make_server("--grace", "1", slots=0, bind=True)


@pytest.fixture(params=MODES)
def worker(request: pytest.FixtureRequest, server: Server, make_worker: WorkerMaker) -> Worker:
    return make_worker(server.url, mode=request.param)


def lines_of(path: Path) -> List[str]:
    return path.read_text().splitlines() if path.exists() else []


# ---- what it does ---------------------------------------------------------------------------


@pytest.mark.smoke
def test_results_come_back(server: Server, worker: Worker) -> None:
    client = server.client
    assert client.run(client.register(workload.add), 2, 3) == 5
    echo = client.register(workload.echo)
    group, ids = client.batch(echo, [(n,) for n in range(500)])
    done = client.collect(group)
    assert len(done) == 500 and {task["state"] for task in done} == {"COMPLETED"}
    assert [client.value(task) for task in ids[::50]] == list(range(0, 500, 50))


def test_payloads_of_any_size_come_through(server: Server, worker: Worker) -> None:
    client = server.client
    echo = client.register(workload.echo)
    for size in (0, 64 << 10, 3 << 20):
        data = os.urandom(size)
        assert client.run(echo, data) == data


def test_failures_are_told(server: Server, worker: Worker) -> None:
    client = server.client
    outcome = client.outcome(client.submit(client.register(workload.fail), "no good"))
    assert (outcome.state, outcome.reason) == ("FAILED", "exception")
    assert type(outcome.value) is ValueError and outcome.value.args == ("no good",)
    crash = client.outcome(client.submit(client.register(os._exit), 3))
    assert (crash.state, crash.reason) == ("FAILED", "crash")
    slow = client.outcome(client.submit(client.register(workload.pause), 60, timeout_s=0.2))
    assert (slow.state, slow.reason) == ("FAILED", "timeout")


def test_what_is_printed_comes_back(server: Server, worker: Worker) -> None:
    client = server.client
    task = client.submit(client.register(print), "here I am")
    client.finished(task)
    answer = client.get(f"/v1/tasks/{task}/logs")
    assert answer.status == 200 and b"here I am" in answer.body


def test_a_running_task_is_cancelled(server: Server, worker: Worker) -> None:
    client = server.client
    task = client.submit(client.register(workload.pause), 60)
    client.started(task)
    client.good("POST", f"/v1/tasks/{task}:cancel")
    assert client.finished(task)["state"] == "CANCELLED"


def test_its_own_folder_is_on_the_import_path(server: Server, make_worker: WorkerMaker,
                                              tmp_path: Path) -> None:
    (tmp_path / "found_here.py").write_text("def answer():\n    return 42\n")
    make_worker(server.url, cwd=tmp_path)
    client = server.client
    by_reference = b64(b"\x80\x02cfound_here\nanswer\n.")
    assert client.run(client.register(by_reference)) == 42


def test_local_and_remote_slots_work_at_the_same_time(make_server: ServerMaker,
                                                      make_worker: WorkerMaker,
                                                      tmp_path: Path) -> None:
    server = make_server(slots=1, bind=True)
    for mode in MODES:
        make_worker(server.url, mode=mode, slots=1)
    client = server.client
    wait_until(lambda: client.stats()["slots"] == 3, "all workers are there")
    hold = client.register(workload.hold)
    tasks = [client.submit(hold, str(tmp_path), n) for n in range(3)]
    wait_until(lambda: len(lines_of(tmp_path / "started")) == 3, "one runs on each")
    (tmp_path / "go").touch()
    assert [client.value(task) for task in tasks] == [0, 1, 2]


# ---- its end --------------------------------------------------------------------------------


@pytest.mark.smoke
def test_what_a_killed_worker_had_runs_again_elsewhere(server: Server, worker: Worker,
                                                       make_worker: WorkerMaker,
                                                       tmp_path: Path) -> None:
    client = server.client
    hold = client.register(workload.hold)
    tasks = [client.submit(hold, str(tmp_path), n) for n in range(2)]
    wait_until(lambda: len(lines_of(tmp_path / "started")) == 2, "both run")
    worker.kill9()
    make_worker(server.url)
    wait_until(lambda: len(lines_of(tmp_path / "started")) == 4, "both run again")
    (tmp_path / "go").touch()
    assert [client.value(task) for task in tasks] == [0, 1]


def test_it_finishes_what_runs_and_leaves(server: Server, worker: Worker, tmp_path: Path) -> None:
    client = server.client
    task = client.submit(client.register(workload.hold), str(tmp_path), "held")
    wait_until(lambda: lines_of(tmp_path / "started"), "it runs")
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "takes no more tasks" in server.log, "its dispatcher was told")
    later = client.submit(client.register(workload.add), 1, 1)
    (tmp_path / "go").touch()
    assert worker.wait() == 0
    worker.assert_nothing_left()
    assert client.value(task) == "held"
    assert client.state(later) == "QUEUED"
    assert len(lines_of(tmp_path / "started")) == 1
    assert "said BYE" in server.log


@pytest.mark.parametrize("twice", (False, True), ids=("grace", "second signal"))
def test_what_it_cannot_finish_runs_elsewhere_at_once(server: Server, make_worker: WorkerMaker,
                                                      tmp_path: Path, twice: bool) -> None:
    worker = make_worker(server.url, "--grace", "60" if twice else "0.1")
    client = server.client
    task = client.submit(client.register(workload.hold), str(tmp_path), "held")
    wait_until(lambda: lines_of(tmp_path / "started"), "it runs")
    worker.signal(signal.SIGTERM)
    if twice:
        wait_until(lambda: "stopping" in worker.log, "it was told")
        worker.signal(signal.SIGINT)
    assert worker.wait() == 0
    worker.assert_nothing_left()
    make_worker(server.url)
    wait_until(lambda: len(lines_of(tmp_path / "started")) == 2, "it runs again")
    assert "said BYE" in server.log
    (tmp_path / "go").touch()
    assert client.value(task) == "held"


def test_a_worker_that_has_no_dispatcher_stops_too(server: Server, worker: Worker) -> None:
    server.kill9()
    wait_until(lambda: "gone" in worker.log, "it has noticed")
    assert worker.stop() == 0


# ---- the end of its dispatcher --------------------------------------------------------------


@pytest.mark.smoke
def test_what_runs_outlives_its_dispatcher(server: Server, worker: Worker, tmp_path: Path) -> None:
    client = server.client
    task = client.submit(client.register(workload.hold), str(tmp_path), "held")
    wait_until(lambda: lines_of(tmp_path / "started"), "it runs")
    server.restart()
    client = server.client
    wait_until(lambda: client.state(task) == "RUNNING", "its worker is back")
    (tmp_path / "go").touch()
    assert client.value(task) == "held"
    assert lines_of(tmp_path / "started") == ["held"], "it ran once"


def test_a_result_waits_for_the_dispatcher(server: Server, worker: Worker, tmp_path: Path) -> None:
    client = server.client
    task = client.submit(client.register(workload.hold), str(tmp_path), "held")
    wait_until(lambda: lines_of(tmp_path / "started"), "it runs")
    server.kill9()
    (tmp_path / "go").touch()
    wait_until(lambda: lines_of(tmp_path / "ended"), "it has ended")
    server.start()
    assert server.client.value(task) == "held"
    assert lines_of(tmp_path / "started") == ["held"], "it ran once"


def test_the_next_dispatcher_is_dialled(make_server: ServerMaker, make_worker: WorkerMaker) -> None:
    first, second = (make_server(slots=0, bind=True) for _ in range(2))
    make_worker(f"{first.url},{second.url}")
    first.kill9()
    client = second.client
    assert client.run(client.register(workload.add), 1, 2) == 3


# ---- pauses ---------------------------------------------------------------------------------


def test_a_worker_that_wakes_after_it_was_given_up_harms_nobody(
        server: Server, worker: Worker, make_worker: WorkerMaker, tmp_path: Path) -> None:
    client = server.client
    task = client.submit(client.register(workload.hold), str(tmp_path), "held")
    wait_until(lambda: lines_of(tmp_path / "started"), "it runs")
    worker.signal(signal.SIGSTOP)
    make_worker(server.url)
    wait_until(lambda: len(lines_of(tmp_path / "started")) == 2, "it runs elsewhere")
    worker.signal(signal.SIGCONT)
    wait_until(lambda: len(worker.children()) == 2 and "connecting anew" in worker.log,
               "it has noticed")
    (tmp_path / "go").touch()
    assert client.value(task) == "held"
    echo = client.register(workload.echo)
    group, _ = client.batch(echo, [(n,) for n in range(100)])
    assert {done["state"] for done in client.collect(group)} == {"COMPLETED"}


def test_a_dispatcher_that_is_silent_is_left(server: Server, worker: Worker,
                                             tmp_path: Path) -> None:
    client = server.client
    task = client.submit(client.register(workload.hold), str(tmp_path), "held")
    wait_until(lambda: lines_of(tmp_path / "started"), "it runs")
    children = set(worker.children())
    server.signal(signal.SIGSTOP)
    try:
        wait_until(lambda: "was silent" in worker.log, "the worker is fenced")
        wait_until(lambda: not children <= set(worker.children()), "what ran is ended")
    finally:
        server.signal(signal.SIGCONT)
    wait_until(lambda: len(lines_of(tmp_path / "started")) == 2, "it runs again")
    (tmp_path / "go").touch()
    assert client.value(task) == "held"


# ---- what cannot start ----------------------------------------------------------------------


@pytest.mark.parametrize("args, said", [
    ((), "needs URL"),
    (("127.0.0.1",), "HOST:PORT"),
    (("http://127.0.0.1:1",), "HOST:PORT"),
    (("127.0.0.1:99999",), "HOST:PORT"),
    (("127.0.0.1:1,",), "HOST:PORT"),
    (("10.0.0.1:1",), "loopback"),
    (("no-such-host.invalid:1",), "no-such-host.invalid"),
    (("-m", "sideways", "127.0.0.1:1"), "-m"),
    (("-w", "0", "127.0.0.1:1"), "-w"),
    (("--label", "gpu", "127.0.0.1:1"), "--label"),
    (("--frob", "127.0.0.1:1"), "--frob"),
    (("--python", "/nowhere/python3", "127.0.0.1:1"), "/nowhere/python3"),
    (("--python", "/bin/true", "127.0.0.1:1"), "/bin/true"),
])
def test_what_cannot_start_says_why_in_one_line(args: List[str], said: str) -> None:
    done = run_farhand("worker", *args)
    assert done.returncode != 0 and done.stdout == ""
    *log, line = done.stderr.splitlines()
    assert line.startswith("farhand: ") and said in line, done.stderr
    assert all("cannot be reached" in other for other in log), done.stderr


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """Where somebody listens and says nothing."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_it_waits_for_a_dispatcher(make_worker: WorkerMaker, make_server: ServerMaker,
                                   deaf_port: int) -> None:
    server = make_server(slots=0, bind=True, start=False)
    worker = make_worker(f"{server.url},127.0.0.1:{deaf_port}", start=False)
    worker.launch()
    wait_until(lambda: "cannot be reached" in worker.log, "it has tried the first one")
    server.start()
    assert worker.await_ready() == f"ready {server.url}\n"


@pytest.mark.parametrize("bind, said", [
    ("tcp://192.0.2.1:1", "cannot listen on"), ("tcp://127.0.0.1", "HOST:PORT"), ("x", "--bind"),
])
def test_a_server_that_cannot_listen_says_why(make_server: ServerMaker, bind: str,
                                              said: str) -> None:
    server = make_server("--bind", bind, start=False)
    server.launch()
    with pytest.raises(StartFailed) as failure:
        server.await_ready()
    assert failure.value.status != 0 and said in server.log.splitlines()[-1]


def test_a_free_port_is_found_and_told(make_server: ServerMaker, make_worker: WorkerMaker) -> None:
    server = make_server("--bind", "tcp://127.0.0.1:*", slots=0, start=False)
    server.launch()
    http, tcp = server.await_ready().split()[1:]
    assert http.startswith("http://127.0.0.1:") and tcp.startswith("tcp://127.0.0.1:")
    make_worker(tcp)
    assert server.client.run(server.client.register(workload.add), 1, 2) == 3
