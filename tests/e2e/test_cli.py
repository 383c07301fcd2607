"""The client commands against a real server, whose local pool is one worker."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest
import workload
from conftest import ServerMaker, WorkerMaker
from harness import PYTHONS, Client, Server, run_farhand, wait_until

UNKNOWN = "0190c2a6-9999-7222-8333-444455556666"
WINDOW = 2048  # tasks of one line that wait in memory


class Cli:
    """`farhand` with the address of a server in its environment."""

    def __init__(self, server: Server) -> None:
        self.env = {"FARHAND_URL": f"http://127.0.0.1:{server.port.number}"}

    def run(self, *args: str) -> "subprocess.CompletedProcess[str]":
        return run_farhand(*args, env=self.env)

    def good(self, *args: str) -> str:
        done = self.run(*args)
        assert (done.returncode, done.stderr) == (0, ""), f"{args}: {done}"
        return done.stdout

    def json(self, *args: str) -> Any:
        return json.loads(self.good(*args, "-o", "json"))

    def fails(self, status: int, *args: str) -> str:
        """What it says on stderr; nothing else is said."""
        done = self.run(*args)
        assert (done.returncode, done.stdout) == (status, ""), f"{args}: {done}"
        return done.stderr

    def worker(self) -> str:
        """The id of the only worker."""
        ids = self.good("workers", "ls", "-q").split()
        assert len(ids) == 1
        return ids[0]

    def waits_for(self, task: str, *, what: Optional[str] = None) -> Dict[str, Any]:
        """The explanation of a task; `what` is waited for."""
        def told() -> Optional[Dict[str, Any]]:
            said = self.json("task", "explain", task)
            return said if what in (None, said["waits_for"]) else None
        return wait_until(told, f"task {task} waits for {what}")


class Held:
    """Tasks that occupy slots until release()."""

    def __init__(self, client: Client, folder: Path, count: int) -> None:
        folder.mkdir()
        function = client.register(workload.hold)
        self.folder, self.client = folder, client
        self.tasks = [client.submit(function, str(folder), n) for n in range(count)]
        for task in self.tasks:
            client.started(task)

    def release(self) -> None:
        (self.folder / "go").touch()
        for task in self.tasks:
            self.client.value(task)


@pytest.mark.smoke
def test_workers_are_listed_and_shown(make_server: ServerMaker) -> None:
    server = make_server(slots=3)
    cli, known = Cli(server), server.client.good("GET", "/v1/workers")["items"][0]
    table = [line.split() for line in cli.good("workers", "ls").splitlines()]
    assert table[0][:5] == ["ID", "HOST", "MODE", "STATE", "RUNTIME"]
    assert len(table) == 2
    assert (table[1][0], table[1][2:4], table[1][5]) == (known["id"], ["local", "online"], "0/3")
    assert cli.good("workers", "ls", "-q") == known["id"] + "\n"
    assert cli.json("workers", "ls")["items"][0]["id"] == known["id"]
    lines = dict(line.split(None, 1) for line in
                 cli.good("workers", "show", known["id"]).splitlines())
    assert (lines["id"], lines["mode"], lines["slots"]) == (known["id"], "local", "3, 0 busy")
    assert (lines["key"], known["key_name"]) == ("-", None)
    assert cli.json("workers", "show", known["id"])["slots"] == 3


def test_counts_follow_what_runs(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server(slots=2)
    cli, held = Cli(server), Held(server.client, tmp_path / "held", 1)
    worker = cli.worker()
    assert cli.json("workers", "show", worker)["slots_busy"] == 1
    held.release()
    idle = wait_until(lambda: [w for w in cli.json("workers", "ls")["items"] if not w["in_flight"]],
                      "the worker is idle")
    assert (idle[0]["slots_busy"], idle[0]["finished_total"], idle[0]["failed_total"]) == (0, 1, 0)


@pytest.mark.smoke
def test_a_drained_worker_takes_nothing_until_it_is_resumed(make_server: ServerMaker,
                                                            tmp_path: Path) -> None:
    server = make_server(slots=2)
    client, cli = server.client, Cli(server)
    worker, held = cli.worker(), Held(client, tmp_path / "held", 1)
    assert " draining " in cli.good("workers", "drain", worker)
    assert cli.json("workers", "drain", worker)["state"] == "draining"  # twice is once
    task = client.submit(client.register(workload.add), 1, 2)
    told = cli.waits_for(task)
    assert (told["state"], told["waits_for"], told["position"]) == ("QUEUED", "no_worker", 0)
    assert told["text"] == "the worker that could run it has been told to take no more tasks"
    assert "still has tasks" in cli.fails(6, "workers", "drain", worker, "--wait",
                                          "--timeout", "0.05")
    held.release()  # what it had goes on
    assert cli.json("workers", "drain", worker, "--wait")["in_flight"] == 0
    assert client.state(task) == "QUEUED"
    assert cli.json("workers", "resume", worker)["state"] == "online"
    assert client.value(task) == 3
    assert cli.json("workers", "resume", worker)["state"] == "online"


@pytest.mark.smoke
def test_a_task_says_what_it_waits_for(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server(slots=1)
    client, cli = server.client, Cli(server)
    held, function = Held(client, tmp_path / "held", 1), client.register(workload.add)
    running = cli.waits_for(held.tasks[0])
    assert (running["state"], running["waits_for"]) == ("RUNNING", "running")
    assert (running["text"], running["worker_id"]) == ("it runs on the local pool", cli.worker())
    first, second, third = (client.submit(function, 1, n, priority=p)
                            for n, p in ((1, 5), (2, 0), (3, 9)))
    for task, position in ((third, 0), (first, 1), (second, 2)):
        told = cli.waits_for(task)
        assert (told["waits_for"], told["position"]) == ("capacity", position)
    assert told["text"] == "2 tasks are before it; the slot that could run it is taken"
    assert told["needs"] == []
    lines = cli.good("task", "explain", second).splitlines()
    assert lines[:3] == [f"task       {second}", "state      QUEUED", "waits for  capacity"]
    assert cli.good("task", "explain", second, "-q") == "capacity\n"
    held.release()
    client.value(second)
    told = cli.waits_for(second)
    assert (told["state"], told["waits_for"]) == ("COMPLETED", "final")
    assert (told["text"], told["position"]) == ("it has completed", None)


def test_a_task_waits_for_a_time(make_server: ServerMaker) -> None:
    client, cli = (server := make_server()).client, Cli(server)
    later = client.submit(client.register(workload.add), 1, 2, not_before="2099-01-01T00:00:00Z")
    told = cli.waits_for(later)
    assert (told["waits_for"], told["until"]) == ("delayed", "2099-01-01T00:00:00.000Z")
    assert told["text"].startswith("its not_before is in ")
    client.delete(f"/v1/tasks/{later}")
    assert cli.waits_for(later)["text"] == "it was cancelled"
    backoff = {"initial_s": 3600, "factor": 1, "max_s": 3600}
    again = client.submit(client.register(workload.fail), "no", retries=1, backoff=backoff)
    told = cli.waits_for(again, what="retry")
    assert (told["state"], told["text"][:21]) == ("QUEUED", "an attempt has failed")
    assert told["until"] > time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
    failed = client.submit(client.register(workload.fail), "no")
    client.finished(failed)
    assert cli.waits_for(failed)["text"] == "it has failed: exception"


def test_a_task_waits_behind_what_is_in_memory(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server(slots=1)
    client, cli = server.client, Cli(server)
    held = Held(client, tmp_path / "held", 1)
    _, tasks = client.batch(client.register(workload.add), [(1, n) for n in range(WINDOW + 10)])
    told = cli.waits_for(tasks[-1])
    assert (told["waits_for"], told["position"]) == ("window", WINDOW)
    assert told["text"].startswith(f"at least {WINDOW} tasks are before it; ")
    assert cli.waits_for(tasks[WINDOW - 1])["position"] == WINDOW - 1
    held.release()
    client.value(tasks[-1])


def test_without_workers(make_server: ServerMaker) -> None:
    server = make_server(slots=0)
    client, cli = server.client, Cli(server)
    done = cli.run("workers", "ls")
    assert (done.returncode, done.stderr) == (0, "no worker is connected\n")
    assert cli.good("workers", "ls", "-q") == ""
    assert cli.json("workers", "ls") == {"items": [], "next_cursor": None}
    told = cli.waits_for(client.submit(client.register(workload.add), 1, 2))
    assert (told["waits_for"], told["text"]) == ("no_worker", "no worker is connected")


def test_a_pool_that_can_start_nothing(make_server: ServerMaker, tmp_path: Path) -> None:
    path, gone = tmp_path / "python-that-goes", tmp_path / "gone"
    path.write_text(f"#!/bin/sh\n[ -e {gone} ] && {{ echo nobody here >&2; exit 1; }}\n"
                    f'exec {PYTHONS[0]} "$@"\n')
    path.chmod(0o755)
    server = make_server(python=str(path))
    client, cli = server.client, Cli(server)
    gone.touch()
    os.kill(server.template(), signal.SIGKILL)
    wait_until(lambda: "nobody here" in (client.stats()["workers_broken"] or ""),
               "the server knows what is wrong")
    held = client.submit(client.register(workload.add), 1, 2)
    waiting = [client.submit(client.register(workload.add), 1, n) for n in range(2)]
    told = cli.waits_for(waiting[-1], what="no_worker")
    assert re.match("the local pool can start no child: .*nobody here", told["text"])
    gone.unlink()
    assert client.value(held) == 3


# ---- workers elsewhere ----------------------------------------------------------------------


@pytest.mark.smoke
def test_what_nobody_has_is_named(make_server: ServerMaker, make_worker: WorkerMaker) -> None:
    server = make_server(slots=1, bind=True)
    make_worker(server.url, "--label", "site=lab", "--label", "gpu=1", mode="pull", slots=3)
    client, cli = server.client, Cli(server)
    workers = {w["mode"]: w for w in cli.json("workers", "ls")["items"]}
    assert set(workers) == {"local", "pull"}
    assert workers["pull"]["labels"] == {"gpu": "1", "site": "lab"}
    assert workers["pull"]["slots"] == 3 and workers["pull"]["cores"] > 0
    assert " gpu=1,site=lab\n" in cli.good("workers", "ls")
    task = client.submit(client.register(workload.add), 1, 2, wait_for_worker=True,
                         labels={"gpu": "2", "site": "lab"})
    told = cli.waits_for(task)
    assert (told["waits_for"], told["text"]) == ("needs", "no worker has label gpu=2")
    assert told["needs"] == [
        {"why": "label", "wanted": "gpu=2", "workers": 2, "fitting": 0,
         "text": "0 of 2 workers have label gpu=2"},
        {"why": "label", "wanted": "site=lab", "workers": 2, "fitting": 1,
         "text": "1 of 2 workers has label site=lab"}]
    make_worker(server.url, "--label", "site=lab", "--label", "gpu=2")
    assert client.value(task) == 3


@pytest.mark.parametrize("mode", ["push", "pull"])
def test_one_worker_is_drained_the_other_works_on(make_server: ServerMaker,
                                                  make_worker: WorkerMaker, mode: str) -> None:
    server = make_server(slots=0, bind=True)
    make_worker(server.url, mode=mode, slots=1)
    client, cli = server.client, Cli(server)
    first = cli.worker()
    cli.good("workers", "drain", first, "--wait")
    task = client.submit(client.register(workload.add), 1, 2)
    assert cli.waits_for(task)["waits_for"] == "no_worker"
    make_worker(server.url, mode=mode, slots=1)
    assert client.value(task) == 3
    assert cli.json("workers", "show", first)["finished_total"] == 0
    cli.good("workers", "resume", first)
    assert cli.json("workers", "show", first)["state"] == "online"


def test_a_worker_that_says_nothing(make_server: ServerMaker, make_worker: WorkerMaker,
                                    tmp_path: Path) -> None:
    server = make_server(slots=0, bind=True)
    worker = make_worker(server.url, slots=1)
    cli, held = Cli(server), Held(server.client, tmp_path / "held", 1)
    worker.signal(signal.SIGSTOP)
    told = cli.waits_for(held.tasks[0], what="grace")
    assert told["state"] == "RUNNING" and "if it is not back in " in told["text"]
    told = cli.waits_for(held.tasks[0], what="no_worker")  # it was given up
    assert (told["state"], told["text"]) == ("QUEUED", "no worker is connected")
    worker.signal(signal.SIGCONT)
    (held.folder / "go").touch()
    assert server.client.value(held.tasks[0]) == 0


def test_after_a_restart_workers_are_waited_for(make_server: ServerMaker, make_worker: WorkerMaker,
                                                tmp_path: Path) -> None:
    server = make_server(slots=0, bind=True)
    worker = make_worker(server.url, slots=1)
    held = Held(server.client, tmp_path / "held", 1)
    worker.kill9()
    server.restart()
    client, cli = server.client, Cli(server)
    told = cli.waits_for(held.tasks[0])
    assert (told["state"], told["waits_for"]) == ("QUEUED", "grace")
    assert told["text"].startswith("the server was started anew, and gives workers ")
    make_worker(server.url, slots=1)
    (held.folder / "go").touch()
    assert client.value(held.tasks[0]) == 0


# ---- failures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("args, status, says", [
    (["workers", "show", UNKNOWN], 3, "no such worker"),
    (["workers", "show", "x"], 3, "not a UUID"),
    (["workers", "drain", UNKNOWN], 3, "no such worker"),
    (["workers", "resume", UNKNOWN], 3, "no such worker"),
    (["task", "explain", UNKNOWN], 3, "no such task"),
    (["workers", "show"], 2, "ID is missing"),
    (["workers", "sl"], 2, "did you mean ls"),
    (["wrokers"], 2, "did you mean workers"),
    (["tsak", "explain"], 2, "did you mean task"),
    (["workers"], 2, "Usage: farhand workers COMMAND"),
    (["workers", "ls", "--url", "http://127.0.0.1:1"], 7, "no server answers"),
])
def test_what_fails_says_why(server: Server, args: List[str], status: int, says: str) -> None:
    cli = Cli(server)
    assert says in cli.fails(status, *args)
    if status != 2:
        assert says in json.loads(cli.fails(status, *args, "-o", "json"))["error"]


def test_a_server_that_is_gone(make_server: ServerMaker) -> None:
    server = make_server()
    cli = Cli(server)
    server.stop()
    assert cli.fails(7, "workers", "ls").startswith("farhand: no server answers at http://")


def test_help_needs_no_server() -> None:
    for args in (["--help"], ["workers", "--help"], ["workers", "drain", "--help"],
                 ["task", "explain", "-h"]):
        done = run_farhand(*args, env={"FARHAND_URL": "http://127.0.0.1:1"})
        assert done.returncode == 0 and done.stdout.startswith("Usage: farhand ")
    assert "workers" in run_farhand("--help").stdout
