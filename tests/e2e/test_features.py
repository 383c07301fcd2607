"""What a task can ask for, and how a client waits: each promise of the interface over a real
server."""

import datetime
import random
import re
import time
from pathlib import Path
from typing import Any, Dict, List

import pytest
import workload
from conftest import ServerMaker
from fleet import Held, everywhere, everywhere_smoke
from harness import Server, wait_until

SMALL_BACKOFF = {"initial_s": 0.01, "factor": 1, "max_s": 0.01}


def rfc3339(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def unix(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


# ---- order and time -------------------------------------------------------------------------


@everywhere_smoke
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


@everywhere_smoke
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


@everywhere_smoke
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


@everywhere_smoke
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


@everywhere_smoke
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


@everywhere_smoke
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


# ---- what is said of it ---------------------------------------------------------------------


@everywhere_smoke
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


@everywhere_smoke
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


@everywhere_smoke
def test_what_a_running_task_has_printed_is_seen(server: Server, tmp_path: Path) -> None:
    client = server.client
    task = client.submit(client.register(workload.speak_and_hold), str(tmp_path), "so far")
    path = f"/v1/tasks/{task}/logs"
    wait_until(lambda: "\n" in client.good("GET", path)["stdout"], "its first line is seen")
    logs = client.good("GET", path)
    assert (logs["state"], logs["stdout"], logs["stderr"]) == ("RUNNING", "so far\n", "")
    (tmp_path / "go").touch()
    client.value(task)
    logs = client.good("GET", path)
    assert (logs["state"], logs["stdout"], logs["stderr"]) == ("COMPLETED", "so far\n", "the end\n")


# ---- cancelling -----------------------------------------------------------------------------


@everywhere_smoke
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


# ---- large ones -----------------------------------------------------------------------------


@everywhere_smoke
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


@everywhere
def test_large_arguments_and_results_hold_nobody_up(server: Server) -> None:
    """While they are on their way in both directions, short tasks come and go."""
    client = server.client
    data = random.Random(7).randbytes(8 << 20)
    add, echo = client.register(workload.add), client.register(workload.echo)
    large = [client.submit_bytes(echo, data) for _ in range(4)]
    small = [client.submit(add, n, 1) for n in range(100)]
    assert [client.value(task) for task in small] == [n + 1 for n in range(100)]
    for task in large:
        assert client.value(task) == data
        assert client.task(task)["attempt"] == 1
