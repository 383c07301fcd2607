"""Several workers beside each other: who is given what, what the loss of one costs, what operators
can order."""

import os
import signal
import threading
from collections import Counter
from pathlib import Path
from typing import Any, Dict, List

import pytest
import workload
from conftest import ServerMaker, WorkerMaker
from fleet import Fleet
from harness import Client, Worker, b64, call, lines_of, wait_until


@pytest.fixture
def server(make_server: ServerMaker) -> Fleet:
    """No slots of its own."""
    return make_server("--grace", "1", slots=0, bind=True)


def listed(client: Client) -> List[Dict[str, Any]]:
    return client.good("GET", "/v1/workers?limit=1000")["items"]


def by_label(client: Client) -> Dict[str, Dict[str, Any]]:
    """Workers by their label `name`."""
    return {worker["labels"].get("name", worker["mode"]): worker for worker in listed(client)}


def named(make_worker: WorkerMaker, server: Fleet, name: str, *args: str, **options: Any) -> Worker:
    return make_worker(server.url, "--label", f"name={name}", *args, **options)


# ---- all kinds at once ----------------------------------------------------------------------


@pytest.fixture
def mixed(make_server: ServerMaker, make_worker: WorkerMaker) -> Fleet:
    """Two slots of each kind."""
    server = make_server("--grace", "1", slots=2, bind=True)
    for mode in ("push", "pull"):
        make_worker(server.url, mode=mode)
    server.expect_slots(6)
    return server


@pytest.mark.smoke
def test_all_kinds_work_beside_each_other(mixed: Fleet, tmp_path: Path) -> None:
    client = mixed.client
    _, ids = client.batch(client.register(workload.hold), [(str(tmp_path), n) for n in range(6)])
    wait_until(lambda: len(lines_of(tmp_path / "started")) == 6, "each slot has one")
    wait_until(lambda: [w["slots_busy"] for w in listed(client)] == [2, 2, 2], "they say so")
    (tmp_path / "go").touch()
    assert [client.value(task) for task in ids] == list(range(6))
    noted = tmp_path / "noted"
    function = client.register(workload.square_noted)
    group, ids = client.batch(function, [(str(noted), n) for n in range(2000)])
    assert {task["state"] for task in client.collect(group)} == {"COMPLETED"}
    assert sorted(map(int, lines_of(noted))) == list(range(2000)), "each ran once"
    found = listed(client)
    assert sum(w["finished_total"] for w in found) == 2006
    assert min(w["finished_total"] for w in found) > 2, "each kind had its share"


# ---- who is given what ----------------------------------------------------------------------


def test_push_gives_to_the_least_loaded(server: Fleet, make_worker: WorkerMaker,
                                        tmp_path: Path) -> None:
    """By the share of its slots that is taken, not by their number."""
    named(make_worker, server, "small", slots=2)
    named(make_worker, server, "large", slots=6)
    client = server.client
    function = client.register(workload.hold)
    shares = []
    for n in range(8):
        client.started(client.submit(function, str(tmp_path), n))
        found = by_label(client)
        shares.append((found["small"]["slots_busy"], found["large"]["slots_busy"]))
    assert shares[3] == (1, 3) and shares[7] == (2, 6), shares
    (tmp_path / "go").touch()


def test_pull_is_given_what_it_asked_for(server: Fleet, make_worker: WorkerMaker,
                                         tmp_path: Path) -> None:
    """A worker that pulls holds no more than it could begin at once."""
    named(make_worker, server, "first", mode="pull", slots=2)
    client = server.client
    function = client.register(workload.hold)
    client.batch(function, [(str(tmp_path), n) for n in range(20)])
    wait_until(lambda: by_label(client)["first"]["slots_busy"] == 2, "it has begun")
    assert by_label(client)["first"]["in_flight"] == 2
    named(make_worker, server, "second", mode="pull", slots=2)
    wait_until(lambda: by_label(client)["second"]["slots_busy"] == 2, "so has the other one")
    (tmp_path / "go").touch()


def test_labels_decide_who_runs_it(server: Fleet, make_worker: WorkerMaker,
                                   tmp_path: Path) -> None:
    named(make_worker, server, "plain", slots=2)
    client = server.client
    function = client.register(os.getppid)
    body = {"function_id": function, "payload": call(), "labels": {"gpu": "1"}}
    refused = client.post("/v1/tasks", body)
    assert refused.status == 409 and refused.code == "no_worker" and "gpu" in refused.json["detail"]
    patient = client.submit(function, labels={"gpu": "1"}, wait_for_worker=True)
    assert client.run(function) > 0, "it keeps nobody waiting"
    assert client.state(patient) == "QUEUED"
    gpu = named(make_worker, server, "gpu", "--label", "gpu=1", slots=1)
    assert client.value(patient) == gpu.template()
    assert by_label(client)["gpu"]["labels"] == {"gpu": "1", "name": "gpu"}
    ids = [client.submit(function, labels={"gpu": "1"}) for _ in range(50)]
    assert {client.value(task) for task in ids} == {gpu.template()}


# ---- flags of a worker ----------------------------------------------------------------------


def test_paths_and_the_own_folder_are_on_the_import_path(server: Fleet, make_worker: WorkerMaker,
                                                         tmp_path: Path) -> None:
    """A module that is only there; of two of one name the one in the worker's folder."""
    for folder, names in (("here", ("mine", "both")), ("there", ("theirs", "both"))):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / f"{name}.py").write_text(f"def where():\n    return {folder!r}\n")
    make_worker(server.url, "--path", str(tmp_path / "there"), cwd=tmp_path / "here")
    client = server.client
    for name, place in (("mine", "here"), ("theirs", "there"), ("both", "here")):
        function = client.register(b64(b"\x80\x04c" + name.encode() + b"\nwhere\n."), name=name)
        assert client.run(function) == place


def test_a_worker_says_what_it_is(server: Fleet, make_worker: WorkerMaker) -> None:
    make_worker(server.url, "--label", "site=lab", "--label", "a.b/c=x-y", mode="pull", slots=3)
    worker, = listed(server.client)
    assert worker["labels"] == {"site": "lab", "a.b/c": "x-y"}
    assert (worker["mode"], worker["slots"], worker["state"]) == ("pull", 3, "online")
    assert worker["host"] == os.uname().nodename and worker["cores"] == os.cpu_count()
    assert worker["mem_bytes"] > 1 << 26 and worker["runtime"].startswith("cp3")
    assert server.client.good("GET", worker["links"]["self"])["id"] == worker["id"]


# ---- drained and resumed --------------------------------------------------------------------


def order(client: Client, worker: Dict[str, Any], what: str) -> Dict[str, Any]:
    return client.good("POST", f"{worker['links']['self']}:{what}")


@pytest.mark.smoke
@pytest.mark.parametrize("mode", ["push", "pull"])
def test_a_drained_worker_ends_what_it_has_and_takes_nothing(
        server: Fleet, make_worker: WorkerMaker, tmp_path: Path, mode: str) -> None:
    worker = make_worker(server.url, mode=mode, slots=1)
    client = server.client
    function = client.register(workload.hold)
    running = client.submit(function, str(tmp_path), "first")
    client.started(running)
    found, = listed(client)
    for _ in range(2):  # both orders may be repeated
        assert order(client, found, "drain")["state"] == "draining"
    later = client.submit(function, str(tmp_path), "second")
    (tmp_path / "go").touch()
    assert client.value(running) == "first"
    assert client.good("GET", f"/v1/tasks/{later}?wait=1&for=started")["state"] == "QUEUED"
    assert client.good("GET", f"/v1/tasks/{later}/explain")["waits_for"] == "no_worker"
    assert listed(client)[0]["state"] == "draining", "it stays"
    order(client, found, "resume")
    assert client.value(later) == "second"
    assert listed(client)[0]["state"] == "online" and worker.process.poll() is None


def test_what_a_drained_worker_would_have_had_goes_to_the_others(
        server: Fleet, make_worker: WorkerMaker, tmp_path: Path) -> None:
    for name in ("one", "two"):
        named(make_worker, server, name, slots=2)
    client = server.client
    order(client, by_label(client)["one"], "drain")
    function = client.register(workload.add)
    group, _ = client.batch(function, [(n, 1) for n in range(300)])
    assert len(client.collect(group)) == 300
    found = by_label(client)
    assert (found["one"]["finished_total"], found["two"]["finished_total"]) == (0, 300)
    assert client.post("/v1/workers/01890000-0000-7000-8000-000000000000:drain").status == 404


# ---- the loss of a worker -------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("mode", ["push", "pull"])
def test_all_that_a_killed_worker_had_runs_elsewhere(
        server: Fleet, make_worker: WorkerMaker, tmp_path: Path, mode: str) -> None:
    """Seven that run and, of short ones, many handed ahead. Nobody runs more than twice."""
    victim = make_worker(server.url, mode=mode, slots=8)
    client = server.client
    noted = tmp_path / "noted"
    short = client.register(workload.square_noted)
    client.collect(client.batch(short, [(str(noted), n) for n in range(300)])[0])  # it is short
    noted.unlink()
    held = client.batch(client.register(workload.hold), [(str(tmp_path), n) for n in range(7)])
    wait_until(lambda: len(lines_of(tmp_path / "started")) == 7, "they run")
    group, ids = client.batch(short, [(str(noted), n) for n in range(3000)])
    wait_until(lambda: len(lines_of(noted)) > 100, "short ones run, too")
    victim.kill9()
    make_worker(server.url, mode=mode, slots=8)
    wait_until(lambda: len(lines_of(tmp_path / "started")) == 14, "they run elsewhere")
    (tmp_path / "go").touch()
    assert [client.value(task) for task in held[1]] == list(range(7))
    done = client.collect(group)
    assert sorted(task["id"] for task in done) == sorted(ids), "nothing twice in the record"
    assert {task["state"] for task in done} == {"COMPLETED"}
    runs = Counter(lines_of(noted))
    assert len(runs) == 3000
    assert max(runs.values()) <= 2
    assert client.counts() == {"QUEUED": 0, "RUNNING": 0, "COMPLETED": 3307, "FAILED": 0,
                               "CANCELLED": 0}


@pytest.mark.parametrize("mode", ["push", "pull"])
def test_what_a_lost_task_had_printed_is_recorded(
        server: Fleet, make_worker: WorkerMaker, tmp_path: Path, mode: str) -> None:
    """It may run once: nobody will ever say more about it."""
    worker = make_worker(server.url, mode=mode)
    client = server.client
    task = client.submit(client.register(workload.speak_and_hold), str(tmp_path), "last words",
                         at_most_once=True)
    path = f"/v1/tasks/{task}/logs"
    wait_until(lambda: "\n" in client.good("GET", path)["stdout"], "its line is seen")
    worker.kill9()
    outcome = client.outcome(task)
    assert (outcome.state, outcome.reason) == ("FAILED", "worker_lost")
    logs = client.good("GET", path)
    assert (logs["stdout"], logs["stdout_truncated"]) == ("last words\n", True)


def test_a_zombie_changes_no_result(server: Fleet, make_worker: WorkerMaker,
                                    tmp_path: Path) -> None:
    """It is stopped until it was given up, while its children go on; then it wakes and tells."""
    client = server.client
    zombie = make_worker(server.url, slots=1)
    task = client.submit(client.register(workload.hold_and_tell), str(tmp_path), "x")
    client.started(task)
    zombie.signal(signal.SIGSTOP)
    other = make_worker(server.url, slots=1)
    wait_until(lambda: len(lines_of(tmp_path / "started")) == 2, "it runs elsewhere")
    (tmp_path / "go").touch()
    value = client.value(task)
    assert value in other.children()
    wait_until(lambda: len(lines_of(tmp_path / "ended")) == 2, "the zombie's child is through, too")
    zombie.signal(signal.SIGCONT)
    wait_until(lambda: len(listed(client)) == 2, "it is back")
    assert client.run(client.register(workload.add), 1, 2) == 3
    assert client.value(task) == value and client.task(task)["attempt"] == 2


# ---- poison ---------------------------------------------------------------------------------


class Nurse(threading.Thread):
    """Starts workers again that have died."""

    def __init__(self, workers: List[Worker]) -> None:
        super().__init__()
        self.workers, self.stopping, self.deaths = workers, threading.Event(), 0

    def run(self) -> None:
        while not self.stopping.wait(0.05):
            for worker in self.workers:
                if worker.process and worker.process.poll() is not None:
                    self.deaths += 1
                    worker.wait()
                    worker.launch()

    def __enter__(self) -> "Nurse":
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stopping.set()
        self.join()


def test_what_kills_its_workers_is_poison_and_innocents_are_not(
        server: Fleet, make_worker: WorkerMaker, tmp_path: Path) -> None:
    workers = [make_worker(server.url, mode=mode) for mode in ("push", "pull")]
    client = server.client
    with Nurse(workers) as nurse:
        innocent = client.register(workload.deed)
        noted = str(tmp_path / "noted")
        before = [client.submit(innocent, noted, "slow", n) for n in range(100)]
        poison = client.submit(client.register(workload.kill_worker))
        after = [client.submit(innocent, noted, "slow", n) for n in range(100, 200)]
        outcome = client.outcome(poison)
        assert (outcome.state, outcome.reason) == ("FAILED", "poison"), outcome
        assert "5 workers were lost" in outcome.error["message"]
        assert [client.value(task) for task in before + after] == [n * n for n in range(200)]
        wait_until(lambda: nurse.deaths == 5, "no more than that died")
    wait_until(lambda: client.stats()["slots"] == 4, "both are there again")
