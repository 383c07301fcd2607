"""Defects of an earlier system that this one replaces, each as a test that it must be gone.

What is tested elsewhere: RUNNING said of tasks that wait, an unbounded queue (test_backpressure);
results that cannot be pickled and functions that cannot be read leaving tasks RUNNING for ever
(test_runner_hostile); dead workers' tasks never requeued (test_kill)."""

import os
import signal
import sqlite3
import sys
import threading
import time
from pathlib import Path
from typing import List

import pytest
import workload
from conftest import ServerMaker
from fleet import everywhere, everywhere_smoke
from harness import Answer, Client, Server, b64, call, pickled, wait_until

DAY_MS = 24 * 3600 * 1000


@pytest.mark.smoke
def test_an_id_is_known_as_soon_as_it_is_told(server: Server) -> None:
    """There: the id was published before the task was stored, so that it could be lost."""
    function = server.client.register(workload.add)
    wrong: List[Answer] = []

    def submit_and_look() -> None:
        submitter, looker = server.connect(), server.connect()
        for n in range(100):
            task = submitter.good("POST", "/execute_function", {
                "function_id": function, "payload": call(n, 1)})["task_id"]
            for path in (f"/status/{task}", f"/result/{task}", f"/v1/tasks/{task}"):
                answer = looker.get(path)
                if answer.status != 200:
                    wrong.append(answer)

    threads = [threading.Thread(target=submit_and_look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@everywhere_smoke
def test_what_is_submitted_while_nobody_works_is_kept(make_server: ServerMaker) -> None:
    """There: tasks that came while no dispatcher listened were lost."""
    server = make_server(slots=0)
    function = server.client.good("POST", "/register_function", {
        "name": "add", "payload": pickled(workload.add)})["function_id"]
    tasks = [server.client.good("POST", "/execute_function", {
        "function_id": function, "payload": call(n, 1)})["task_id"] for n in range(100)]
    server.restart()
    assert {server.client.good("GET", f"/status/{task}")["status"] for task in tasks} == {"QUEUED"}
    server.add_slots(2)
    assert [server.client.value(task) for task in tasks] == [n + 1 for n in range(100)]


@pytest.mark.smoke
def test_a_wait_ends_although_nothing_happens(make_server: ServerMaker) -> None:
    """There: the timeout of a pull never fired. Here nothing else happens that could end it."""
    client = make_server(slots=0).client
    task = client.submit(client.register(workload.add), 1, 2)
    group, _ = client.batch(client.register(workload.add), [(1, 2)])
    assert client.good("GET", f"/v1/tasks/{task}?wait=0.3")["state"] == "QUEUED"
    assert client.get(f"/v1/tasks/{task}/result?wait=0.3").status == 202
    for of in ({"ids": [task]}, {"group_id": group}):
        page = client.good("POST", "/v1/tasks:wait", {"wait_s": 0.3, **of})
        assert page["done"] == [] and page["pending_count"] == 1


@everywhere_smoke
def test_what_a_child_has_been_handed_ahead_does_not_die_with_it(make_server: ServerMaker,
                                                                tmp_path: Path) -> None:
    """There: a worker prefetched without bound, and its death lost all of it."""
    server = make_server(slots=1)
    client = server.client
    noted = tmp_path / "noted"
    function = client.register(workload.square_noted)
    client.collect(client.batch(function, [(str(noted), n) for n in range(300)])[0])
    noted.unlink()
    group, ids = client.batch(function, [(str(noted), n) for n in range(4000)])
    wait_until(noted.exists, "they run")
    for _ in range(5):
        for child in server.children():
            os.kill(child, signal.SIGKILL)
        before = len(noted.read_text().splitlines())
        wait_until(lambda b=before: len(noted.read_text().splitlines()) > min(b, 3990),
                   "it goes on")
    states = [task["state"] for task in client.collect(group)]
    assert len(states) == 4000 and states.count("FAILED") <= 5
    ran = [int(n) for n in noted.read_text().split()]
    assert len(ran) == len(set(ran)), "none has run twice"
    assert states.count("COMPLETED") <= len(ran)


def test_a_server_without_any_worker_lives_on(make_server: ServerMaker, tmp_path: Path) -> None:
    """There: the dispatcher crashed when the fleet was empty. Here the pool's Python vanishes while
    tasks wait, and comes back."""
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    server = make_server(slots=1, python=str(python))
    client = server.client
    function = client.register(workload.add)
    assert client.run(function, 1, 1) == 2
    python.unlink()
    os.kill(server.template(), signal.SIGKILL)
    wait_until(lambda: not server.children(), "the pool is gone")
    task = client.submit(function, 2, 2)
    wait_until(lambda: str(python) in server.log, "the server says what it misses")
    assert client.task(task)["state"] == "QUEUED"
    assert client.get("/livez").status == 200
    python.symlink_to(sys.executable)
    assert client.value(task) == 4


@pytest.mark.parametrize("text", [
    "__import__('pathlib').Path({path!r}).touch()",
    "$(touch {path})", "`touch {path}`", "; touch {path} ;", "'; DROP TABLE tasks; --"])
def test_text_from_the_network_is_never_run(server: Server, tmp_path: Path, text: str) -> None:
    """There: it was passed to eval()."""
    trap = tmp_path / "sprung"
    text = text.format(path=str(trap))
    client = server.client
    function = client.register(workload.add, name=text[:60])
    task = client.submit(function, 1, 1, tags={text[:60]: text})
    bodies = [{"name": text, "payload": text}, {"name": text, "payload": b64(text.encode())}]
    answers = [client.post("/register_function", body) for body in bodies]
    answers += [client.post("/execute_function", {"function_id": text, "payload": call(1, 1)}),
                client.post("/execute_function", {"function_id": function, "payload": text}),
                client.post("/v1/tasks", {"function_id": function, "payload": text}),
                client.post("/v1/tasks", {"function_id": function, "payload": call(1, 1),
                                          "not_before": text}),
                client.post("/v1/tasks:wait", {"ids": [text]}),
                client.ask("POST", "/v1/tasks:wait", text.encode())]
    assert all(400 <= answer.status < 500 for answer in answers), [str(a) for a in answers]
    assert client.value(task) == 2
    assert client.task(task)["tags"] == {text[:60]: text}
    assert not trap.exists()


def age(server: Server, days: float) -> None:
    """Makes everything in the (closed) database older."""
    paths = list(server.data.glob("*.db"))
    assert len(paths) == 1
    with sqlite3.connect(paths[0]) as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master"
                                                 " WHERE type = 'table'")]
        for table in tables:
            for column in db.execute(f"PRAGMA table_info({table})").fetchall():
                if column[1] in ("created_ms", "started_ms", "finished_ms"):
                    db.execute(f"UPDATE {table} SET {column[1]} = {column[1]} - ?"
                               f" WHERE {column[1]} > 0", (int(days * DAY_MS),))
    db.close()


def test_results_are_given_up_in_the_end(make_server: ServerMaker) -> None:
    """There: they stayed for ever. Results are kept for 7 days, records for 30."""
    server = make_server(slots=1)
    client = server.client
    function = client.register(workload.add)
    group, ids = client.batch(function, [(n, 1) for n in range(20)])
    client.collect(group)
    waiting = client.submit(function, 5, 5, not_before="2099-01-01T00:00:00Z")
    assert server.stop() == 0
    age(server, 6.9)
    server.start()
    assert server.client.value(ids[3]) == 4, "within the time it is there"
    server.stop()
    age(server, 0.2)
    server.start()
    wait_until(lambda: server.client.get(f"/v1/tasks/{ids[-1]}/result").status == 410,
               "the results are gone")
    assert server.client.get(f"/v1/tasks/{ids[3]}/result").status == 410
    assert server.client.task(ids[3])["state"] == "COMPLETED", "the record stays"
    server.stop()
    age(server, 23)
    server.start()
    wait_until(lambda: server.client.get(f"/v1/tasks/{ids[-1]}").status == 404,
               "the records are gone")
    assert server.client.get(f"/v1/groups/{group}").status == 404
    assert server.client.task(waiting)["state"] == "QUEUED", "what waits is never given up"
    assert server.client.counts()["COMPLETED"] == 0


@pytest.mark.smoke
def test_hundreds_of_connections_do_not_block_each_other(make_server: ServerMaker,
                                                         tmp_path: Path) -> None:
    """There: one lock-step socket for all, which hundreds of clients blocked."""
    server = make_server(slots=2)
    held = server.client.submit(server.client.register(workload.hold), str(tmp_path), "x")
    clients = [server.connect() for _ in range(300)]
    for client in clients[:200]:  # these say nothing
        client.get("/livez")
    threads = [threading.Thread(target=client.get, args=(f"/v1/tasks/{held}?wait=60",))
               for client in clients[200:]]
    for thread in threads:
        thread.start()
    began = time.monotonic()
    function = server.client.register(workload.add)
    assert [server.client.run(function, n, 1) for n in range(50)] == [n + 1 for n in range(50)]
    assert time.monotonic() - began < 60
    (tmp_path / "go").touch()
    for thread in threads:
        thread.join()
    for client in clients:
        client.close()


@everywhere
def test_every_task_ends_whatever_becomes_of_its_worker(make_server: ServerMaker,
                                                        tmp_path: Path) -> None:
    """There: an undecodable function or an unserialisable result stayed RUNNING for ever."""
    client: Client = make_server(slots=2).client
    functions = [client.register(workload.unpicklable), client.register(workload.exit_at_once),
                 client.register(b64(b"\x80\x04cworkload\nno_such\n."), name="undecodable")]
    tasks = [client.submit(function, *args) for function, args in
             zip(functions, ((), (1,), ()))]
    assert [client.outcome(task).reason for task in tasks] == [
        "unserialisable", "crash", "undecodable"]
    counts = client.counts()
    assert counts["RUNNING"] == counts["QUEUED"] == 0
