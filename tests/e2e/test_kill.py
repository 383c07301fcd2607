"""kill -9 at random instants, over real processes; afterwards an offline checker (checker.py) holds
what the clients were told against what is there.

    KILLS=1000    how often the server is killed (default: 15)
    SEED=7        of everything random but the scheduling of the machine
"""

import contextlib
import dataclasses
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
import workload
from checker import (Cancel, Chain, Cut, Execution, History, Offer, Read, kind_of, violations)
from clients import (Actor, Canceller, Numbers, Reader, Submitter, Waiter, learn_the_truth,
                     stop_all)
from conftest import ServerMaker
from fleet import Fleet, everywhere, everywhere_smoke
from harness import Client, Server, wait_until
from machine import state_of

KILLS = int(os.environ.get("KILLS") or 15)
SEED = os.environ.get("SEED", "1")
QUEUE = 300


def pause(seconds: float) -> None:
    """Lets a random instant come."""
    time.sleep(seconds)


# ---- the server is killed -------------------------------------------------------------------


def kill_again_and_again(server: Fleet, history: History, actors: List[Actor], kills: int,
                         dice: random.Random) -> None:
    def answers() -> int:
        return sum(actor.answers for actor in actors)

    def kill() -> None:
        before = time.time()
        server.kill9()
        history.kills += 1
        if history.elsewhere:
            history.cuts.append(Cut(before, time.time()))

    def enough(target: int) -> bool:
        assert server.process.poll() is None, "the server has ended by itself"
        return answers() >= target or any(actor.failure for actor in actors)

    while history.kills < kills:
        target = answers() + dice.choice((1, 5, 20, 60, 120))
        wait_until(lambda t=target: enough(t), "the clients get answers")
        pause(dice.random() * 0.005)
        kill()
        while history.kills < kills and dice.random() < 0.2:  # also while it starts
            server.launch()
            pause(dice.random() * 0.2)
            kill()
        server.start()
        if any(actor.failure for actor in actors):
            return


@pytest.mark.parametrize("kind, children_too", [
    pytest.param("local", False, marks=pytest.mark.smoke), ("local", True),
    pytest.param("push", True, marks=pytest.mark.smoke), ("pull", False),
], indirect=["kind"])
def test_the_server_is_killed_again_and_again(make_server: ServerMaker, tmp_path: Path,
                                              children_too: bool) -> None:
    server = make_server("--max-queued", str(QUEUE), slots=2)
    noted = tmp_path / "noted"
    function = server.client.register(workload.deed)
    history, numbers = History(elsewhere=server.kind != "local"), Numbers()
    actors: List[Actor] = [
        *(Submitter(server, history, f"{SEED}.{n}", function, str(noted), numbers)
          for n in range(3)),
        Canceller(server, history, f"{SEED}.c"), Reader(server, history, f"{SEED}.r"),
        *(Waiter(server, history, f"{SEED}.w{n}") for n in range(2))]
    for actor in actors:
        actor.start()
    trouble = Trouble(server, signal.SIGKILL, SEED)
    try:
        with trouble if children_too else contextlib.nullcontext():
            kill_again_and_again(server, history, actors, KILLS, random.Random(SEED))
    finally:
        stop_all(actors)
    history.hits = trouble.hits
    server.restart()
    learn_the_truth(history, server.client, noted, actors)
    found = violations(history)
    assert not found, f"SEED={SEED} KILLS={KILLS}: {len(found)} violations:\n" + "\n".join(found)
    expect_substance(history)


def expect_substance(history: History) -> None:
    """The run was worth something: each thing that can happen has happened."""
    assert len(history.accepted()) > 20 * min(KILLS, 50)
    assert history.reads and history.chains
    if KILLS >= 15:
        assert any(offer.broken for offer in history.offers), "no request was cut off"
        assert any(cancel.status == 200 for cancel in history.cancels)


# ---- children and the template are killed ---------------------------------------------------


class Trouble(threading.Thread):
    """Signals random processes of the pool until it is told to stop, or `most` times."""

    def __init__(self, server: Server, number: int, seed: str, template: bool = False,
                 most: int = 1000) -> None:
        super().__init__()
        self.most = most
        self.server, self.number, self.random = server, number, random.Random(seed)
        self.template, self.stopping, self.hits = template, threading.Event(), 0

    def run(self) -> None:
        while self.hits < self.most and not self.stopping.wait(self.random.random() * 0.1):
            victims = [self.server.template()] if self.template else self.server.children()
            if not victims:
                continue
            try:
                os.kill(self.random.choice(victims), self.number)
                self.hits += 1
            except ProcessLookupError:
                continue

    def __enter__(self) -> "Trouble":
        self.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stopping.set()
        self.join()


def squares(client: Client, noted: Path, kind: str, count: int, **defaults: Any
            ) -> Dict[str, int]:
    """Submits tasks of one kind; id -> number."""
    function = client.register(workload.deed)
    _, ids = client.batch(function, [(str(noted), kind, n) for n in range(count)],
                          defaults=defaults)
    return {task: n for n, task in enumerate(ids)}


def outcomes(client: Client, tasks: Dict[str, int]) -> Dict[int, Any]:
    return {tasks[task]: end for task, end in client.outcomes(tasks).items()}


def runs(noted: Path) -> List[int]:
    return [int(line.split()[0]) for line in noted.read_text().splitlines()]


@everywhere_smoke
@pytest.mark.parametrize("sort, count", [("slow", 100), ("square", 3000)])
def test_a_killed_child_costs_its_own_task_only(make_server: ServerMaker, tmp_path: Path,
                                                sort: str, count: int) -> None:
    """Also where many short ones are on their way to one child."""
    server = make_server(slots=3)
    with Trouble(server, signal.SIGKILL, SEED) as trouble:
        tasks = squares(server.client, tmp_path / "noted", sort, count)
        ends = outcomes(server.client, tasks)
    failed = {n for n, end in ends.items() if end.state != "COMPLETED"}
    assert all(end.value == n * n for n, end in ends.items() if n not in failed)
    assert {ends[n].reason for n in failed} <= {"crash"}
    assert len(failed) <= trouble.hits
    assert sorted(set(runs(tmp_path / "noted")) | failed) == list(range(count))
    assert len(runs(tmp_path / "noted")) <= count, "none of them has run twice"
    expect_whole_pool(server, 3)


@everywhere
def test_a_task_of_a_killed_child_is_repeated_when_asked(make_server: ServerMaker,
                                                         tmp_path: Path) -> None:
    server = make_server(slots=2)
    with Trouble(server, signal.SIGKILL, SEED):
        tasks = squares(server.client, tmp_path / "noted", "slow", 100, retries=50,
                        retry_on=["crash"],
                        backoff={"initial_s": 0.01, "factor": 1, "max_s": 0.01})
        ends = outcomes(server.client, tasks)
    assert {n: end.value for n, end in ends.items()} == {n: n * n for n in range(100)}
    expect_whole_pool(server, 2)


@everywhere_smoke
def test_the_death_of_the_template_is_nobodys_fault(make_server: ServerMaker,
                                                    tmp_path: Path) -> None:
    """All running tasks are lost, and are run again free of charge."""
    server = make_server(slots=3)
    noted = tmp_path / "noted"
    tasks = squares(server.client, noted, "slow", 200)
    once = squares(server.client, tmp_path / "once", "slow", 30, at_most_once=True)
    for share in (20, 60, 100):
        wait_until(lambda s=share: noted.exists() and len(runs(noted)) >= s, "some have run")
        os.kill(server.template(), signal.SIGKILL)
    ends = outcomes(server.client, tasks)
    assert {n: end.value for n, end in ends.items()} == {n: n * n for n in range(200)}
    for n, end in outcomes(server.client, once).items():
        assert end.value == n * n or end.reason == "worker_lost", end
    assert sorted(runs(tmp_path / "once")) == sorted(set(runs(tmp_path / "once")))
    expect_whole_pool(server, 3)


@everywhere
def test_a_child_that_is_stopped_is_replaced_at_its_time_limit(make_server: ServerMaker,
                                                               tmp_path: Path) -> None:
    server = make_server(slots=2)
    noted = tmp_path / "noted"
    # One that is stopped while it starts is continued seconds later only, so these are bounded.
    with Trouble(server, signal.SIGSTOP, SEED, most=12) as trouble:
        tasks = squares(server.client, noted, "slow", 40, timeout_s=0.5)
        ends = outcomes(server.client, tasks)
    failed = {n for n, end in ends.items() if end.state != "COMPLETED"}
    assert {ends[n].reason for n in failed} <= {"timeout"}
    assert len(failed) <= trouble.hits
    for child in server.children():
        os.kill(child, signal.SIGCONT)
    expect_whole_pool(server, 2)


def stop(pid: int) -> None:
    """Returns when it has stopped; until then it may still read a job."""
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: state_of(pid) == "T", "it has stopped")


@everywhere
def test_children_that_are_stopped_between_tasks_cost_nothing(make_server: ServerMaker,
                                                              tmp_path: Path) -> None:
    """No task has begun in them, so no task has failed, and none waits for ever."""
    server = make_server(slots=2)
    expect_whole_pool(server, 2)
    for child in server.children():
        stop(child)
    tasks = squares(server.client, tmp_path / "noted", "slow", 40, timeout_s=0.5)
    assert all(end.value == n * n for n, end in outcomes(server.client, tasks).items())


@everywhere
def test_short_tasks_do_not_wait_for_a_stopped_child(make_server: ServerMaker, tmp_path: Path
                                                     ) -> None:
    """Taken back from it and given again, time after time: it is continued all the same."""
    server = make_server(slots=2)
    client = server.client
    add = client.register(workload.add)
    client.outcomes(client.batch(add, [(n, 1) for n in range(2000)])[1])
    client.started(client.submit(client.register(workload.hold), str(tmp_path), "busy"))
    stop(client.value(client.submit(client.register(workload.pid))))
    _, ids = client.batch(add, [(n, 1) for n in range(40)])
    assert [client.value(task) for task in ids] == [n + 1 for n in range(40)]
    (tmp_path / "go").touch()


def expect_whole_pool(server: Server, slots: int) -> None:
    """No slot is lost: all of them run at the same time."""
    folder = server.folder / "whole"
    folder.mkdir()
    _, ids = server.client.batch(server.client.register(workload.hold),
                                 [(str(folder), n) for n in range(slots)])
    for task in ids:
        server.client.started(task)
    (folder / "go").touch()
    assert [server.client.value(task) for task in ids] == list(range(slots))


# ---- the checker itself ---------------------------------------------------------------------


def number(kind: str, skip: int = 0) -> int:
    return [n for n in range(200) if kind_of(n) == kind][skip]


def sound_history() -> History:
    """One of everything, as it should be."""
    square, once, fail, delayed = map(number, ("square", "once", "fail", "delayed"))
    gone, lost = number("square", 1), number("once", 1)
    h = History(kills=2, stored=7)
    h.offers = [
        Offer([square, fail], 10.0, "k", ["a", "b"], 1, 0),
        Offer([once, delayed, lost], 10.0, None, ["c", "d", "e"], 0, 0),
        Offer([gone], 10.0, None, ["f"], 0, 2),
        Offer([number("slow")], 10.0, None, None, 0, 1),
        Offer([number("slow", 1)], 10.0, None, None, 1, 0)]
    h.finals = {"a": ("COMPLETED", None, square ** 2),
                "b": ("FAILED", "exception", f"ValueError({fail})"),
                "c": ("COMPLETED", None, once ** 2), "d": ("COMPLETED", None, delayed ** 2),
                "e": ("FAILED", "worker_lost", "RuntimeError('lost')"),
                "f": ("CANCELLED", "cancelled", "CancelledError()")}
    h.executions = [Execution(n, 11.0) for n in
                    (square, square, fail, fail, fail, once, delayed, lost, number("slow", 1))]
    h.reads = [Read(task, final) for task, final in h.finals.items()]
    h.cancels = [Cancel("f", 200, 12.0), Cancel("a", 409, 12.0), Cancel("b", None, 12.0)]
    h.groups, h.chains = {"g": ["a", "b"]}, [Chain("g", ["b", "a"])]
    h.replays = {"k": ["a", "b"]}
    return h


def begun_although_it_was_heard(h: History) -> None:
    """What was accepted at 12.5, after the cancel, has begun at 12.8."""
    later = number("square", 2)
    h.elsewhere, h.stored = True, h.stored + 1
    h.offers.append(Offer([later], 12.0, None, [f"{12500:012x}"], 0, 0))
    h.finals[f"{12500:012x}"] = ("COMPLETED", None, later ** 2)
    h.executions += [Execution(later, 12.8), Execution(number("square", 1), 13.0)]


SPOILT: Dict[str, Callable[[History], Any]] = {
    "accepted_is_there_and_final": lambda h: h.finals.update(a=None),
    "accepted_is_there_and_final ": lambda h: h.finals.update(a=("QUEUED", None, None)),
    "ids_are_told_once": lambda h: h.offers.append(Offer([77], 10.0, None, ["a"], 0, 0)),
    "results_are_right": lambda h: h.finals.update(a=("COMPLETED", None, -1)),
    "results_are_right ": lambda h: h.finals.update(a=("FAILED", "worker_lost", "x")),
    "results_are_right  ": lambda h: h.finals.update(c=("CANCELLED", "cancelled", "x")),
    "a_killed_child_costs_one_task": lambda h: h.finals.update(a=("FAILED", "crash", "x")),
    "what_was_read_never_changes": lambda h: h.reads.append(Read("a", ("COMPLETED", None, 5))),
    "cancelled_stays_cancelled": lambda h: h.cancels.append(Cancel("a", 200, 12.0)),
    "cancelled_stays_cancelled ": lambda h: h.executions.append(
        Execution(number("square", 1), 13.0)),
    "cancelled_stays_cancelled  ": lambda h: h.cancels.append(Cancel("a", 404, 12.0)),
    "cancelled_stays_cancelled   ": lambda h: (h.cuts.append(Cut(13.5, 14.0)), h.executions.append(
        Execution(number("square", 1), 13.0))),
    "cancelled_stays_cancelled    ": begun_although_it_was_heard,
    "refused_left_nothing": lambda h: h.executions.append(Execution(number("slow"), 11.0)),
    "nothing_was_made_up": lambda h: setattr(h, "stored", 8),
    "nothing_was_made_up ": lambda h: setattr(h, "stored", 5),
    "nothing_was_made_up  ": lambda h: h.executions.append(Execution(199, 11.0)),
    "a_key_means_one_submission": lambda h: h.replays.update(k=["a", "z"]),
    "runs_are_bounded": lambda h: h.executions.append(Execution(number("once"), 11.0)),
    "runs_are_bounded ": lambda h: h.executions.extend([Execution(number("square"), 11.0)] * 2),
    "runs_are_bounded  ": lambda h: h.executions.remove(Execution(number("delayed"), 11.0)),
    "runs_are_bounded   ": lambda h: h.executions.remove(Execution(number("fail"), 11.0)),
    "runs_are_bounded    ": lambda h: (setattr(h, "losses", 1), h.executions.extend(
        [Execution(number("square"), 11.0)] * 3)),
    "runs_are_bounded     ": lambda h: (setattr(h, "losses", 9), h.executions.append(
        Execution(number("once"), 11.0))),
    "delayed_is_not_early": lambda h: h.executions.append(Execution(number("delayed"), 9.9)),
    "waiting_by_cursor_misses_nothing": lambda h: h.chains.append(Chain("g", ["a"])),
    "waiting_by_cursor_misses_nothing ": lambda h: h.chains.append(Chain("g", ["a", "b", "a"])),
}


def test_the_checker_accepts_a_sound_history() -> None:
    assert violations(sound_history()) == []


def test_the_checker_knows_what_a_lost_worker_may_cost() -> None:
    history = sound_history()
    history.losses = 1
    history.executions += [Execution(number("square"), 11.0)] * 2
    assert violations(history) == []


@pytest.mark.parametrize("way", [{"cuts": [Cut(11.4, 11.5)]}, {"elsewhere": True}])
def test_the_checker_knows_that_a_worker_elsewhere_hears_later_of_a_cancel(way: Any) -> None:
    history = dataclasses.replace(sound_history(), **way)
    history.executions.append(Execution(number("square", 1), 13.0))  # cancelled at 12.0
    assert violations(history) == []


@pytest.mark.parametrize("rule", SPOILT)
def test_the_checker_sees_each_broken_promise(rule: str) -> None:
    spoilt = sound_history()
    SPOILT[rule](spoilt)
    assert any(line.startswith(rule.strip() + ":") for line in violations(spoilt))
