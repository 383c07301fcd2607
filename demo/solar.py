"""The demo: a solar system as remote tasks, and a server that is killed half-way.

usage: python demo/solar.py --farhand EXECUTABLE --folder FOLDER   (script/demo calls it)
"""

import argparse
import signal
import sys
import time
from concurrent.futures import as_completed
from pathlib import Path
from typing import List, Tuple

import numpy as np
from farhand import Executor

import belt
import planets
import plot
from server import Server

TASKS = 200
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


def sweep(far: Executor, server: Server) -> Tuple[np.ndarray, np.ndarray, float]:
    """The remote tasks of the belt; half-way the server is killed and started again."""
    print(f"2. {TASKS} tasks: {TASKS * PARTICLES:,} test particles between {INNER} and {OUTER} AU, "
          f"{YEARS:,.0f} years under the Sun and the giants")
    progress = Progress(TASKS)
    width = (OUTER - INNER) / TASKS
    futures = [far.submit(belt.wander, INNER + width * number, width, PARTICLES, YEARS, number)
               for number in range(TASKS)]
    for future in as_completed(futures):
        future.result()
        progress.step()
        if progress.done == TASKS // 2:
            waiting = TASKS - progress.done
            pid = server.kill()
            progress.say(f"  kill -9 {pid}: the server is gone, {waiting} tasks are unfinished")
            seconds = server.start()
            progress.say(f"  started again on the same data, ready after {seconds:.2f} s")
    spent = time.monotonic() - progress.began
    results: List[Tuple[np.ndarray, np.ndarray]] = [future.result() for future in futures]
    ids = {future.task_id for future in futures}
    if len(ids) != TASKS:
        raise SystemExit(f"{TASKS} tasks have {len(ids)} ids")
    print(f"  all {TASKS} results are here, through the same Executor; nothing was lost")
    start = np.concatenate([result[0] for result in results])
    wander = np.concatenate([result[1] for result in results])
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


def report(executable: Path, folder: Path, seconds: float, rate: float, task_id: str) -> None:
    """What was done, and how to look around in it."""
    steps = rate * PARTICLES * YEARS / belt.STEP
    print(f"""
Done in {seconds:.0f} s: {TASKS + 1} remote tasks on a server that was killed once and lost nothing.
The sweep ran {rate:.1f} tasks a second: {steps / 1e6:.2f} million steps of a particle a second.

  the picture       {folder / "resonances.png"}
  the data          {folder / "data"}
  the server's log  {folder / "server.log"}

Look around in what it has stored:
  {executable} serve --data {folder / "data"} &
  curl -s http://127.0.0.1:8000/v1/stats
  curl -s http://127.0.0.1:8000/v1/tasks/{task_id}
  curl -s http://127.0.0.1:8000/v1/tasks/{task_id}/result""")


def run(executable: Path, folder: Path) -> None:
    """Starts the server, does the work, draws the picture; the server is stopped in any case."""
    began = time.monotonic()
    server = Server(executable, folder, "--python", sys.executable,
                    "--path", Path(__file__).resolve().parent)
    seconds = server.start()
    try:
        print(f"   A server with a local pool is ready after {seconds:.2f} s: {server.url}")
        far = Executor(url=server.url, label="demo")
        try:
            found = follow_planets(far)
            start, wander, spent = sweep(far, server)
        except BaseException:
            far.shutdown(wait=False, cancel_futures=True)
            raise
        far.shutdown()
    finally:
        server.stop()
    report_gaps(start, wander)
    plot.draw(folder / "resonances.png", start, wander, YEARS, found)
    report(executable, folder, time.monotonic() - began, TASKS / spent, found["task_id"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--farhand", type=Path, required=True, help="the executable")
    parser.add_argument("--folder", type=Path, required=True, help="where data and picture go")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # leaves through `finally`
    try:
        run(args.farhand, args.folder)
    except KeyboardInterrupt:
        print("\nInterrupted; the server is stopped.")
        sys.exit(130)


if __name__ == "__main__":
    main()
