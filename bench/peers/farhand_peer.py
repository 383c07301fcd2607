"""Farhand itself through the harness of the peers: one server, the Python SDK, and the slots in a
pool of the server's, or (push, pull) in a worker that dials it over TCP."""
import sys
from pathlib import Path

import common
import tasks

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import harness  # noqa: E402
from farhand import Executor  # noqa: E402


class Farhand(common.Peer):
    name = "farhand"
    variants = ("", "push", "pull")
    n = {"throughput": 20000, "latency": 2000}

    def start(self):
        slots = harness.FOR_WORKERS if self.variant else ("--local", self.workers)
        self.process = harness.new_server(Path(self.tmp), *slots)
        self.processes = [self.process]
        if self.variant:
            self.processes.append(harness.Worker(self.process, self.variant, self.workers))
        self.log = str(self.process.log)
        for process in self.processes:
            process.start()
        self.server.append(self.process.pid)
        self.worker_roots += [process.pid for process in self.processes]
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
        for process in reversed(getattr(self, "processes", [])):
            process.stop()


if __name__ == "__main__":
    common.main(Farhand)
