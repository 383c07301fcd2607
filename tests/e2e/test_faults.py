"""Workers whose way to the dispatcher is bad in all ways that a network can be: a proxy makes it so
(fault_proxy.py). First each fault by itself, then a storm of them, in which both sides are stopped
and killed, too; an offline checker (checker.py) says whether all promises were kept.

    FAULTS=1000   how many faults a storm has (default: 25)
    SEED=7        of everything random but the scheduling of the machine
"""

import os
import random
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional

import pytest
import workload
from checker import History, violations
from clients import (Actor, Canceller, Numbers, Reader, Submitter, Waiter, learn_the_truth,
                     stop_all)
from conftest import ServerMaker, WorkerMaker
from fault_proxy import DOWN, FIN, RST, UP, Proxy
from harness import Client, Server, wait_until
from storm import Lane, Storm

FAULTS = int(os.environ.get("FAULTS") or 25)
SEED = os.environ.get("SEED", "1")
QUEUE = 300

LaneMaker = Callable[..., Lane]


@pytest.fixture
def server(make_server: ServerMaker) -> Server:
    """No local pool: all that runs runs behind a proxy."""
    return make_server("--max-queued", str(QUEUE), slots=0, bind=True)


@pytest.fixture
def proxies() -> Iterator[List[Proxy]]:
    made: List[Proxy] = []
    yield made
    for proxy in made:
        proxy.close()


@pytest.fixture
def make_lane(server: Server, proxies: List[Proxy], make_worker: WorkerMaker) -> LaneMaker:
    """make_lane(*flags, slots=2, mode="push") -> a Lane; its worker is launched, and no more."""
    def make(*args: str, slots: int = 2, **options: str) -> Lane:
        proxies.append(Proxy(server.door.number, f"{SEED}.{len(proxies)}"))
        worker = make_worker(proxies[-1].url, *args, slots=slots, start=False, **options)
        worker.launch()
        return Lane(proxies[-1], worker, slots)

    return make


def lines_of(path: Path) -> List[str]:
    return path.read_text().splitlines() if path.exists() else []


# ---- each fault by itself -------------------------------------------------------------------


class Fault(NamedTuple):
    begin: Callable[[Proxy], None]
    said: Optional[str] = None  # by the worker, in its log
    given_up: bool = True  # by the dispatcher: what ran runs again


GONE, SILENT = "the connection is gone", "the dispatcher was silent"


def cut_off(forbid: Callable[[Proxy], None]) -> Callable[[Proxy], None]:
    def begin(proxy: Proxy) -> None:
        forbid(proxy)
        proxy.cut()
    return begin


EACH: Dict[str, Fault] = {
    "slow": Fault(lambda p: p.delay(0.05, 0.3), given_up=False),
    "reset": Fault(lambda p: p.cut(RST), GONE, given_up=False),
    "closed": Fault(lambda p: p.cut(FIN), GONE, given_up=False),
    "stalled": Fault(lambda p: p.stall(), SILENT),
    "stalled-up": Fault(lambda p: p.stall(UP), SILENT),
    "stalled-down": Fault(lambda p: p.stall(DOWN), SILENT),
    "dropped": Fault(lambda p: p.drop(), SILENT),
    "dropped-up": Fault(lambda p: p.drop(UP), SILENT),
    "dropped-down": Fault(lambda p: p.drop(DOWN), SILENT),
    "worker-knows": Fault(lambda p: p.half_open(UP), GONE, given_up=False),
    "dispatcher-knows": Fault(lambda p: p.half_open(DOWN), SILENT),
    "black-hole": Fault(cut_off(Proxy.black_hole), GONE),
    "refused": Fault(cut_off(Proxy.refuse), GONE),
}


class Trial:
    """A worker of one slot, which only its own tasks want, behind a way with one fault."""

    def __init__(self, name: str, lane: Lane, client: Client, folder: Path) -> None:
        self.name, self.fault, self.lane = name, EACH[name], lane
        self.client, self.folder = client, folder
        folder.mkdir()

    def submit_held(self) -> None:
        self.held = self._submit(workload.hold, str(self.folder), self.name)

    def submit_more(self) -> None:
        self.more = [self._submit(workload.square_noted, str(self.folder / "noted"), n)
                     for n in range(20)]

    def _submit(self, function: Callable, *args: object) -> str:
        return self.client.submit(self.client.register(function), *args, wait_for_worker=True,
                                  labels={"way": self.name})

    def begun(self) -> int:
        return len(lines_of(self.folder / "started"))

    def is_noticed(self) -> bool:
        if self.fault.said and self.fault.said not in self.lane.worker.log:
            return False
        return not self.fault.given_up or self.client.state(self.held) == "QUEUED" \
            or self.begun() > 1

    def check(self) -> None:
        assert self.client.value(self.held) == self.name
        assert self.begun() <= (2 if self.fault.given_up else 1), self.name
        assert [self.client.value(task) for task in self.more] == [n * n for n in range(20)]
        assert sorted(map(int, lines_of(self.folder / "noted"))) == list(range(20)), self.name
        if not self.fault.said:
            assert GONE not in self.lane.worker.log and SILENT not in self.lane.worker.log


def test_each_fault_is_survived(server: Server, make_lane: LaneMaker, tmp_path: Path) -> None:
    """All at the same time, for most of the time is spent in waiting."""
    lanes = [make_lane("--label", f"way={name}", slots=1) for name in EACH]
    trials = [Trial(name, lane, server.client, tmp_path / name)
              for name, lane in zip(EACH, lanes)]
    for trial in trials:
        trial.lane.worker.await_ready()
        trial.submit_held()
    for trial in trials:
        server.client.started(trial.held)
    for trial in trials:
        trial.fault.begin(trial.lane.proxy)
        trial.submit_more()
    for trial in trials:
        wait_until(trial.is_noticed, f"'{trial.name}' is noticed")
        (trial.folder / "go").touch()
    for trial in trials:
        trial.lane.proxy.heal()
    for trial in trials:
        trial.check()
    expect_all_at_work(server, lanes, tmp_path)


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


@pytest.mark.smoke
@pytest.mark.parametrize("mode", ("push", "pull"))
def test_a_cut_at_any_byte_repeats_nothing(server: Server, make_lane: LaneMaker, mode: str,
                                           tmp_path: Path) -> None:
    """A connection that is gone is no worker that is gone: what runs goes on, what is over is
    delivered later, and each task runs once."""
    lane = make_lane(mode=mode)
    lane.worker.await_ready()
    dice = random.Random(f"{SEED}.{mode}")
    function = server.client.register(workload.deed)
    noted, tasks = tmp_path / "noted", []
    for _ in range(8):
        # The first bytes are those of a new connection: greeting, HELLO, WELCOME.
        byte = dice.choice((1, dice.randint(2, 80), dice.randint(80, 1000),
                            dice.randint(1000, 8000)))
        lane.proxy.cut_at(byte, dice.choice((UP, DOWN)), dice.choice((RST, FIN)))
        if dice.random() < 0.5:
            lane.proxy.cut()
        before = lane.proxy.cuts

        def one_more(so_far: int = before) -> bool:
            n = len(tasks)
            tasks.append(server.client.submit(function, str(noted), "slow", n))
            return lane.proxy.cuts > so_far

        wait_until(one_more, f"the connection is cut at byte {byte}")
    assert [server.client.value(task) for task in tasks] == [n * n for n in range(len(tasks))]
    assert sorted(int(line.split()[0]) for line in lines_of(noted)) == list(range(len(tasks)))
    expect_all_at_work(server, [lane], tmp_path)


# ---- a storm --------------------------------------------------------------------------------


def test_a_storm_of_faults_breaks_no_promise(server: Server, make_lane: LaneMaker,
                                             tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    lanes = [make_lane(mode=mode) for mode in ("push", "push", "pull")]
    for lane in lanes:
        lane.worker.await_ready()
    function = server.client.register(workload.deed)
    history, numbers = History(), Numbers()
    actors: List[Actor] = [
        *(Submitter(server, history, f"{SEED}.{n}", function, str(noted), numbers)
          for n in range(2)),
        Canceller(server, history, f"{SEED}.c"), Reader(server, history, f"{SEED}.r"),
        Waiter(server, history, f"{SEED}.w")]
    storm = Storm(server, lanes, history, SEED)
    for actor in actors:
        actor.start()
    try:
        storm.blow(FAULTS)
    finally:
        stop_all(actors)
    learn_the_truth(history, server.client, noted, actors)
    expect_all_at_work(server, lanes, tmp_path)
    found = violations(history)
    assert not found, "\n".join([f"SEED={SEED} FAULTS={FAULTS}: {len(found)} violations:", *found,
                                 "after:", *storm.begun])
    assert len(history.accepted()) > 20 * min(FAULTS, 50), "the clients were busy"
