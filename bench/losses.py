"""The figures of what is lost when a process of a fleet is killed: time, and nothing else."""

import time
from pathlib import Path
from typing import Any, Callable, Dict, List

import harness
import tasks
from farhand import Executor
from harness import Http, Row, Worker
from workers import naps

SILENCE_S = 4.0  # after which a worker is given up
PATIENCE_S = 60.0


def _workers(http: Http) -> List[Dict[str, Any]]:
    return http.ask("GET", "/v1/workers")["items"]


def _until(check: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + PATIENCE_S
    while not check():
        if time.monotonic() > end:
            raise RuntimeError(f"in {PATIENCE_S:.0f} s not: {what}")
        time.sleep(0.005)


def _all_busy(http: Http) -> bool:
    return all(worker["slots_busy"] == worker["slots"] for worker in _workers(http))


def _begun(path: Path) -> List[int]:
    """Which tasks began, once for each time that they did."""
    return [int(line) for line in path.read_text().split()]


def _recorded(http: Http, group: str) -> List[str]:
    """The ids of all tasks of the group whose end is recorded, once for each record."""
    ids: List[str] = []
    ask = {"group_id": group, "wait_s": 0, "fields": ["id", "state"]}
    while True:
        page = http.ask("POST", "/v1/tasks:wait", ask)
        if not page["done"]:
            return ids
        ids += [task["id"] for task in page["done"]]
        ask["since_cursor"] = page["cursor"]


def _check_record(http: Http, far: Executor, n: int) -> None:
    """Each task has one end, and it is a good one."""
    group = far.task_group_id
    ids = _recorded(http, group)
    counts = http.ask("GET", f"/v1/groups/{group}")["counts"]
    if len(ids) != n or len(set(ids)) != n or counts["COMPLETED"] != n:
        raise RuntimeError(f"{len(ids)} ends of {len(set(ids))} tasks of {n}: {counts}")


def lost(quick: bool) -> List[Row]:
    """Two workers with 100 running tasks each; one is killed with -9."""
    each, seconds = 10 if quick else 100, 1.0
    n = 2 * each
    with harness.server(*harness.FOR_WORKERS) as server:
        server.start()
        http, path = Http(server.url), server.folder / "begun"
        one, other = (Worker(server, "push", each, f" {i}") for i in (1, 2))
        with harness.running(one, other), Executor(url=server.url) as far:
            naps(far, server, [seconds] * n)
            futures = [far.submit(tasks.noted, i, seconds, str(path)) for i in range(n)]
            _until(lambda: _all_busy(http), "all slots are busy")
            one.kill()
            killed = time.perf_counter()
            results = [future.result() for future in futures]
            took = time.perf_counter() - killed
            _check_record(http, far, 2 * n)
        again = len(_begun(path)) - n
    if results != list(range(n)):
        raise RuntimeError("wrong results")
    return [Row("lost", f"a worker killed with -9 under {each} tasks of {seconds:g} s: to the last "
                        "result, from the one beside it", took, "s", 2 * SILENCE_S, True,
                f"{again} tasks ran again, {n} results, none recorded twice; a worker is given up "
                f"after {SILENCE_S:g} s")]


def restart(quick: bool) -> List[Row]:
    """A dispatcher killed with -9 while 100 tasks of 5 seconds run on two workers, and started."""
    slots, seconds = (10, 2.0) if quick else (100, 5.0)
    with harness.server(*harness.FOR_WORKERS) as server:
        server.start()
        path = server.folder / "begun"
        workers = [Worker(server, mode, slots // 2) for mode in ("push", "pull")]
        with harness.running(*workers), Executor(url=server.url) as far:
            futures = [far.submit(tasks.noted, i, seconds, str(path)) for i in range(slots)]
            _until(lambda: _all_busy(Http(server.url)), "all slots are busy")
            server.kill()
            killed = time.perf_counter()
            ready = server.start()
            results = [future.result() for future in futures]
            took = time.perf_counter() - killed
            _check_record(Http(server.url), far, slots)
        begun = _begun(path)
    if results != list(range(slots)) or set(begun) != set(results):
        raise RuntimeError("wrong results")
    return [Row("restart", f"tasks run again after kill -9 of the dispatcher under {slots} of "
                           f"{seconds:g} s on two workers", len(begun) - slots, f"of {slots}", 0,
                True, f"ready after {ready:.2f} s, all results {took:.1f} s after the kill")]
