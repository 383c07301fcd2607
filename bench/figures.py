"""The figures, one function each; each returns rows and says in its docstring what it measures.

`quick` makes the numbers small: a check that everything runs, not a measurement.
"""

import pickle
import statistics
import subprocess
import sys
import time
from base64 import b64decode
from typing import Callable, Dict, List

import harness
import losses
import workers
from backlog import backlog
from harness import Row, median, peer

ROUNDS = 3


def noop(quick: bool) -> List[Row]:
    """Durable no-ops through Executor.submit, all results back, beside ProcessPoolExecutor."""
    n, rounds = (500, 1) if quick else (20000, ROUNDS)
    ours, theirs = [], []
    for _ in range(rounds):  # in turns, so that a slow moment of the machine meets both
        ours.append(peer("farhand_peer", "throughput", n, harness.CORES))
        theirs.append(peer("stdlib_peer", "throughput", n, harness.CORES, "submit"))
    mine, other = median(ours, "tasks_per_s"), median(theirs, "tasks_per_s")
    cpu = statistics.median(sum(row["cpu_s"].values()) for row in ours) / n * 1e6
    return [Row("noop", f"{n:,} durable no-ops through Executor.submit, results back", mine,
                "tasks/s", 2 * other,
                beside=f"ProcessPoolExecutor.submit {other:,.0f}/s: {mine / other:.2f}x; "
                       f"{cpu:.0f} us of CPU a task")]


def latency(quick: bool) -> List[Row]:
    """One task after the other, submit to result, durable both ways."""
    n, rounds = (50, 1) if quick else (2000, ROUNDS)
    ours = [peer("farhand_peer", "latency", n, harness.CORES) for _ in range(rounds)]
    other = peer("stdlib_peer", "latency", n, harness.CORES, "submit")
    sync = 1e3 / harness.syncs_per_second()
    return [
        Row("latency", "submit to result, one by one, p50", median(ours, "p50_ms"), "ms", 1.5, True,
            f"two fdatasync {2 * sync:.2f} ms; ProcessPoolExecutor {other['p50_ms']:.2f} ms"),
        Row("latency", "the same, p99", median(ours, "p99_ms"), "ms", 5.0, True,
            f"ProcessPoolExecutor {other['p99_ms']:.2f} ms"),
    ]


def legacy(quick: bool) -> List[Row]:
    """The four old endpoints, one request a task, by a compiled client; every result compared."""
    n, gets = (1000, 2000) if quick else (30000, 60000)
    client = harness.COMPILED / "legacy_client"

    def load(*arguments: object) -> List[float]:
        done = subprocess.run([str(a) for a in (client, port, *arguments)], check=True,
                              stdout=subprocess.PIPE, text=True)
        return [float(word) for word in done.stdout.split()]

    with harness.server("--local", harness.CORES) as server:
        server.start()
        port = server.url.rsplit(":", 1)[1].rstrip("/")
        http = harness.Http(server.url)
        import tasks
        function = http.ask("POST", "/register_function",
                            {"name": "inc", "payload": harness.pickled(tasks.inc)})["function_id"]
        payload = harness.pickled(((1,), {}))
        result = _legacy_result(http, function, payload)
        seconds, requests, unfinished, busy = load(
            "tasks", n, 16, 64, function, payload, result.replace("\n", ""))
        get_seconds = load("gets", gets, 16)[0]
    return [Row("legacy", f"{n:,} tasks, one request each, 16 connections of 64 tasks", n / seconds,
                "tasks/s", 3000,
                beside=f"{requests / n:.1f} requests a task ({unfinished:,.0f} too early, "
                       f"{busy:,.0f} refused); GET / {gets / get_seconds:,.0f}/s")]


def _legacy_result(http: harness.Http, function: str, payload: str) -> str:
    """Runs one task to its end; returns the text of its result, which must be right."""
    task = http.ask("POST", "/execute_function",
                    {"function_id": function, "payload": payload})["task_id"]
    end = time.monotonic() + 30
    while time.monotonic() < end:
        answer = http.ask("GET", f"/result/{task}")
        if answer["status"] not in ("QUEUED", "RUNNING"):
            if pickle.loads(b64decode(answer["result"])) != 2:
                raise RuntimeError(f"a wrong result: {answer}")
            return answer["result"]
        time.sleep(0.01)
    raise RuntimeError("the first task did not finish")


def naps(quick: bool) -> List[Row]:
    """400 tasks of 50 ms on 16 slots: how much of the ideal is left."""
    n, slots = (32, 4) if quick else (400, 16)
    ours = peer("farhand_peer", "sleep", n, slots)["efficiency"]
    other = peer("stdlib_peer", "sleep", n, slots, "submit")["efficiency"]
    return [Row("naps", f"{n} tasks of 50 ms on {slots} slots", 100 * ours, "% of ideal", 95,
                beside=f"ProcessPoolExecutor {100 * other:.1f} %")]


def payload(quick: bool) -> List[Row]:
    """Tasks that take 1 MB and return 1 MB."""
    n, rounds = (10, 1) if quick else (200, ROUNDS)
    ours = [peer("farhand_peer", "payload", n, harness.CORES) for _ in range(rounds)]
    other = peer("stdlib_peer", "payload", n, harness.CORES, "submit")["mb_per_s"]
    return [Row("payload", "1 MB in and 1 MB out a task, both ways added",
                median(ours, "mb_per_s"), "MB/s", 100,
                beside=f"ProcessPoolExecutor, which stores nothing: {other:,.0f} MB/s")]


def start(quick: bool) -> List[Row]:
    """From starting `farhand serve` on an empty folder to the result of a first task."""
    import tasks
    from farhand import Executor

    seconds = []
    for _ in range(1 if quick else 5):
        with harness.server() as server:
            began = time.perf_counter()
            server.start()
            with Executor(url=server.url) as far:
                if far.submit(tasks.inc, 1).result() != 2:
                    raise RuntimeError("a wrong result")
                seconds.append(time.perf_counter() - began)
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import pickle"], check=True)
    python = time.perf_counter() - began
    return [Row("start", "`farhand serve` to its first result", statistics.median(seconds), "s",
                1.0, True, f"starting Python alone {python:.3f} s")]


FIGURES: Dict[str, Callable[[bool], List[Row]]] = {
    "noop": noop, "latency": latency, "legacy": legacy, "naps": naps, "payload": payload,
    "start": start, "backlog": backlog, "tcp": workers.tcp, "slots": workers.slots,
    "heartbeat": workers.heartbeat, "host": workers.host, "lost": losses.lost,
    "restart": losses.restart,
}
