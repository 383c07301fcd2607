"""A farhand server of the demo's own: start it, kill it without mercy, start it again."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Optional


class Server:
    """One `farhand serve` on a free port of this machine, with its data in a folder."""

    def __init__(self, executable: Path, folder: Path, module_path: Path) -> None:
        self.executable, self.folder, self.module_path = executable, folder, module_path
        self.url = ""
        self._listen = "127.0.0.1:0"  # the first start picks a port, the next ones keep it
        self._process: Optional["subprocess.Popen[str]"] = None

    def start(self) -> float:
        """Starts the server; returns the seconds until it said that it is ready."""
        began = time.monotonic()
        command = [str(self.executable), "serve", "--listen", self._listen,
                   "--data", str(self.folder / "data"), "--python", sys.executable,
                   "--path", str(self.module_path)]
        with open(self.folder / "server.log", "a", encoding="utf-8") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                start_new_session=True)  # Ctrl-C is for the demo, which then stops the server
        line = self._process.stdout.readline().split()
        if len(line) < 2 or line[0] != "ready":
            self._process.wait()
            raise RuntimeError(f"the server did not start; {self.folder / 'server.log'} says why")
        self.url = line[1]
        self._listen = self.url.split("://", 1)[1].rstrip("/")
        return time.monotonic() - began

    def kill(self) -> int:
        """kill -9; returns the process id that is no more."""
        process = self._process
        process.kill()
        process.wait()
        process.stdout.close()
        self._process = None
        return process.pid

    def stop(self) -> None:
        """SIGTERM: running tasks may end, queued ones stay stored. Harmless when it is not up."""
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
        self._process = None
