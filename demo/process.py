"""A farhand process that can be started, killed without mercy and started again.

It ends with whoever started it, whatever ends that: the kernel sends it SIGTERM then.
"""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, List, Optional, Tuple

STOP_WITHIN_S = 20.0  # twice the grace of running tasks
# Followed by our pid and a command: the kernel ends it when we end. If we have ended before the
# kernel was asked for that, it is not even begun.
_WITH_US = ["setpriv", "--pdeathsig", "TERM", "sh", "-c", '[ "$PPID" = "$0" ] && exec "$@"']
_WHERE = "FARHAND_DEMO_WHERE"


def telling_where(function: Callable[..., Any], *args: object) -> Tuple[str, int, Any]:
    """Runs as a remote task: the result, and before it in which process, of which start."""
    where, _, start = os.environ[_WHERE].rpartition(" ")
    return where, int(start), function(*args)


class Process:
    """One process of the executable. `name` is what people read of it and its log is called;
    `mode` is what tasks that run in it tell: local, pull or push, as in `GET /v1/workers`."""

    def __init__(self, name: str, mode: str, executable: Path, folder: Path) -> None:
        self.name, self.mode, self.folder = name, mode, folder
        self.log = folder / f"{name.replace(' ', '-')}.log"
        self.starts = 0
        self._executable = executable
        self._process: Optional["subprocess.Popen[str]"] = None

    def arguments(self) -> List[object]:
        """What follows the name of the executable at the next start."""
        raise NotImplementedError

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> float:
        """Starts it; returns the seconds until it said that it is ready."""
        began = time.monotonic()
        self.starts += 1
        command = [*_WITH_US, os.getpid(), self._executable, *self.arguments()]
        with open(self.log, "a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log, text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1", _WHERE: f"{self.mode} {self.starts}"},
                start_new_session=True)  # Ctrl-C is for whoever started us, and stops it in order
        line = self._process.stdout.readline().split()
        if len(line) < 2 or line[0] != "ready":
            self._reap()
            raise RuntimeError(f"the {self.name} did not start; {self.log} says why")
        self.is_ready(line[1:])
        return time.monotonic() - began

    def is_ready(self, addresses: List[str]) -> None:
        """Called at each start with the addresses of the ready line."""

    def kill(self) -> int:
        """kill -9; returns the process id that is no more."""
        pid = self._process.pid
        self._process.kill()
        self._reap()
        return pid

    def stop(self) -> None:
        """SIGTERM: running tasks may end, queued ones stay stored. Harmless when it is not up."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            pass
        finally:  # a second interrupt ends it at once
            self._process.kill()
            self._reap()

    def _reap(self) -> None:
        self._process.wait()
        self._process.stdout.close()
        self._process = None
