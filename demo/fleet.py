"""What runs the demo's tasks: a server with a local pool, alone or beside a pull and a push worker.

Each is a process of its own, and each can be killed with -9 and started again while tasks run.
"""

import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, List

from farhand import Client

from process import Process
from server import Server

PYTHON = ["--python", sys.executable, "--path", Path(__file__).resolve().parent]
BUSY_WITHIN_S = 5.0


class Worker(Process):
    """One `farhand worker` with one slot that dials a server's `--bind`."""

    def __init__(self, mode: str, executable: Path, folder: Path, server: Server) -> None:
        super().__init__(f"{mode} worker", mode, executable, folder)
        self._server = server

    def arguments(self) -> List[object]:
        return ["worker", "-m", self.mode, "-w", 1, *PYTHON, self._server.workers_url]


class Fleet:
    """All processes of a demo: starts them on entry, stops them at exit whatever happened.

    `processes` are in the order of their starts, the server first.
    """

    def __init__(self, executable: Path, folder: Path, workers: bool) -> None:
        self.executable = executable
        options = ["--local", 1, "--bind", "tcp://127.0.0.1:0"] if workers else []
        self.server = Server(executable, folder, *PYTHON, *options)
        self.processes: List[Process] = [self.server]
        if workers:
            self.processes += [Worker(mode, executable, folder, self.server)
                               for mode in ("pull", "push")]
        self._stack = ExitStack()

    def __enter__(self) -> "Fleet":
        with ExitStack() as stack:
            for process in self.processes:
                stack.callback(process.stop)  # before it starts: an interrupt may come in between
                process.start()
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def introduce(self, client: Client) -> None:
        """Prints the workers as the server sees them."""
        for worker in self._listed(client):
            slots = worker["slots"]
            print(f"   {worker['mode']:5} {slots} slot{'s' * (slots != 1)}, {worker['runtime']}, "
                  f"{worker['state']}")

    def await_busy(self, process: Process, client: Client) -> None:
        """Waits until a task runs in the process; not for ever, as there may be none left."""
        deadline = time.monotonic() + BUSY_WITHIN_S
        while time.monotonic() < deadline and not any(
                worker["slots_busy"] for worker in self._listed(client)
                if worker["mode"] == process.mode):
            time.sleep(0.01)

    @staticmethod
    def _listed(client: Client) -> List[Dict[str, Any]]:
        return client.call("GET", "/v1/workers")["items"]
