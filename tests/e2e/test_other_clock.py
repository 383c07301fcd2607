"""A worker whose machine has another time of day: what the server says of a task is in the server's
time, and nothing is too early, too late or given up for it."""

import datetime
import shutil
import subprocess
import time
from pathlib import Path

import pytest
import workload
from conftest import ServerMaker, WorkerMaker
from fleet import Fleet
from harness import EXE, HERE

DAY_S = 24 * 3600


def unix(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("there is no C compiler")
    if "asan" in EXE or "tsan" in EXE:
        pytest.skip("a sanitizer must be loaded first")
    path = tmp_path_factory.mktemp("clock") / "other_clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", path, HERE / "other_clock.c"],
                   check=True)
    return path


@pytest.fixture(params=[400 * DAY_S, -400 * DAY_S, -3], ids=["ahead", "behind", "a little behind"])
def server(request: pytest.FixtureRequest, library: Path, make_server: ServerMaker,
           make_worker: WorkerMaker) -> Fleet:
    server = make_server(slots=0, bind=True)
    make_worker(server.url, env={"LD_PRELOAD": str(library), "OTHER_CLOCK": str(request.param)})
    seen = server.client.run(server.client.register(time.time, name="time"))
    assert abs(seen - time.time() - request.param) < 2, "it has that clock"
    return server


def test_the_clock_of_a_worker_does_not_matter(server: Fleet, tmp_path: Path) -> None:
    client, before = server.client, time.time()
    task = client.submit(client.register(workload.pause), 0.2)
    client.started(task)
    begun = unix(client.task(task)["started_at"])
    assert client.value(task) == 0.2
    found, after = client.task(task), time.time()
    created, started, finished = (unix(found[name]) for name in
                                  ("created_at", "started_at", "finished_at"))
    assert before - 0.002 <= created <= started + 0.001 <= finished <= after + 0.002, found
    assert finished - started >= 0.2 - 0.002 and found["timings"]["run_s"] >= 0.2
    assert abs(started - begun) < 0.1, "what was said while it ran stays true"
    server.restart()
    assert server.client.value(task) == 0.2, "the result is not given up for its age"
    assert server.client.task(task) == found
    again = server.client.submit(server.client.register(workload.fail_first), str(tmp_path / "n"),
                                 1, 1, retries=1, backoff={"initial_s": 0.2, "max_s": 0.2})
    assert server.client.value(again) == 2
