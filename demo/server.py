"""A farhand server in a folder of its own: start it, kill it without mercy, start it again.

The demo and the bench start theirs with it.
"""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Optional


class Server:
    """One `farhand serve` on a free port of this machine; `options` are further flags of it."""

    def __init__(self, executable: Path, folder: Path, *options: object) -> None:
        self.folder = folder
        self.options = options
        self.url = ""
        self._executable = executable
        self._listen = "127.0.0.1:0"  # the first start picks a port, the next ones keep it
        self._process: Optional["subprocess.Popen[str]"] = None

    @property
    def pid(self) -> int:
        return self._process.pid

    def start(self) -> float:
        """Starts the server; returns the seconds until it said that it is ready."""
        began = time.monotonic()
        command = [self._executable, "serve", "--listen", self._listen,
                   "--data", self.folder / "data", *self.options]
        with open(self.folder / "server.log", "a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                [str(word) for word in command], stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=log, text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True)  # Ctrl-C is for whoever started us, and stops it in order
        line = self._process.stdout.readline().split()
        if len(line) < 2 or line[0] != "ready":
            self._process.wait()
            raise RuntimeError(f"the server did not start; {self.folder / 'server.log'} says why")
        self.url = line[1]
        self._listen = self.url.split("://", 1)[1].rstrip("/")
        return time.monotonic() - began

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
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._reap()

    def _reap(self) -> None:
        self._process.wait()
        self._process.stdout.close()
        self._process = None
