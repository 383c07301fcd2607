"""`farhand worker` as a process: its start, its end, and who it dials. (What it does is what a
local pool does: see fleet.py. What the loss of one means: test_fleet.py.)"""

import signal
import socket
from pathlib import Path
from typing import Iterator, List

import pytest
import workload
from conftest import ServerMaker, WorkerMaker
from harness import Server, StartFailed, Worker, lines_of, run_farhand, wait_until

MODES = ("push", "pull")


@pytest.fixture
def server(make_server: ServerMaker) -> Server:
    """No local pool: all that runs runs on workers."""
    return make_server("--grace", "1", slots=0, bind=True)


@pytest.fixture(params=MODES)
def worker(request: pytest.FixtureRequest, server: Server, make_worker: WorkerMaker) -> Worker:
    return make_worker(server.url, mode=request.param)


# ---- its end --------------------------------------------------------------------------------


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


def test_the_next_dispatcher_is_dialled(make_server: ServerMaker, make_worker: WorkerMaker) -> None:
    first, second = (make_server(slots=0, bind=True) for _ in range(2))
    make_worker(f"{first.url},{second.url}")
    first.kill9()
    client = second.client
    assert client.run(client.register(workload.add), 1, 2) == 3


# ---- pauses ---------------------------------------------------------------------------------


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
    (("--path", "/nowhere/functions", "127.0.0.1:1"), "/nowhere/functions"),
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
