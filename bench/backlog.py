"""The figure of a long queue: memory, submission, restart after kill -9, working it off."""

import json
import time
from typing import List, Tuple

import harness
from harness import Http, Row, memory_mb

BATCH = 5000


def _fill(http: Http, body: bytes, total: int, pid: int) -> Tuple[List[float], float]:
    """Submits `total` tasks in batches; returns each batch's seconds, and memory at 10,000."""
    seconds, early = [], 0.0
    for number in range(1, total // BATCH + 1):
        began = time.perf_counter()
        http.ask("POST", "/v1/tasks:batch", body)
        seconds.append(time.perf_counter() - began)
        if number * BATCH == 10000:
            early = memory_mb(pid)
    return seconds, early


def _finished(http: Http) -> int:
    return http.ask("GET", "/v1/stats")["tasks"]["COMPLETED"]


def _work_off(http: Http, enough: int, limit_s: float) -> Tuple[float, int]:
    """Waits until `enough` tasks are finished or the time is over; returns seconds and count."""
    began = time.perf_counter()
    while True:
        done, spent = _finished(http), time.perf_counter() - began
        if done >= enough or spent > limit_s:
            return spent, done
        time.sleep(0.1)


def backlog(quick: bool) -> List[Row]:
    """A million queued tasks; kill -9; ready again, and the queue is worked off."""
    import tasks
    total, drained, edge = (20000, 5000, 2) if quick else (1000000, 100000, 10)
    with harness.server("--local", 0, "--max-queued", total + BATCH) as server:
        server.start()
        http = Http(server.url)
        function = http.ask("POST", "/v1/functions", {
            "name": "inc", "payload": harness.pickled(tasks.inc)})["function_id"]
        group = http.ask("POST", "/v1/groups", {"name": "backlog"})["id"]
        one = {"payload": harness.pickled(((1,), {}))}
        body = json.dumps({"function_id": function, "group_id": group,
                           "tasks": [one] * BATCH}).encode()
        seconds, early = _fill(http, body, total, server.pid)
        late = memory_mb(server.pid)
        server.kill()

        server.options = [harness.CORES if before == "--local" else option
                          for before, option in zip(("", *server.options), server.options)]
        ready = server.start()
        spent, done = _work_off(Http(server.url), drained, 60)
        highest = memory_mb(server.pid, "VmHWM")
    first, last = (edge * BATCH / sum(part) for part in (seconds[:edge], seconds[-edge:]))
    return [
        Row("backlog", f"memory with {total:,} queued, above that with 10,000", late - early, "MB",
            32, True, f"{early:.1f} MB with 10,000, {late:.1f} MB with {total:,}"),
        Row("backlog", "rate of submission at the end", last, "tasks/s", first / 2,
            beside=f"at the start {first:,.0f}/s"),
        Row("backlog", "ready after kill -9 with that backlog", ready, "s", 10, True),
        Row("backlog", "working it off, from the moment it is ready", done / spent, "tasks/s", 5000,
            beside=f"{done:,} tasks in {spent:.1f} s"),
        Row("backlog", "highest memory of the server meanwhile", highest, "MB", 64, True),
    ]
