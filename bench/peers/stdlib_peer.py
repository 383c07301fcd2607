"""concurrent.futures.ProcessPoolExecutor and multiprocessing.Pool: no server, no durability."""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import psutil

import common
import tasks


class Stdlib(common.Peer):
    name = "stdlib"
    variants = ("submit", "executor", "executor-chunk64", "mp-pool")
    n = {"throughput": 40000, "latency": 5000}

    def __init__(self, *a):
        super().__init__(*a)
        if self.variant in ("executor-chunk64", "mp-pool"):
            self.n = {"throughput": 2000000, "latency": 5000}

    def start(self):
        if self.variant == "mp-pool":
            self.pool = multiprocessing.get_context("fork").Pool(self.workers)
            self.notes = "Pool.map, its own chunking"
        else:
            self.pool = ProcessPoolExecutor(self.workers)
            self.chunk = 64 if "chunk" in self.variant else 1
            call = "submit" if self.variant == "submit" else f"map chunksize={self.chunk}"
            self.notes = f"executor.{call}; client is the server"
            list(self.pool.map(tasks.nap, range(2 * self.workers)))
        self.worker_roots = [c.pid for c in psutil.Process().children()]

    def batch(self, kind, args):
        fn = getattr(tasks, kind)
        if self.variant == "mp-pool":
            return self.pool.map(fn, args, None if self.case == "throughput" else 1)
        if self.variant == "submit":
            futures = [self.pool.submit(fn, a) for a in args]
            return [f.result() for f in futures]
        chunk = self.chunk if self.case == "throughput" else 1
        return list(self.pool.map(fn, args, chunksize=chunk))

    def one(self, kind, arg):
        fn = getattr(tasks, kind)
        if self.variant == "mp-pool":
            return self.pool.apply_async(fn, (arg,)).get()
        return self.pool.submit(fn, arg).result()

    def stop(self):
        if self.variant == "mp-pool":
            self.pool.terminate()
            self.pool.join()
        else:
            self.pool.shutdown()


if __name__ == "__main__":
    common.main(Stdlib)
