"""Shared harness of the peer benchmarks: one command line, one JSON line.

A peer subclasses Peer and gives start(), batch(kind, args) and one(kind, arg);
`kind` names a function of tasks.py.  main(PeerClass) starts it on free
loopback ports in a temporary directory, warms it up, times one case, compares
every result with the expected value, prints the line and tears all down.

Cases: throughput (n no-ops in a batch), latency (n no-ops one after the
other), sleep (n naps), payload (n tasks taking and returning 1 MB).
mb_per_s counts the megabytes in plus the megabytes out.
cpu_s is the CPU time of the case by client, server and worker processes; where
the client runs compiled code or is itself the server, see its notes.
rss_mb_server sums the resident memory of the broker/scheduler processes after
the case; rss_mb_workers that of the worker process trees.
BENCH_FOLDER names a folder on a real disk for what a peer stores.
"""
import argparse
import atexit
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import psutil

import tasks

HERE = os.path.dirname(os.path.abspath(__file__))
os.environ["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.environ.get("PATH", "")
MB = 1_000_000
CASES = {"throughput": 5000, "latency": 400, "sleep": 400, "payload": 200}  # and their default n


def until(check, what, timeout=60):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        try:
            if check():
                return
        except OSError:
            pass
        time.sleep(0.02)
    raise TimeoutError(f"{what} not ready within {timeout} s")


class Peer:
    name = "?"
    variants = ("",)          # the first is the default
    n = {}                    # per-case default of --n, over the ones in main
    warm = 200
    notes = ""

    def __init__(self, workers, case, variant):
        self.workers, self.case, self.variant = workers, case, variant
        self.tmp = tempfile.mkdtemp(prefix="peer-", dir=os.environ.get("BENCH_FOLDER"))
        self.log = os.path.join(self.tmp, "log")
        self.procs, self.server, self.worker_roots = [], [], []

    # -- to override -------------------------------------------------------
    def start(self):
        raise NotImplementedError

    def batch(self, kind, args):
        raise NotImplementedError

    def one(self, kind, arg):
        return self.batch(kind, [arg])[0]

    def native(self, n):
        """(seconds, latencies in ms) where a compiled client runs and checks the case."""
        return None

    def stop(self):
        pass

    # -- helpers -----------------------------------------------------------
    def spawn(self, argv, role="server", env=None, log=None):
        out = open(log or self.log, "ab")
        full = dict(os.environ, PYTHONPATH=HERE, **(env or {}))
        proc = subprocess.Popen([str(a) for a in argv], stdin=subprocess.DEVNULL,
                                stdout=out, stderr=subprocess.STDOUT, cwd=self.tmp,
                                env=full, start_new_session=True)
        out.close()
        self.procs.append(proc)
        (self.server if role == "server" else self.worker_roots).append(proc.pid)
        return proc

    def teardown(self):
        try:
            self.stop()
        finally:
            for proc in reversed(self.procs):
                end_tree(proc)
            shutil.rmtree(self.tmp, ignore_errors=True)


def end_tree(proc):
    """Ends a process we started and whatever it left behind, by pid."""
    try:
        tree = psutil.Process(proc.pid).children(recursive=True)
    except psutil.Error:
        tree = []
    if proc.poll() is None:
        proc.terminate()
        try:
            proc.wait(10)
        except subprocess.TimeoutExpired:
            proc.kill()
            proc.wait(10)
    _, alive = psutil.wait_procs(tree, 3)
    for child in alive:
        child.kill()


def rss_mb(pids):
    total = 0
    for pid in pids:
        try:
            total += psutil.Process(pid).memory_info().rss
        except psutil.Error:
            pass
    return round(total / MB, 1)


def tree_of(roots):
    seen = set()
    for pid in roots:
        try:
            p = psutil.Process(pid)
            seen.update([pid], (c.pid for c in p.children(recursive=True)))
        except psutil.Error:
            pass
    return seen


def cpu_s(peer):
    """CPU seconds so far of the client, the server and the worker trees."""
    def spent(pids, children=True):
        total = 0.0
        for pid in pids:
            try:
                t = psutil.Process(pid).cpu_times()
            except psutil.Error:
                continue
            total += t.user + t.system + (t.children_user + t.children_system if children else 0)
        return total

    me = os.getpid()
    mine = psutil.Process(me).cpu_times()
    server = set(peer.server) - {me}
    workers = spent(tree_of(peer.worker_roots) - server)
    return {"client": mine.user + mine.system, "server": spent(server),
            "workers": workers + mine.children_user + mine.children_system}


def quantile(sorted_values, q):
    return sorted_values[min(len(sorted_values) - 1, int(q * len(sorted_values)))]


def blobs(n):
    base = os.urandom(MB - 8)
    return [i.to_bytes(8, "big") + base for i in range(n)]


def expect(got, kind, args):
    want = [a if kind == "nap" else getattr(tasks, kind)(a) for a in args]
    assert len(got) == len(want), f"{len(got)} results for {len(want)} tasks"
    for g, w in zip(got, want):
        assert g == w, f"wrong result: {str(g)[:80]} for {str(w)[:80]}"


def measure_latency(peer, n):
    for i in range(peer.warm // 4 + 1):
        expect([peer.one("inc", i)], "inc", [i])
    args, got, lat = list(range(1000, 1000 + n)), [], []
    cpu = cpu_s(peer)
    t0 = time.perf_counter()
    for a in args:
        t = time.perf_counter()
        got.append(peer.one("inc", a))
        lat.append(1e3 * (time.perf_counter() - t))
    seconds = time.perf_counter() - t0
    after = cpu_s(peer)
    expect(got, "inc", args)
    return seconds, sorted(lat), {k: round(after[k] - cpu[k], 3) for k in after}


def warm_up(peer, case):
    if case == "sleep":          # every worker must be up: warm until it gets no faster
        args, best = list(range(4 * peer.workers)), float("inf")
        for _ in range(12):
            t0 = time.perf_counter()
            expect(peer.batch("nap", args), "nap", args)
            took = time.perf_counter() - t0
            if took > 0.97 * best:
                return
            best = took
            time.sleep(0.5)
    elif case == "payload":
        args = blobs(4)
        expect(peer.batch("rot", args), "rot", args)
    else:
        args = list(range(peer.warm))
        expect(peer.batch("inc", args), "inc", args)


def measure_batch(peer, case, n):
    warm_up(peer, case)
    kind = {"throughput": "inc", "sleep": "nap", "payload": "rot"}[case]
    args = blobs(n) if case == "payload" else list(range(1000, 1000 + n))
    cpu = cpu_s(peer)
    t0 = time.perf_counter()
    got = peer.batch(kind, args)
    seconds = time.perf_counter() - t0
    after = cpu_s(peer)
    expect(got, kind, args)
    return seconds, [], {k: round(after[k] - cpu[k], 3) for k in after}


def measure(peer, case, n):
    measured = peer.native(n)
    if measured:
        return measured[0], sorted(measured[1]), None
    return measure_latency(peer, n) if case == "latency" else measure_batch(peer, case, n)


def row_of(peer, case, n):
    """Starts the peer, measures, and says what was found."""
    load = os.getloadavg()[0]
    t0 = time.perf_counter()
    peer.start()
    ready = time.perf_counter() - t0
    seconds, lat, cpu = measure(peer, case, n)
    workers_rss = tree_of(peer.worker_roots) - set(peer.server)
    row = {
        "peer": peer.name + (f" [{peer.variant}]" if peer.variant else ""),
        "case": case, "n": n, "workers": peer.workers,
        "seconds": round(seconds, 4), "tasks_per_s": round(n / seconds, 1),
        "p50_ms": round(quantile(lat, 0.50), 4) if lat else None,
        "p99_ms": round(quantile(lat, 0.99), 4) if lat else None,
        "rss_mb_server": rss_mb(peer.server), "rss_mb_workers": rss_mb(workers_rss),
        "cpu_s": cpu, "load1": round(load, 2), "start_s": round(ready, 2), "notes": peer.notes,
    }
    if case == "sleep":
        row["efficiency"] = round(n * tasks.NAP / peer.workers / seconds, 3)
    if case == "payload":
        row["mb_per_s"] = round(2 * n / seconds, 1)
    return row


def main(cls):
    ap = argparse.ArgumentParser(description=f"Peer benchmark: {cls.name}")
    ap.add_argument("--case", choices=CASES, required=True)
    ap.add_argument("--n", type=int)
    ap.add_argument("--workers", type=int)
    ap.add_argument("--variant", default=cls.variants[0], choices=cls.variants)
    ap.add_argument("--limit", type=int, default=240, help="seconds before giving up")
    a = ap.parse_args()
    line = os.fdopen(os.dup(1), "w")      # some peers print on stdout; the line stays alone there
    os.dup2(2, 1)
    peer = cls(a.workers or (16 if a.case == "sleep" else 2), a.case, a.variant)
    n = a.n or {**CASES, **peer.n}[a.case]
    done = []

    def teardown():
        if not done:
            done.append(1)
            peer.teardown()

    def give_up(*_):
        raise TimeoutError(f"gave up after {a.limit} s")

    atexit.register(teardown)
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(a.limit)
    try:
        row = row_of(peer, a.case, n)
        signal.alarm(0)
        print(json.dumps(row), file=line, flush=True)
    except BaseException:
        signal.alarm(0)
        if os.path.exists(peer.log):
            with open(peer.log, "rb") as f:
                sys.stderr.write(f.read()[-3000:].decode(errors="replace"))
        raise
    finally:
        teardown()
