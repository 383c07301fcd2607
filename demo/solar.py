"""The demo: a solar system as remote tasks, and what runs them is killed on the way.

usage: python demo/solar.py --farhand EXECUTABLE --folder FOLDER [--fleet] [--tasks N]
(script/demo calls it)
"""

import argparse
import signal
import sys
import time
from collections import Counter
from concurrent.futures import as_completed
from pathlib import Path
from typing import Set, Tuple

import numpy as np
from farhand import Executor

import belt
import planets
import plot
from fleet import Fleet
from process import Process, telling_where

TASKS = 200
TASKS_MIN = 12  # with fewer, too few particles begin at a resonance
PARTICLES = 40  # a task
INNER, OUTER = 2.0, 3.6  # AU: from outside Mars to well inside Jupiter
YEARS = 1000.0

EARTH_YEAR_DAYS = 365.25636  # the sidereal year
EARTH_YEAR_ERROR_MAX = 1e-3
ENERGY_ERROR_MAX = 1e-6


class Progress:
    """A bar that redraws itself on a terminal; elsewhere a line at each tenth."""

    def __init__(self, total: int) -> None:
        self.total, self.done, self.began = total, 0, time.monotonic()
        self.tty = sys.stdout.isatty()

    def step(self) -> None:
        self.done += 1
        spent = time.monotonic() - self.began
        left = spent / self.done * (self.total - self.done)
        rate = self.done / spent
        text = f"{self.done}/{self.total} tasks, {rate:.1f} a second, {left:.0f} s left"
        if self.tty:
            filled = 30 * self.done // self.total
            print(f"\r  [{'#' * filled}{'.' * (30 - filled)}] {text}  ", end="", flush=True)
        elif self.done * 10 // self.total > (self.done - 1) * 10 // self.total:
            print(f"  {text}", flush=True)
        if self.tty and self.done == self.total:
            print()

    def say(self, text: str) -> None:
        """A line of its own above the bar."""
        print(f"\r{text:<78}" if self.tty else text, flush=True)


def follow_planets(far: Executor) -> dict:
    """One remote task: ten bodies for a century. Stops the demo if its physics is wrong."""
    print("1. The Sun, eight planets and Pluto, from JPL's elements at J2000, for 100 years")
    began = time.monotonic()
    future = far.submit(planets.follow_planets)
    found = future.result()
    year = found["period_days"]["Earth"]
    year_error = abs(year / EARTH_YEAR_DAYS - 1)
    print(f"  {found['steps']:,} steps of a symplectic integrator of fourth order "
          f"in {time.monotonic() - began:.1f} s on the worker")
    print(f"  energy: off by at most {found['energy_error']:.1e} (allowed: {ENERGY_ERROR_MAX:.0e})")
    print(f"  Earth's year: {year:.4f} days, {100 * year_error:.4f} % off the measured one "
          f"(allowed: {100 * EARTH_YEAR_ERROR_MAX} %)")
    for name in ("Mercury", "Jupiter", "Uranus"):
        print(f"  {name}'s year: {found['period_days'][name]:,.1f} days")
    if year_error > EARTH_YEAR_ERROR_MAX or found["energy_error"] > ENERGY_ERROR_MAX:
        raise SystemExit("The physics is wrong: see above.")
    return {**found, "task_id": future.task_id}


def kill(process: Process, fleet: Fleet, far: Executor, progress: Progress) -> None:
    """Kills one process of the fleet with -9 in the middle of a task, and starts it again."""
    fleet.await_busy(process, far.client)
    pid = process.kill()
    progress.say(f"  kill -9 {pid}: the {process.name} is gone, "
                 f"{progress.total - progress.done} tasks are unfinished")
    progress.say(f"  the {process.name} is started again, ready after {process.start():.2f} s")


def check_nothing_lost(far: Executor, ids: Set[str], tasks: int) -> None:
    """Asks the server what it has recorded; stops the demo if that is not each task once."""
    if len(ids) != tasks:
        raise SystemExit(f"{tasks} tasks have {len(ids)} ids")
    recorded = far.client.wait(sorted(ids), mode="all", fields=["id", "state", "attempt"])["done"]
    completed = Counter(task["id"] for task in recorded if task["state"] == "COMPLETED")
    if completed != Counter(ids):
        raise SystemExit(f"of {tasks} tasks {len(completed)} are recorded as completed")
    again = sum(task["attempt"] > 1 for task in recorded)
    print(f"  all {tasks} results are here, through the same Executor; nothing was lost"
          + (f"; {again} lost their worker and ran again" if again else ""))


def report_who(fleet: Fleet, finished: "Counter[Tuple[str, int]]") -> None:
    """How many results each process has brought; stops the demo if one brought none."""
    for process in fleet.processes:
        before, after = finished[process.mode, 1], finished[process.mode, 2]
        print(f"  {process.mode:5} {before + after:4} tasks: {before} before the kill -9, "
              f"{after} after")
        if before + after == 0:
            raise SystemExit(f"The {process.name} has finished no task.")


def sweep(far: Executor, fleet: Fleet, tasks: int) -> Tuple[np.ndarray, np.ndarray, float]:
    """The remote tasks of the belt; on the way each process is killed once and started again.

    Returns where the particles began, how far they wandered, and the seconds.
    """
    print(f"2. {tasks} tasks: {tasks * PARTICLES:,} test particles between {INNER} and {OUTER} AU, "
          f"{YEARS:,.0f} years under the Sun and the giants")
    progress = Progress(tasks)
    width = (OUTER - INNER) / tasks
    futures = [far.submit(telling_where, belt.wander, INNER + width * number, width, PARTICLES,
                          YEARS, number) for number in range(tasks)]
    parts = len(fleet.processes) + 1
    victims = {tasks * part // parts: process for part, process in enumerate(fleet.processes, 1)}
    for future in as_completed(futures):
        future.result()
        progress.step()
        if progress.done in victims:
            kill(victims[progress.done], fleet, far, progress)
    spent = time.monotonic() - progress.began
    check_nothing_lost(far, {future.task_id for future in futures}, tasks)
    report_who(fleet, Counter(future.result()[:2] for future in futures))
    start = np.concatenate([future.result()[2][0] for future in futures])
    wander = np.concatenate([future.result()[2][1] for future in futures])
    stayed = np.isfinite(wander)
    return start[stayed], wander[stayed], spent


def report_gaps(start: np.ndarray, wander: np.ndarray) -> None:
    """In numbers what the picture shows; stops the demo if the gaps are not there."""
    print("3. How far the 50-year average of an orbit's size wanders, against its neighbours")
    for name, place in plot.GAPS.items():
        print(f"  Jupiter's {name} resonance at {place:.3f} AU: "
              f"{plot.contrast(start, wander, place):5.1f} times as far")
    for name in ("3:1", "5:2"):
        if plot.contrast(start, wander, plot.GAPS[name]) < 3:
            raise SystemExit(f"The resonance {name} does not stand out: see the plot.")


def report(fleet: Fleet, folder: Path, tasks: int, seconds: float, spent: float,
           task_id: str) -> None:
    """What was done, and how to look around in it."""
    rate = tasks / spent
    steps = rate * PARTICLES * YEARS / belt.STEP
    names = ", ".join(f"the {process.name}" for process in fleet.processes)
    logs = ", ".join(str(process.log) for process in fleet.processes)
    print(f"""
Done in {seconds:.0f} s: {tasks + 1} remote tasks; nothing was lost by kill -9 of {names}.
The sweep ran {rate:.1f} tasks a second: {steps / 1e6:.2f} million steps of a particle a second.

  the picture  {folder / "resonances.png"}
  the data     {folder / "data"}
  the logs     {logs}

Look around in what it has stored:
  {fleet.executable} serve --data {folder / "data"} &
  curl -s http://127.0.0.1:8000/v1/stats
  curl -s http://127.0.0.1:8000/v1/tasks/{task_id}
  curl -s http://127.0.0.1:8000/v1/tasks/{task_id}/result""")


def run(fleet: Fleet, folder: Path, tasks: int) -> None:
    """Starts the processes, does the work, draws the picture; they are stopped in any case."""
    began = time.monotonic()
    with fleet:
        print(f"   Ready after {time.monotonic() - began:.2f} s: {fleet.server.url}")
        far = Executor(url=fleet.server.url, label="demo")
        try:
            fleet.introduce(far.client)
            found = follow_planets(far)
            start, wander, spent = sweep(far, fleet, tasks)
        except BaseException:
            far.shutdown(wait=False, cancel_futures=True)
            raise
        far.shutdown()
    report_gaps(start, wander)
    plot.draw(folder / "resonances.png", start, wander, YEARS, found)
    report(fleet, folder, tasks, time.monotonic() - began, spent, found["task_id"])


def task_count(text: str) -> int:
    if not text.isdecimal() or int(text) < TASKS_MIN:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number from {TASKS_MIN} up")
    return int(text)


def leave(number: int, _frame: object) -> None:
    sys.exit(128 + number)  # leaves through `finally`


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--farhand", type=Path, required=True, help="the executable")
    parser.add_argument("--folder", type=Path, required=True, help="where data and picture go")
    parser.add_argument("--fleet", action="store_true",
                        help="a pull and a push worker beside the local pool, each killed once")
    parser.add_argument("--tasks", type=task_count, default=TASKS, help="of the sweep")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, leave)
    try:
        run(Fleet(args.farhand, args.folder, args.fleet), args.folder, args.tasks)
    except KeyboardInterrupt:
        print("\nInterrupted; all that was started is stopped.")
        sys.exit(130)


if __name__ == "__main__":
    main()
