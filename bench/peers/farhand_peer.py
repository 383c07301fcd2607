"""Farhand itself through the harness of the peers: one server, a local pool, the Python SDK."""
import os
import sys
from pathlib import Path

import common
import tasks

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "demo"), str(ROOT / "python")]

from farhand import Executor  # noqa: E402
from server import Server  # noqa: E402


class Farhand(common.Peer):
    name = "farhand"
    n = {"throughput": 20000, "latency": 2000}

    def start(self):
        self.process = Server(Path(os.environ.get("FARHAND_EXE", ROOT / "build" / "farhand")),
                              Path(self.tmp), "--local", self.workers, "--python", sys.executable,
                              "--path", common.HERE)
        self.log = os.path.join(self.tmp, "server.log")
        self.process.start()
        self.server.append(self.process.pid)
        self.worker_roots.append(self.process.pid)
        self.executor = Executor(url=self.process.url)
        self.notes = "durable: SQLite, one fsync a group; loop of submit, then result() of each"

    def batch(self, kind, args):
        fn = getattr(tasks, kind)
        futures = [self.executor.submit(fn, a) for a in args]
        return [f.result() for f in futures]

    def one(self, kind, arg):
        return self.executor.submit(getattr(tasks, kind), arg).result()

    def stop(self):
        if hasattr(self, "executor"):
            self.executor.shutdown()
        if hasattr(self, "process"):
            self.process.stop()


if __name__ == "__main__":
    common.main(Farhand)
