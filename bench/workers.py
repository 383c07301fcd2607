"""The figures of workers elsewhere: what the way over TCP takes, how many slots and workers there
can be. All runs are on this machine: the network between is loopback.
"""

import json
import re
import shutil
import statistics
import subprocess
import time
from operator import neg
from typing import Dict, List, Optional, Sequence

import harness
import tasks
from farhand import Executor
from harness import EchoWorkers, Http, Row, Worker, peer

ROUNDS = 7
BATCH = 5000


def tcp(quick: bool) -> List[Row]:
    """The same durable no-ops through a push and a pull worker with as many slots as the pool."""
    n, rounds = (500, 1) if quick else (20000, ROUNDS)
    kinds = ("", "push", "pull")
    rates: Dict[str, List[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):  # in turns, so that a slow moment of the machine meets all
        for kind in kinds:
            rates[kind].append(
                peer("farhand_peer", "throughput", n, harness.CORES, kind)["tasks_per_s"])
    local = statistics.median(rates[""])
    return [Row("tcp", f"the same no-ops through a {kind} worker over TCP",
                100 * _pairwise(rates[kind], rates[""]), "% of the local pool's rate", least,
                beside=f"{kind} {statistics.median(rates[kind]):,.0f}/s, local {local:,.0f}/s")
            for kind, least in (("push", 90), ("pull", 80))]


def _pairwise(ones: List[float], others: List[float]) -> float:
    """The median ratio of those that were measured one after the other: a virtual machine may be
    half as fast again a minute later."""
    return statistics.median(one / other for one, other in zip(ones, others))


def slots(quick: bool) -> List[Row]:
    """Many slots on one connection, and many workers of one slot, beside one of two slots. They
    answer at once, without Python: what is measured is the server, the protocol, the connections.
    """
    n, rounds, many = (10000, 1, 50) if quick else (100000, 3, 500)
    kinds = {"two": (1, 2), "slots": (1, many), "workers": (many, 1)}
    rates: Dict[str, List[float]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, (processes, each) in kinds.items():
            rates[kind].append(_echo_rate(processes, each, n))
    two = statistics.median(rates["two"])
    return [Row("slots", what, 100 * _pairwise(rates[kind], rates["two"]),
                "% of two slots' rate", 80,
                beside=f"{statistics.median(rates[kind]):,.0f}/s, two slots {two:,.0f}/s, "
                       "all without Python")
            for kind, what in (("slots", f"{many} slots of one worker, on one connection"),
                               ("workers", f"{many} worker processes of one slot"))]


def _echo_rate(processes: int, each: int, n: int) -> float:
    """Tasks a second, from the first submission to the last result that is stored."""
    with harness.server(*harness.FOR_WORKERS) as server:
        server.start()
        http = Http(server.url)
        function = http.ask("POST", "/v1/functions", {
            "name": "neg", "payload": harness.pickled(neg)})["function_id"]
        one = {"payload": harness.pickled(((1,), {}))}

        def run(count: int) -> float:
            body = json.dumps({"function_id": function,
                               "tasks": [one] * min(count, BATCH)}).encode()
            due = _finished(http) + count
            began = time.perf_counter()
            for _ in range(0, count, BATCH):
                http.ask("POST", "/v1/tasks:batch", body)
            while _finished(http) < due:
                time.sleep(0.01)
            return count / (time.perf_counter() - began)

        with harness.running(EchoWorkers(server, processes, each)):
            run(BATCH)  # the function is known to be short, and to all
            return run(n)


def _finished(http: Http) -> int:
    counts = http.ask("GET", "/v1/stats")["tasks"]
    if counts["FAILED"] or counts["CANCELLED"]:
        raise RuntimeError(f"tasks that can only succeed did not: {counts}")
    return counts["COMPLETED"]


def heartbeat(quick: bool) -> List[Row]:
    """What a heartbeat, with its share of ticks, costs a dispatcher of few workers and of many."""
    counts = (10, 1000) if quick else (10, 100, 1000, 10000)
    rounds = 1 if quick else ROUNDS
    runs: Dict[int, List[Dict[str, float]]] = {count: [] for count in counts}
    for _ in range(rounds):
        for count in counts:
            runs[count].append(json.loads(_heartbeats(count)))
    us = {count: harness.median(runs[count], "us_a_heartbeat") for count in counts}
    few, many = counts[0], counts[-1]
    rows = _instruction_rows({count: _instructions(count, runs[count][-1]) for count in counts})
    return rows + [
        Row("heartbeat", f"time of a heartbeat with {many:,} workers, of that with {few}",
            us[many] / us[few], "times", 1.5, True,
            "; ".join(f"{count:,} workers {1000 * us[count]:.0f} ns" for count in counts))]


def _instruction_rows(each: Dict[int, Optional[float]]) -> List[Row]:
    known = [value for value in each.values() if value]
    if len(known) < len(each):
        print("heartbeat: neither the kernel nor valgrind counts instructions here; time alone")
        return []
    few, many = min(each), max(each)
    return [Row("heartbeat", f"instructions a heartbeat from {few} to {many:,} workers, apart",
                100 * (max(known) / min(known) - 1), "%", 5, True,
                "; ".join(f"{count:,} workers {value:,.0f}" for count, value in each.items()))]


def _heartbeats(count: int, *before: str) -> str:
    command = [*before, str(harness.COMPILED / "heartbeat_bench"), str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    return done.stdout


def _instructions(count: int, run: Dict[str, float]) -> Optional[float]:
    """Of one heartbeat. A virtual machine has no counter of them as a rule; valgrind counts, too.
    """
    if run["instructions"] is not None:
        return run["instructions"] / run["heartbeats"]
    if not shutil.which("valgrind"):
        return None
    said = _heartbeats(count, "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
                       "--toggle-collect=measure*")
    return int(re.search(r"Collected : (\d+)", said).group(1)) / run["heartbeats"]


def host(quick: bool) -> List[Row]:
    """600 tasks of a second on one worker of 300 slots, whose children are up and have run one."""
    slots, seconds = (10, 0.2) if quick else (300, 1.0)
    n = 2 * slots
    with harness.server(*harness.FOR_WORKERS) as server:
        server.start()
        with harness.running(Worker(server, "push", slots)), Executor(url=server.url) as far:
            naps(far, server, [seconds] * slots)
            took = naps(far, server, [seconds] * n)
    return [Row("host", f"{n} tasks of {seconds:g} s on {slots} warm slots of one host", took, "s",
                5 * seconds, True, f"{2 * seconds:g} s if nothing cost anything")]


def naps(far: Executor, server: harness.Server, seconds: Sequence[float]) -> float:
    """Runs so many naps at once; returns how long they took together."""
    path = str(server.folder / "naps")
    began = time.perf_counter()
    futures = [far.submit(tasks.noted, i, each, path) for i, each in enumerate(seconds)]
    for i, future in enumerate(futures):
        if future.result() != i:
            raise RuntimeError("a wrong result")
    return time.perf_counter() - began
