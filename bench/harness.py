"""What the figures share: rows, the peers' harness, a plain HTTP client, the machine itself."""

import base64
import http.client
import json
import os
import pickle
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "bench" / "peers"
SCRATCH = ROOT / "build" / "bench"
sys.path[:0] = [str(ROOT / "demo"), str(ROOT / "python"), str(PEERS)]

from process import Process  # noqa: E402
from server import Server  # noqa: E402

EXECUTABLE = Path(os.environ.get("FARHAND_EXE", ROOT / "build" / "farhand"))
COMPILED = ROOT / "build" / "release" / "bench"
CORES = os.cpu_count() or 1
FOR_WORKERS = ("--local", 0, "--bind", "tcp://127.0.0.1:0")  # no slots of its own


class Row(NamedTuple):
    """One figure: what was measured, what it should be, and what stands beside it."""

    figure: str
    what: str
    value: float
    unit: str
    bar: Optional[float]  # None: printed for comparison only
    at_most: bool = False  # else the bar is a least value
    beside: str = ""

    @property
    def kept(self) -> Optional[bool]:
        if self.bar is None:
            return None
        return self.value <= self.bar if self.at_most else self.value >= self.bar


def peer(module: str, case: str, n: int, workers: int, variant: str = "") -> Dict[str, Any]:
    """Runs one case of a peer in a process of its own; returns its JSON line."""
    command = [sys.executable, str(PEERS / f"{module}.py"), "--case", case, "--n", str(n),
               "--workers", str(workers)]
    if variant:
        command += ["--variant", variant]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True,
                          env={**os.environ, "BENCH_FOLDER": str(SCRATCH)})
    return json.loads(done.stdout)


def median(rows: List[Dict[str, Any]], key: str) -> float:
    return statistics.median(row[key] for row in rows)


def new_server(folder: Path, *options: object) -> Server:
    return Server(EXECUTABLE, folder, "--python", sys.executable, "--path", PEERS, *options)


@contextmanager
def server(*options: object) -> Iterator[Server]:
    """A server that is not started yet, with an empty data folder on a real disk."""
    folder = Path(tempfile.mkdtemp(prefix="serve-", dir=SCRATCH))
    one = new_server(folder, *options)
    try:
        yield one
    finally:
        one.stop()
        shutil.rmtree(folder, ignore_errors=True)


class Worker(Process):
    """One `farhand worker` with real children that dials a server's `--bind`."""

    def __init__(self, one: Server, mode: str, slots: int, name: str = "") -> None:
        super().__init__(f"{mode} worker{name}", mode, EXECUTABLE, one.folder)
        self._server, self._slots = one, slots

    def arguments(self) -> List[object]:
        return ["worker", "-m", self.mode, "-w", self._slots, "--python", sys.executable,
                "--path", PEERS, self._server.workers_url]


class EchoWorkers(Process):
    """Processes that are a worker each, whose slots answer every task at once, without Python."""

    def __init__(self, one: Server, processes: int, slots: int) -> None:
        super().__init__("echo workers", "push", COMPILED / "echo_workers", one.folder)
        self._server, self._processes, self._slots = one, processes, slots

    def arguments(self) -> List[object]:
        return [self._processes, self._slots, self.mode, self._server.workers_url]


@contextmanager
def running(*processes: Process) -> Iterator[None]:
    """Starts them in this order and stops them in the other one, whatever happens."""
    with ExitStack() as stack:
        for process in processes:
            stack.callback(process.stop)
            process.start()
        yield


class Http:
    """One keep-alive connection that speaks JSON and expects success."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(url.split("://", 1)[1].rstrip("/"),
                                                      timeout=120)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """`body`: an object, or JSON that is encoded already."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if body is not None else {}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return json.loads(text)


def pickled(value: Any) -> str:
    return base64.b64encode(pickle.dumps(value)).decode()


def memory_mb(pid: int, field: str = "VmRSS") -> float:
    """Resident memory of one process now, or at its highest (VmHWM), in megabytes of 10^6."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"no {field} of process {pid}")


def syncs_per_second(seconds: float = 1.0) -> float:
    """What the disk can do: small appends, each followed by fdatasync, one after the other."""
    with tempfile.NamedTemporaryFile(dir=SCRATCH) as file:
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            os.write(file.fileno(), b"x" * 4096)
            os.fdatasync(file.fileno())
            count += 1
        return count / (time.perf_counter() - began)


def machine() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{CORES} x {line.split(':', 1)[1].strip()}"
    return f"{CORES} cores"
