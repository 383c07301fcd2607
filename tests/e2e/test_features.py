"""What a task can ask for, and how a client waits: each promise of the interface over a real
server."""

import datetime
import re
import socket
import threading
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
import workload
from conftest import ServerMaker
from fleet import everywhere
from harness import Client, Server, call, wait_until

MANY_PARKED = 1000
SMALL_BACKOFF = {"initial_s": 0.01, "factor": 1, "max_s": 0.01}


def rfc3339(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Held:
    """A task that occupies a slot until release()."""

    def __init__(self, client: Client, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.client = folder, client
        self.task = client.submit(client.register(workload.hold), str(folder), "held")
        client.started(self.task)

    def release(self) -> None:
        (self.folder / "go").touch()
        assert self.client.value(self.task) == "held"


# ---- order and time -------------------------------------------------------------------------


@everywhere
@pytest.mark.smoke
def test_larger_priorities_go_first_and_equal_ones_in_order(make_server: ServerMaker,
                                                            tmp_path: Path) -> None:
    client = make_server(slots=1).client
    held = Held(client, tmp_path / "held")
    function, noted = client.register(workload.square_noted), tmp_path / "noted"
    asked = [(n, (0, 5, -100, 100, 5, 0)[n % 6]) for n in range(60)]
    tasks = [client.submit(function, str(noted), n, priority=p) for n, p in asked]
    held.release()
    for task in tasks:
        client.value(task)
    expected = [n for n, _ in sorted(asked, key=lambda pair: -pair[1])]
    assert [int(line) for line in noted.read_text().split()] == expected


@everywhere
def test_priority_counts_in_a_long_backlog(make_server: ServerMaker, tmp_path: Path) -> None:
    """Also a task that comes last, behind more than memory holds, goes first."""
    server = make_server(slots=0)
    function = server.client.register(workload.square_noted)
    noted = tmp_path / "noted"
    group, _ = server.client.batch(function, [(str(noted), n) for n in range(3000)])
    urgent = server.client.submit(function, str(noted), 9999, priority=1)
    server.add_slots(1)
    assert server.client.value(urgent) == 9999 ** 2
    assert len(server.client.collect(group)) == 3000
    assert noted.read_text().split() == ["9999", *map(str, range(3000))]


@everywhere
@pytest.mark.smoke
def test_a_delayed_task_does_not_start_early(server: Server, tmp_path: Path) -> None:
    client, noted = server.client, tmp_path / "noted"
    function = client.register(workload.noted_at)
    due = time.time() + 0.5
    task = client.submit(function, str(noted), 1, not_before=rfc3339(due))
    assert client.task(task)["state"] == "QUEUED"
    assert client.run(function, str(noted), 2) == 2, "it keeps nobody waiting"
    assert client.value(task) == 1
    started = {int(n): float(at) for n, at in map(str.split, noted.read_text().splitlines())}
    assert started[1] >= due - 0.001


def test_a_delayed_task_survives_a_kill(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server(slots=1)
    function, noted = server.client.register(workload.noted_at), tmp_path / "noted"
    due = time.time() + 1.5
    task = server.client.submit(function, str(noted), 1, not_before=rfc3339(due))
    past = server.client.submit(function, str(noted), 2, not_before=rfc3339(time.time() - 3600))
    server.restart()
    assert server.client.value(past) == 2
    assert server.client.value(task) == 1
    started = {int(n): float(at) for n, at in map(str.split, noted.read_text().splitlines())}
    assert started[1] >= due - 0.001


@everywhere
@pytest.mark.smoke
def test_a_task_that_waits_too_long_expires(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server(slots=1)
    client = server.client
    held = Held(client, tmp_path / "held")
    function, noted = client.register(workload.square_noted), tmp_path / "noted"
    tasks = [client.submit(function, str(noted), n, expires_in=0.2) for n in range(3)]
    patient = client.submit(function, str(noted), 7, expires_in=10_000)
    for task in tasks:
        outcome = client.outcome(task)
        assert (outcome.state, outcome.reason) == ("FAILED", "expired")
    held.release()
    assert client.value(patient) == 49
    assert noted.read_text() == "7\n", "none of the others has run"


def test_tasks_of_the_backlog_expire_too(make_server: ServerMaker) -> None:
    server = make_server(slots=0)
    function = server.client.register(workload.add)
    group, ids = server.client.batch(function, [(n, 1) for n in range(4000)],
                                     defaults={"expires_in": 0.5})
    server.restart()
    done = server.client.collect(group)
    assert {task["reason"] for task in done} == {"expired"}
    assert sorted(task["id"] for task in done) == sorted(ids)
    stats = server.client.stats()
    assert stats["tasks"]["QUEUED"] == 0 and stats["tasks"]["FAILED"] == 4000


# ---- failures -------------------------------------------------------------------------------


@everywhere
@pytest.mark.smoke
def test_failed_attempts_are_repeated_as_often_as_asked(server: Server, tmp_path: Path) -> None:
    client, path = server.client, str(tmp_path / "noted")
    function = client.register(workload.fail_first)
    options: Dict[str, Any] = {"backoff": SMALL_BACKOFF}
    task = client.submit(function, path, 1, 2, retries=2, **options)
    assert client.value(task) == 3 and client.task(task)["attempt"] == 3
    task = client.submit(function, path, 2, 2, retries=1, **options)
    outcome = client.outcome(task)
    assert (outcome.state, outcome.reason) == ("FAILED", "exception")
    assert isinstance(outcome.value, ConnectionResetError) and outcome.value.args == ("attempt 2",)
    assert client.task(task)["attempt"] == 2
    task = client.submit(function, path, 3, 1)
    assert client.outcome(task).value.args == ("attempt 1",), "none is repeated unless asked"
    counts = (tmp_path / "noted").read_text().split()
    assert [counts.count(n) for n in "123"] == [3, 2, 1]


@everywhere
@pytest.mark.parametrize("retry_on, error, repeated", [
    (["exception"], "ValueError", True),
    (["timeout", "memory", "crash"], "ValueError", False),
    (["builtins.ValueError"], "ValueError", True),
    (["builtins.OSError"], "FileNotFoundError", True),  # a class of its base
    (["builtins.FileNotFoundError"], "ValueError", False),
    (["timeout", "builtins.ValueError"], "ValueError", True),
    (["no.such.Class"], "ValueError", False),
])
def test_what_is_repeated_is_the_tasks_choice(server: Server, tmp_path: Path, retry_on: List[str],
                                              error: str, repeated: bool) -> None:
    client, noted = server.client, tmp_path / "noted"
    outcome = client.outcome(client.submit(
        client.register(workload.fail_noted), str(noted), 1, error, retries=1, retry_on=retry_on,
        backoff=SMALL_BACKOFF))
    assert outcome.reason == "exception"
    assert len(noted.read_text().splitlines()) == (2 if repeated else 1)


@everywhere
@pytest.mark.parametrize("cause", ["crash", "timeout", "memory"])
@pytest.mark.parametrize("asked", [True, False])
def test_crash_timeout_and_memory_are_repeated_when_asked(server: Server, tmp_path: Path,
                                                          cause: str, asked: bool) -> None:
    client, path = server.client, str(tmp_path / "noted")
    function, arguments, options = {
        "crash": (workload.crash_first, (path, 1, 1), {}),
        "timeout": (workload.hang_first, (path, 1, 1), {"timeout_s": 0.3}),
        "memory": (workload.grab_first, (path, 1, 1, 400), {"resources": {"mem": 64 << 20}}),
    }[cause]
    outcome = client.outcome(client.submit(
        client.register(function), *arguments, retries=3, backoff=SMALL_BACKOFF,
        retry_on=[cause] if asked else ["exception"], **options))
    if asked:
        assert (outcome.state, outcome.value) == ("COMPLETED", 2), outcome
    else:
        assert (outcome.state, outcome.reason) == ("FAILED", cause), outcome


def test_the_wait_between_attempts_grows(server: Server, tmp_path: Path) -> None:
    """At least half of each wait is certain, the rest is drawn."""
    client, noted = server.client, tmp_path / "noted"
    client.outcome(client.submit(
        client.register(workload.fail_noted), str(noted), 1, retries=3,
        backoff={"initial_s": 0.1, "factor": 2, "max_s": 0.3}))
    times = [float(line.split()[1]) for line in noted.read_text().splitlines()]
    waits = [after - before for before, after in zip(times, times[1:])]
    assert len(waits) == 3
    for waited, asked in zip(waits, (0.1, 0.2, 0.3)):
        assert waited >= asked / 2 - 0.002


def test_failures_are_remembered_over_a_kill(make_server: ServerMaker, tmp_path: Path) -> None:
    """A retry that waits is still the second attempt after a restart."""
    server, noted = make_server(slots=1), tmp_path / "noted"
    task = server.client.submit(server.client.register(workload.fail_noted), str(noted), 1,
                                retries=1, backoff={"initial_s": 2, "factor": 1, "max_s": 2})
    wait_until(lambda: server.client.stats()["retries_total"] == 1,
               "the first attempt has failed")
    server.restart()
    assert server.client.outcome(task).reason == "exception"
    times = [float(line.split()[1]) for line in noted.read_text().splitlines()]
    assert len(times) == 2 and times[1] - times[0] >= 1


@everywhere
@pytest.mark.smoke
def test_time_in_the_queue_is_not_run_time(make_server: ServerMaker, tmp_path: Path) -> None:
    client = make_server(slots=1).client
    held = Held(client, tmp_path / "held")
    function = client.register(workload.pause)
    hurried = client.submit(function, 0.01, timeout_s=0.5)
    slow = client.submit(function, 3600, timeout_s=0.5)
    queued_for = time.monotonic()
    wait_until(lambda: time.monotonic() - queued_for > 0.7, "both have waited longer than that")
    held.release()
    assert client.value(hurried) == 0.01
    outcome = client.outcome(slow)
    assert (outcome.state, outcome.reason) == ("FAILED", "timeout")
    assert outcome.error["type"] == "builtins.TimeoutError"


# ---- at most once ---------------------------------------------------------------------------


@everywhere
@pytest.mark.smoke
def test_at_most_once_is_never_run_again(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server(slots=2)
    function = server.client.register(workload.hold)
    running = [server.client.submit(function, str(tmp_path), n, at_most_once=n == 0)
               for n in range(2)]
    wait_until(lambda: (tmp_path / "started").exists()
               and len((tmp_path / "started").read_text().split()) == 2, "both run")
    waiting = server.client.submit(function, str(tmp_path), 2, at_most_once=True)
    server.lose_slots()
    outcome = server.client.outcome(running[0])
    assert (outcome.state, outcome.reason) == ("FAILED", "worker_lost")
    (tmp_path / "go").touch()
    assert server.client.value(running[1]) == 1
    assert server.client.value(waiting) == 2, "what had not started is not lost"
    assert sorted((tmp_path / "started").read_text().split()) == ["0", "1", "1", "2"]


@everywhere
def test_at_most_once_that_crashes_says_so(server: Server, tmp_path: Path) -> None:
    client, noted = server.client, tmp_path / "noted"
    outcome = client.outcome(client.submit(client.register(workload.crash_first), str(noted), 1, 9,
                                           at_most_once=True))
    assert (outcome.state, outcome.reason) == ("FAILED", "crash")
    assert noted.read_text() == "1\n"


# ---- logs and groups ------------------------------------------------------------------------


@everywhere
@pytest.mark.smoke
def test_what_a_task_prints_is_kept(server: Server) -> None:
    client = server.client
    task = client.submit(client.register(workload.speak), "to you", "to the \N{WARNING SIGN}")
    client.value(task)
    logs = client.good("GET", f"/v1/tasks/{task}/logs")
    assert (logs["stdout"], logs["stderr"]) == ("to you\n", "to the \N{WARNING SIGN}\n")
    quiet = client.submit(client.register(workload.add), 1, 2)
    client.value(quiet)
    logs = client.good("GET", f"/v1/tasks/{quiet}/logs")
    assert (logs["stdout"], logs["stderr"]) == ("", "")


@everywhere
def test_a_failed_task_keeps_its_output(server: Server) -> None:
    client = server.client
    task = client.submit(client.register(workload.speak), "this is the last", 42 * [None])
    assert client.outcome(task).state == "COMPLETED"
    crash = client.submit(client.register(workload.speak_low), b"before \xff", b"the end")
    client.value(crash)
    logs = client.good("GET", f"/v1/tasks/{crash}/logs")
    assert logs["stdout"] == "before \N{REPLACEMENT CHARACTER}" and logs["stderr"] == "the end"


@pytest.mark.smoke
def test_a_group_counts_its_tasks(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server(slots=1)
    client = server.client
    group = client.good("POST", "/v1/groups", {"name": "mine", "tags": {"a": "b"}})["id"]
    function = client.register(workload.add)
    assert client.good("GET", f"/v1/groups/{group}")["total"] == 0
    same, ids = client.batch(function, [(n, 1) for n in range(3)], group_id=group)
    assert same == group
    failing = client.submit(client.register(workload.fail), "x", group_id=group)
    assert {task["id"] for task in client.collect(group)} == {*ids, failing}
    running = client.submit(client.register(workload.hold), str(tmp_path), 1, group_id=group)
    client.started(running)
    cancelled = client.submit(function, 1, 1, group_id=group)
    assert client.delete(f"/v1/tasks/{cancelled}").status == 200
    client.submit(function, 1, 1, group_id=group)
    for _ in range(2):
        found = client.good("GET", f"/v1/groups/{group}")
        assert (found["name"], found["tags"], found["total"]) == ("mine", {"a": "b"}, 7)
        assert found["counts"] == {"QUEUED": 1, "RUNNING": 1, "COMPLETED": 3, "FAILED": 1,
                                   "CANCELLED": 1}
        server.restart()
        client = server.client
        client.started(running)
    (tmp_path / "go").touch()


# ---- waiting --------------------------------------------------------------------------------


def wait_for(client: Client, **body: Any) -> Dict[str, Any]:
    return client.good("POST", "/v1/tasks:wait", body)


@pytest.mark.smoke
def test_wait_any_answers_with_the_first_and_goes_on_by_cursor(make_server: ServerMaker,
                                                               tmp_path: Path) -> None:
    client = make_server(slots=2).client
    held = Held(client, tmp_path / "held")
    function = client.register(workload.hold)
    folders = [tmp_path / str(n) for n in range(3)]
    for folder in folders:
        folder.mkdir()
    group, ids = client.batch(function, [(str(folder), "x") for folder in folders])
    assert wait_for(client, group_id=group, wait_s=0)["done"] == []
    cursor: Any = None
    for n, folder in enumerate(folders):
        (folder / "go").touch()
        since = {} if cursor is None else {"since_cursor": cursor}
        page = wait_for(client, group_id=group, mode="any", wait_s=60, **since)
        assert [task["id"] for task in page["done"]] == [ids[n]]
        assert page["pending_count"] == 2 - n
        cursor = page["cursor"]
    page = wait_for(client, group_id=group, mode="any", wait_s=60, since_cursor=cursor)
    assert page["done"] == [] and page["pending_count"] == 0, "with nothing pending: at once"
    again = wait_for(client, group_id=group, wait_s=0)
    assert [task["id"] for task in again["done"]] == ids, "in the order of finishing"
    held.release()


@pytest.mark.parametrize("by", ["group", "ids"])
def test_wait_all_answers_when_none_is_pending(make_server: ServerMaker, tmp_path: Path,
                                               by: str) -> None:
    server = make_server(slots=1)
    client = server.client
    fast, slow = client.register(workload.add), client.register(workload.hold)
    group, ids = client.batch(fast, [(n, 1) for n in range(5)])
    ids.append(client.submit(slow, str(tmp_path), "x", group_id=group))
    client.started(ids[-1])
    of = {"group_id": group} if by == "group" else {"ids": ids}
    assert wait_for(client, mode="all", wait_s=0.1, **of)["done"] == []
    page = wait_for(client, mode="any", wait_s=0.1, **of)
    assert len(page["done"]) == 5 and page["pending_count"] == 1
    answers: List[Dict[str, Any]] = []
    waiter = threading.Thread(target=lambda: answers.append(
        wait_for(server.connect(), mode="all", wait_s=60, include_results=True, **of)))
    waiter.start()
    wait_until(lambda: client.stats()["waiting_calls"] == 1, "it is parked")
    (tmp_path / "go").touch()
    waiter.join()
    assert [task["id"] for task in answers[0]["done"]] == ids
    assert answers[0]["pending_count"] == 0
    assert all(task["result"] for task in answers[0]["done"])


def test_a_wait_by_ids_names_what_is_unknown(server: Server) -> None:
    client = server.client
    known = client.submit(client.register(workload.add), 1, 1)
    unknown = "01890000-0000-7000-8000-000000000000"
    answer = client.post("/v1/tasks:wait", {"ids": [known, unknown], "wait_s": 1})
    assert answer.status == 404 and unknown in answer.json["detail"]
    answer = client.post("/v1/tasks:wait", {"group_id": unknown, "wait_s": 1})
    assert answer.status == 404


@pytest.mark.parametrize("by", ["group", "ids"])
@pytest.mark.parametrize("restarted", [False, True])
def test_results_come_in_pages_of_max_bytes(make_server: ServerMaker, by: str,
                                            restarted: bool) -> None:
    server = make_server(slots=2)
    client = server.client
    group, ids = client.batch(client.register(workload.echo), [("x" * 100_000,)] * 30)
    client.collect(group)
    if restarted:  # from the store instead of from memory
        server.restart()
        client = server.client
    of = {"group_id": group} if by == "group" else {"ids": ids}
    seen: List[str] = []
    since: Dict[str, Any] = {}
    pages = 0
    while len(seen) < 30:
        page = wait_for(client, wait_s=5, include_results=True, max_bytes=250_000, **of, **since)
        assert 1 <= len(page["done"]) <= 2, "so many fit"
        assert all(len(task["result"]) > 100_000 for task in page["done"])
        seen += [task["id"] for task in page["done"]]
        since = {"since_cursor": page["cursor"]}
        pages += 1
    assert sorted(seen) == sorted(ids) and pages == 15
    page = wait_for(client, wait_s=5, include_results=True, max_bytes=1, **of)
    assert len(page["done"]) == 1, "one at least, however large"


def test_an_answer_holds_ten_thousand_at_most(make_server: ServerMaker) -> None:
    client = make_server(slots=2).client
    function = client.register(workload.add)
    group, ids = client.batch(function, [(n, 1) for n in range(10_000)])
    client.batch(function, [(n, 1) for n in range(2_000)], group_id=group)
    deadline_page = wait_for(client, group_id=group, mode="all", wait_s=60)
    assert len(deadline_page["done"]) == 10_000
    rest = wait_for(client, group_id=group, wait_s=0, since_cursor=deadline_page["cursor"])
    assert len(rest["done"]) == 2_000 and rest["pending_count"] == 0
    assert len(wait_for(client, ids=ids, mode="all", wait_s=60)["done"]) == 10_000


@everywhere
@pytest.mark.smoke
def test_waiting_for_one_task(make_server: ServerMaker, tmp_path: Path) -> None:
    client = make_server(slots=1).client
    task = client.submit(client.register(workload.hold), str(tmp_path), "x")
    begun = client.good("GET", f"/v1/tasks/{task}?wait=60&for=started")
    assert begun["state"] == "RUNNING" and begun["started_at"]
    assert client.good("GET", f"/v1/tasks/{task}?wait=0.05")["state"] == "RUNNING"
    answer = client.get(f"/v1/tasks/{task}/result?wait=0.05")
    assert answer.status == 202 and int(answer.headers["retry-after"]) >= 0
    assert client.get(f"/v1/tasks/{task}/result").status == 202
    queued = client.submit(client.register(workload.add), 1, 1)
    assert client.good("GET", f"/v1/tasks/{queued}?wait=0.05&for=started")["state"] == "QUEUED"
    (tmp_path / "go").touch()
    answer = client.get(f"/v1/tasks/{task}/result?wait=60")
    assert answer.status == 200 and answer.json["state"] == "COMPLETED"
    assert client.good("GET", f"/v1/tasks/{queued}?wait=60")["state"] == "COMPLETED"


@everywhere
def test_the_times_of_a_task_are_in_order(server: Server) -> None:
    client = server.client
    task = client.submit(client.register(workload.pause), 0.05)
    client.value(task)
    found = client.task(task)
    created, started, finished = (unix(found[name]) for name in
                                  ("created_at", "started_at", "finished_at"))
    assert created <= started + 0.001 and started + 0.05 <= finished + 0.002
    assert found["timings"]["run_s"] >= 0.05
    assert found["timings"]["deserialize_s"] > 0 and found["timings"]["serialize_s"] > 0
    assert re.fullmatch(r"cp3\d+", found["runtime"])


# ---- cancelling -----------------------------------------------------------------------------


@everywhere
@pytest.mark.smoke
def test_cancelling_in_every_state(make_server: ServerMaker, tmp_path: Path) -> None:
    client = make_server(slots=1).client
    running = client.submit(client.register(workload.hold), str(tmp_path), "x")
    client.started(running)
    function, noted = client.register(workload.square_noted), tmp_path / "noted"
    queued = client.submit(function, str(noted), 1)
    other = client.submit(function, str(noted), 2)
    delayed = client.submit(function, str(noted), 3, not_before="2099-01-01T00:00:00Z")
    assert client.delete(f"/v1/tasks/{queued}").status == 200
    assert client.post(f"/v1/tasks/{other}:cancel", {}).status == 200
    assert client.delete(f"/v1/tasks/{delayed}").status == 200
    for task in (queued, other, delayed):
        outcome = client.outcome(task)
        assert (outcome.state, outcome.reason) == ("CANCELLED", "cancelled")
        assert client.delete(f"/v1/tasks/{task}").status == 409
        assert client.good("GET", f"/status/{task}")["status"] == "FAILED"
    assert client.delete(f"/v1/tasks/{running}").status == 202
    outcome = client.outcome(running)
    assert (outcome.state, outcome.reason) == ("CANCELLED", "cancelled")
    assert client.delete(f"/v1/tasks/{running}").status == 409
    assert client.delete("/v1/tasks/01890000-0000-7000-8000-000000000000").status == 404
    assert client.run(function, str(noted), 5) == 25
    assert noted.read_text() == "5\n", "what was cancelled has not run"


def test_cancelling_a_task_that_is_done_changes_nothing(server: Server) -> None:
    client = server.client
    task = client.submit(client.register(workload.add), 1, 2)
    assert client.value(task) == 3
    assert client.delete(f"/v1/tasks/{task}").status == 409
    assert client.value(task) == 3


def test_cancelling_deep_in_the_backlog(make_server: ServerMaker) -> None:
    server = make_server(slots=0)
    function = server.client.register(workload.add)
    group, ids = server.client.batch(function, [(n, 1) for n in range(5000)])
    gone = ids[::7]
    for task in gone:
        assert server.client.delete(f"/v1/tasks/{task}").status == 200
    server.add_slots(2)
    done = {task["id"]: task["state"] for task in server.client.collect(group)}
    assert done == {task: "CANCELLED" if task in set(gone) else "COMPLETED" for task in ids}


@everywhere
def test_cancelling_among_short_tasks_on_their_way(make_server: ServerMaker) -> None:
    """Whatever the answer, it is true."""
    client = make_server(slots=2).client
    function = client.register(workload.add)
    client.collect(client.batch(function, [(n, 1) for n in range(500)])[0])
    group, ids = client.batch(function, [(n, 1) for n in range(3000)])
    answers = {task: client.delete(f"/v1/tasks/{task}").status for task in ids[1::3]}
    assert set(answers.values()) <= {200, 202, 409}
    states = {task["id"]: task["state"] for task in client.collect(group)}
    assert set(states) == set(ids)
    for task, state in states.items():
        allowed = {200: {"CANCELLED"}, 409: {"COMPLETED"}, 202: {"CANCELLED", "COMPLETED"},
                   None: {"COMPLETED"}}[answers.get(task)]
        assert state in allowed, (answers.get(task), state)


# ---- idempotency keys -----------------------------------------------------------------------


def ways_to_store(client: Client) -> Dict[str, Any]:
    function = client.register(workload.add)
    task = {"function_id": function, "payload": call(1, 2)}
    return {"/v1/tasks": task, "/v1/tasks:batch": {"function_id": function, "tasks": [task] * 3},
            "/v1/groups": {"name": "g"}}


@pytest.mark.smoke
@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/tasks:batch", "/v1/groups"])
def test_a_key_gives_the_same_answer_again(make_server: ServerMaker, path: str) -> None:
    server = make_server(slots=1)
    client = server.client
    body = ways_to_store(client)[path]
    first = client.post(path, body, Idempotency_Key="a-key")
    assert first.status in (200, 201) and "idempotency-replayed" not in first.headers
    for _ in range(2):
        again = client.post(path, body, Idempotency_Key="a-key")
        assert again.headers["idempotency-replayed"] == "true"
        assert (again.status, again.json) == (first.status, first.json)
        assert again.headers.get("location") == first.headers.get("location")
        server.restart()
        client = server.client
    changed = {**body, "name": "other"} if path.endswith("groups") else \
        {**body, "function_id": client.register(workload.echo)}
    other = client.post(path, changed, Idempotency_Key="a-key")
    assert other.status == 422 and other.code == "idempotency_key_reused"
    fresh = client.post(path, body, Idempotency_Key="another-key")
    assert fresh.json != first.json and "idempotency-replayed" not in fresh.headers


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/tasks:batch", "/v1/groups"])
def test_one_key_at_the_same_time_stores_once(server: Server, path: str) -> None:
    client = server.client
    body = ways_to_store(client)[path]
    before = sum(client.counts().values())
    answers: List[Any] = []
    gate = threading.Barrier(8)

    def ask() -> None:
        mine = server.connect()
        mine.get("/livez")
        gate.wait()
        answers.append(mine.post(path, body, Idempotency_Key=f"at-once-{path}"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8 and all(a.status // 100 == 2 for a in answers), answers
    assert len({a.body for a in answers}) == 1
    assert sum("idempotency-replayed" in a.headers for a in answers) == 7
    stored = {"/v1/tasks": 1, "/v1/tasks:batch": 3, "/v1/groups": 0}[path]
    assert sum(client.counts().values()) == before + stored


# ---- raw bytes ------------------------------------------------------------------------------


@everywhere
@pytest.mark.smoke
def test_payload_and_result_as_raw_bytes(server: Server) -> None:
    import pickle
    client = server.client
    function = client.register(workload.echo)
    big = bytes(range(256)) * 4096 * 4
    answer = client.ask("POST", f"/v1/tasks?function_id={function}&priority=3&timeout_s=50",
                        pickle.dumps(((big,), {}), 5), {"Content-Type": "application/octet-stream"})
    assert answer.status == 201 and answer.json["priority"] == 3
    task = answer.json["id"]
    client.finished(task)
    answer = client.ask("GET", f"/v1/tasks/{task}/result", None,
                        {"Accept": "application/octet-stream"})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["farhand-state"] == "COMPLETED"
    assert pickle.loads(answer.body) == big
    failed = client.submit(client.register(workload.fail), "raw")
    client.finished(failed)
    answer = client.ask("GET", f"/v1/tasks/{failed}/result", None,
                        {"Accept": "application/octet-stream"})
    assert answer.status == 200 and answer.headers["farhand-state"] == "FAILED"
    assert pickle.loads(answer.body).args == ("raw",)


# ---- many at once ---------------------------------------------------------------------------


def knock(server: Server, *requests: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port.number), timeout=60)
    connection.sendall("".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                               for path in requests).encode())
    return connection


def read_answer(stream: Any) -> bytes:
    """Status line and body of one answer."""
    status, length = stream.readline(), 0
    while True:
        line = stream.readline()
        if line in (b"\r\n", b""):
            return status + stream.read(length)
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])


def parked(client: Client) -> int:
    return client.stats()["waiting_calls"]


def test_a_thousand_parked_polls_are_answered(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server(slots=1)
    client = server.client
    task = client.submit(client.register(workload.hold), str(tmp_path), "x")
    path = f"/v1/tasks/{task}?wait=60"
    connections = [knock(server, path) for _ in range(MANY_PARKED)]
    wait_until(lambda: parked(client) == MANY_PARKED, "all of them are parked")
    (tmp_path / "go").touch()
    for connection in connections:
        with connection, connection.makefile("rb") as stream:
            answer = read_answer(stream)
        assert answer.startswith(b"HTTP/1.1 200 ") and b'"COMPLETED"' in answer
    assert parked(client) == 0


@pytest.mark.smoke
def test_clients_that_leave_are_forgotten(make_server: ServerMaker) -> None:
    server = make_server(slots=0)
    client = server.client
    task = client.submit(client.register(workload.add), 1, 1)
    group, _ = client.batch(client.register(workload.add), [(1, 1)])
    connections = [knock(server, f"/v1/tasks/{task}?wait=60") for _ in range(50)]
    wait_until(lambda: parked(client) == 50, "all of them are parked")
    for connection in connections:
        connection.close()
    wait_until(lambda: parked(client) == 0, "none is parked any more")
    assert client.task(task)["state"] == "QUEUED"


@pytest.mark.smoke
def test_a_request_behind_a_parked_poll_is_served_after_it(make_server: ServerMaker,
                                                           tmp_path: Path) -> None:
    server = make_server(slots=1)
    client = server.client
    task = client.submit(client.register(workload.hold), str(tmp_path), "x")
    client.started(task)
    with knock(server, f"/v1/tasks/{task}?wait=60", "/version", f"/v1/tasks/{task}?wait=60",
               "/livez") as connection, connection.makefile("rb") as stream:
        wait_until(lambda: parked(client) == 1, "the first one is parked")
        connection.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.get("/livez").status == 200, "the server is alive"
        (tmp_path / "go").touch()
        assert b'"COMPLETED"' in read_answer(stream)
        assert b'"version"' in read_answer(stream)
        assert b'"COMPLETED"' in read_answer(stream)
        assert read_answer(stream).startswith(b"HTTP/1.1 200 ")
        assert b'"version"' in read_answer(stream)
