"""A storm over workers and their server: faults of the ways between them, stops and kills of either
side, one after the other and several at a time."""

import heapq
import itertools
import random
import signal
import threading
import time
from typing import Callable, List, Tuple

from checker import History
from fault_proxy import DOWN, FIN, RST, UP
from harness import Program, Server
from trial import Lane


class Storm:
    """Each fault begins at a random instant and ends some time later, so that many meet. `history`
    counts them: of a task, none of them can cost more than one attempt."""

    def __init__(self, server: Server, lanes: List[Lane], history: History, seed: str) -> None:
        self.server, self.lanes, self.history = server, lanes, history
        self.random = random.Random(seed)
        self.begun: List[str] = []
        self._ends: List[Tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()
        self._tick = threading.Event()

    def blow(self, faults: int) -> None:
        """Afterwards all is as good as before, and all programs run."""
        for _ in range(faults):
            self._pass_until(time.monotonic() + self.random.expovariate(1 / 0.3))
            self._begin()
        while self._ends:
            self._pass_until(self._ends[0][0])

    def _pass_until(self, at: float) -> None:
        while self._ends and self._ends[0][0] <= at:
            due, _, over = heapq.heappop(self._ends)
            self._tick.wait(max(0, due - time.monotonic()))
            over()
        self._tick.wait(max(0, at - time.monotonic()))

    def _begin(self) -> None:
        lane, dice = self.random.choice(self.lanes), self.random
        # One in six lasts longer than both sides' patience.
        lasts_s = 5 + dice.random() if dice.random() < 1 / 6 else dice.random()
        what = dice.choices((self._way, self._stop_worker, self._kill_worker, self._stop_server,
                             self._kill_server), (12, 2, 2, 1, 1))[0]
        over = what(lane, lasts_s)
        heapq.heappush(self._ends, (time.monotonic() + lasts_s, next(self._numbers), over))

    # -- faults: each begins now and returns how it is ended

    def _way(self, lane: Lane, lasts_s: float) -> Callable[[], None]:
        dice, proxy = self.random, lane.way
        ways = dice.choice(((UP,), (DOWN,), (UP, DOWN)))
        how = dice.choice((RST, FIN))
        faults = {
            "slow": lambda: proxy.delay(0, dice.random() / 2, *ways),
            "stalled": lambda: proxy.stall(*ways),
            "dropped": lambda: proxy.drop(*ways),
            "cut": lambda: proxy.cut(how),
            "cut at": lambda: proxy.cut_at(dice.choice((1, 100, 3000)), ways[0], how),
            "half open": lambda: proxy.half_open(ways[0], how),
            "black hole": lambda: (proxy.black_hole(), proxy.cut(how)),
            "refused": lambda: (proxy.refuse(), proxy.cut(how)),
        }
        name = dice.choice(list(faults))
        self._note(name, lane.worker, lasts_s)
        faults[name]()
        return proxy.heal

    def _stop_worker(self, lane: Lane, lasts_s: float) -> Callable[[], None]:
        return self._stop(lane.worker, lasts_s)

    def _stop_server(self, lane: Lane, lasts_s: float) -> Callable[[], None]:
        return self._stop(self.server, lasts_s)

    def _stop(self, program: Program, lasts_s: float) -> Callable[[], None]:
        self._note("stopped", program, lasts_s)
        program.signal(signal.SIGSTOP)
        return lambda: program.signal(signal.SIGCONT)

    def _kill_worker(self, lane: Lane, lasts_s: float) -> Callable[[], None]:
        self._note("killed", lane.worker, lasts_s)
        lane.worker.kill9()
        lane.worker.launch()
        return lambda: None

    def _kill_server(self, lane: Lane, lasts_s: float) -> Callable[[], None]:
        self._note("killed", self.server, lasts_s)
        self.history.kills += 1
        self.server.restart()
        return lambda: None

    def _note(self, name: str, program: Program, lasts_s: float) -> None:
        self.begun.append(f"{name}: {program.folder.name}, {lasts_s:.1f} s")
        self.history.losses += program is not self.server or name == "stopped"
