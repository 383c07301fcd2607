"""Workers whose way to the dispatcher is bad in all ways that a network can be: a proxy makes it so
(fault_proxy.py). First each fault by itself, then a storm of them, in which both sides are stopped
and killed, too; an offline checker (checker.py) says whether all promises were kept.

    FAULTS=1000   how many faults a storm has (default: 25)
    SEED=7        of everything random but the scheduling of the machine
"""

import os
import random
from pathlib import Path
from typing import Callable, Dict, Iterator, List

import pytest
import workload
from checker import History, violations
from clients import (Actor, Canceller, Numbers, Reader, Submitter, Waiter, learn_the_truth,
                     stop_all)
from conftest import ServerMaker, WorkerMaker
from fault_proxy import DOWN, FIN, RST, UP, Proxy
from harness import Server, wait_until
from storm import Storm
from trial import GONE, LABEL, SILENT, Fault, Lane, expect_all_at_work, lines_of, survive

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


# ---- each fault by itself -------------------------------------------------------------------


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


def test_each_fault_is_survived(server: Server, make_lane: LaneMaker, tmp_path: Path) -> None:
    survive(server, EACH, [make_lane("--label", f"{LABEL}={name}", slots=1) for name in EACH],
            tmp_path)


@pytest.mark.smoke
@pytest.mark.parametrize("mode", ("push", "pull"))
def test_a_cut_at_any_byte_repeats_nothing(server: Server, make_lane: LaneMaker, mode: str,
                                           tmp_path: Path) -> None:
    """A connection that is gone is no worker that is gone: what runs goes on, what is over is
    delivered later, and each task runs once."""
    lane = make_lane(mode=mode)
    lane.worker.await_ready()
    dice = random.Random(f"{SEED}.{mode}")
    client, noted, tasks, large = server.client, tmp_path / "noted", [], {}
    deed, echo = client.register(workload.deed), client.register(workload.echo)
    for _ in range(8):
        # The first bytes are those of a new connection: greeting, HELLO, WELCOME. Far ones are
        # in the pieces of what is large.
        byte = dice.choice((1, dice.randint(2, 80), dice.randint(80, 1000),
                            dice.randint(1000, 8000), dice.randint(1000, 200000)))
        lane.way.cut_at(byte, dice.choice((UP, DOWN)), dice.choice((RST, FIN)))
        if dice.random() < 0.5:
            lane.way.cut()
        data = dice.randbytes(200000)
        large[client.submit(echo, data)] = data

        def is_cut() -> bool:
            if client.counts()["QUEUED"] < 100:
                tasks.append(client.submit(deed, str(noted), "slow", len(tasks)))
            return not lane.way.is_armed

        wait_until(is_cut, f"the connection is cut at byte {byte}")
        client.finished(tasks[-1])  # it is back; out for too long, it would be given up
    assert all(client.value(task) == data for task, data in large.items())
    assert [client.value(task) for task in tasks] == [n * n for n in range(len(tasks))]
    assert sorted(int(line.split()[0]) for line in lines_of(noted)) == list(range(len(tasks)))
    worker, = client.good("GET", "/v1/workers")["items"]
    assert worker["finished_total"] == len(tasks) + len(large), "each is counted once"
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
