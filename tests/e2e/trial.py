"""Trials: a worker, the way from it to its server, and one fault of that way, which must cost the
tasks of this worker no more than it has to."""

from pathlib import Path
from typing import Any, Callable, Dict, List, NamedTuple, Optional

import workload
from harness import Client, Server, Worker, wait_until
GONE, SILENT = "the connection is gone", "the dispatcher was silent"
LABEL = "way"  # of a worker: the name of its trial


def lines_of(path: Path) -> List[str]:
    return path.read_text().splitlines() if path.exists() else []


class Lane(NamedTuple):
    """A worker and its own way to the server."""

    way: Any  # has faults to order, and heal()
    worker: Worker
    slots: int


class Fault(NamedTuple):
    begin: Callable[[Any], None]  # of that way
    said: Optional[str] = None  # by the worker, in its log
    given_up: bool = True  # by the dispatcher: what ran runs again


class Trial:
    """A worker of one slot, which only its own tasks want, behind a way with one fault."""

    def __init__(self, name: str, fault: Fault, lane: Lane, client: Client, folder: Path) -> None:
        self.name, self.fault, self.lane = name, fault, lane
        self.client, self.folder = client, folder
        folder.mkdir()

    def submit_held(self) -> None:
        self.held = self._submit(workload.hold, str(self.folder), self.name)

    def submit_more(self) -> None:
        self.more = [self._submit(workload.square_noted, str(self.folder / "noted"), n)
                     for n in range(20)]

    def _submit(self, function: Callable, *args: object) -> str:
        return self.client.submit(self.client.register(function), *args, wait_for_worker=True,
                                  labels={LABEL: self.name})

    def begun(self) -> int:
        return len(lines_of(self.folder / "started"))

    def is_noticed(self) -> bool:
        if self.fault.said and self.fault.said not in self.lane.worker.log:
            return False
        if not self.fault.given_up:
            return True
        return self.client.state(self.held) == "QUEUED" or self.begun() > 1

    def check(self) -> None:
        assert self.client.value(self.held) == self.name
        assert self.begun() <= (2 if self.fault.given_up else 1), self.name
        assert [self.client.value(task) for task in self.more] == [n * n for n in range(20)]
        assert sorted(map(int, lines_of(self.folder / "noted"))) == list(range(20)), self.name
        if not self.fault.said:
            assert GONE not in self.lane.worker.log and SILENT not in self.lane.worker.log


def survive(server: Server, faults: Dict[str, Fault], lanes: List[Lane], folder: Path) -> None:
    """Each lane has its fault, all at the same time, for most of the time is spent in waiting."""
    trials = [Trial(name, faults[name], lane, server.client, folder / name)
              for name, lane in zip(faults, lanes)]
    for trial in trials:
        trial.lane.worker.await_ready()
        trial.submit_held()
    for trial in trials:
        server.client.started(trial.held)
    for trial in trials:
        trial.fault.begin(trial.lane.way)
        trial.submit_more()
    for trial in trials:
        wait_until(trial.is_noticed, f"'{trial.name}' is noticed")
        (trial.folder / "go").touch()
    for trial in trials:
        trial.lane.way.heal()
    for trial in trials:
        trial.check()
    expect_all_at_work(server, lanes, folder)


def expect_all_at_work(server: Server, lanes: List[Lane], folder: Path) -> None:
    """No slot is lost: all of them run at the same time."""
    (folder / "last").mkdir()
    slots = sum(lane.slots for lane in lanes)
    _, ids = server.client.batch(server.client.register(workload.hold),
                                 [(str(folder / "last"), n) for n in range(slots)])
    wait_until(lambda: len(set(lines_of(folder / "last" / "started"))) == slots, "all slots run")
    (folder / "last" / "go").touch()
    assert [server.client.value(task) for task in ids] == list(range(slots))
    workers = server.client.good("GET", "/v1/workers")["items"]
    assert [worker["state"] for worker in workers] == ["online"] * len(lanes)
