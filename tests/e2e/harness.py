"""Farhand as real processes: servers and workers that can be killed and started again, and a small
client.

    FARHAND_EXE           the executable (default: build/farhand of this checkout)
    FARHAND_TEST_PYTHONS  the Pythons that run functions, separated by spaces (default: this one)
    FARHAND_PATIENCE      seconds after which a condition counts as never coming (default 60)

Every process has its own folder, log and a mark in its environment, by which all processes
that descend from it are found, whatever they did to hide. The client speaks plain HTTP and knows
nothing of the SDK. Functions travel by reference: `functions/workload.py` is on the import path of
every server, so that any Python can run them; what must travel by value says so.
"""

import base64
import contextlib
import http.client
import json
import os
import pickle
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import (
    Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple, TypeVar,
)

from machine import Port, marked, name_of

HERE = Path(__file__).resolve().parent
EXE = os.environ.get("FARHAND_EXE") or str(HERE.parents[1] / "build" / "farhand")
PYTHONS = os.environ.get("FARHAND_TEST_PYTHONS", sys.executable).split()
PATIENCE_S = float(os.environ.get("FARHAND_PATIENCE", "60"))
FUNCTIONS = HERE / "functions"
FINAL = ("COMPLETED", "FAILED", "CANCELLED")

Self = TypeVar("Self", bound="Program")

sys.path.insert(0, str(FUNCTIONS))


def wait_until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """Asks again and again until the answer is true, and returns it: less and less often, as each
    question costs the machine something."""
    deadline, pause_s = time.monotonic() + patience_s, 0.005
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"in {patience_s:g} s it did not come true that {what}")
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.2, 0.05)


def lines_of(path: Path) -> List[str]:
    """What functions have noted in the file, which may not be there yet."""
    return path.read_text().splitlines() if path.exists() else []


# ---- pickles --------------------------------------------------------------------------------


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def pickled(thing: Any) -> str:
    return b64(pickle.dumps(thing, 4))


def call(*args: Any, **kwargs: Any) -> str:
    """The payload of a task."""
    return pickled((args, kwargs))


def by_value(function: Callable, serializer: str = "cloudpickle") -> str:
    """A function of a test itself; needs the serialiser on both sides and equal Pythons."""
    module = __import__(serializer)
    kept, function.__module__ = function.__module__, "__main__"
    try:
        # dill would take all globals of the test's module along.
        options = {"recurse": True} if serializer == "dill" else {}
        return b64(module.dumps(function, **options))
    finally:
        function.__module__ = kept


# ---- the client -----------------------------------------------------------------------------


class Answer(NamedTuple):
    status: int
    headers: Dict[str, str]  # lower-case names
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> Optional[str]:
        return self.json.get("code")

    def __str__(self) -> str:
        return f"{self.status} {self.body[:300]!r}"


class Refused(AssertionError):
    """An answer that is not 2xx where one was needed."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(str(answer))
        self.answer = answer


class Outcome(NamedTuple):
    """A final task, with its result unpickled."""

    state: str
    reason: Optional[str]
    value: Any  # or the exception
    error: Optional[Dict[str, str]]


def outcome_in(answer: Dict[str, Any]) -> Outcome:
    """In a task object with its result."""
    data = answer["result"]
    value = pickle.loads(base64.b64decode(data)) if data is not None else None
    return Outcome(answer["state"], answer["reason"], value, answer["error"])


BROKEN = (OSError, http.client.HTTPException)
Dial = Callable[..., socket.socket]  # as socket.create_connection(address, timeout)


class Connection(http.client.HTTPConnection):
    """Is made in a way of its own: the server may be in another network."""

    def __init__(self, dial: Dial, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._dial = dial

    def connect(self) -> None:
        self.sock = self._dial((self.host, self.port), self.timeout)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class Client:
    """One keep-alive connection. A request whose connection breaks raises one of BROKEN, as nobody
    can know what became of it; the next request connects again."""

    def __init__(self, port: int, timeout_s: float = PATIENCE_S,
                 dial: Dial = socket.create_connection) -> None:
        self._connection = Connection(dial, "127.0.0.1", port, timeout=timeout_s)

    def ask(self, method: str, path: str, body: Any = None,
            headers: Optional[Dict[str, str]] = None) -> Answer:
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            data = response.read()
        except BROKEN:
            self._connection.close()
            raise
        return Answer(response.status, {k.lower(): v for k, v in response.getheaders()}, data)

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, None, headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", path, body, named)

    def delete(self, path: str, body: Any = None) -> Answer:
        return self.ask("DELETE", path, body)

    def close(self) -> None:
        self._connection.close()

    # -- what most tests want, with any answer but 2xx being a failure

    def good(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        answer = self.ask(method, path, body, named)
        if answer.status // 100 != 2:
            raise Refused(answer)
        return answer.json

    def register(self, function: Any, **fields: Any) -> str:
        """A function by reference, or a payload that is pickled already (text)."""
        payload = function if isinstance(function, str) else pickled(function)
        name = fields.pop("name", getattr(function, "__name__", "function"))
        body = {"name": name, "payload": payload, "serializer": "pickle", **fields}
        return self.good("POST", "/v1/functions", body)["function_id"]

    def submit(self, function_id: str, *args: Any, **options: Any) -> str:
        body = {"function_id": function_id, "payload": call(*args), **options}
        return self.good("POST", "/v1/tasks", body)["id"]

    def submit_bytes(self, function_id: str, *args: Any) -> str:
        """The same as raw bytes, which may be larger."""
        answer = self.ask("POST", f"/v1/tasks?function_id={function_id}", pickle.dumps((args, {})),
                          {"Content-Type": "application/octet-stream"})
        if answer.status != 201:
            raise Refused(answer)
        return answer.json["id"]

    def batch(self, function_id: str, calls: Iterable[Sequence[Any]],
              **fields: Any) -> Tuple[str, List[str]]:
        """(group, ids of the tasks)"""
        body = {"function_id": function_id, "tasks": [{"payload": call(*args)} for args in calls],
                **fields}
        answer = self.good("POST", "/v1/tasks:batch", body)
        return answer["group_id"], [task["id"] for task in answer["tasks"]]

    def task(self, task_id: str) -> Dict[str, Any]:
        return self.good("GET", f"/v1/tasks/{task_id}")

    def stats(self) -> Dict[str, Any]:
        return self.good("GET", "/v1/stats")

    def counts(self) -> Dict[str, int]:
        """Tasks in each state."""
        return self.stats()["tasks"]

    def state(self, task_id: str) -> str:
        return self.task(task_id)["state"]

    def finished(self, task_id: str) -> Dict[str, Any]:
        """The task, once it is final."""
        def final() -> Optional[Dict[str, Any]]:
            task = self.good("GET", f"/v1/tasks/{task_id}?wait=30")
            return task if task["state"] in FINAL else None
        return wait_until(final, f"task {task_id} is final")

    def started(self, task_id: str) -> Dict[str, Any]:
        """The task, once a child has begun it."""
        def begun() -> Optional[Dict[str, Any]]:
            task = self.good("GET", f"/v1/tasks/{task_id}?wait=30&for=started")
            return task if task["state"] != "QUEUED" else None
        return wait_until(begun, f"task {task_id} has started")

    def outcome(self, task_id: str) -> Outcome:
        """How the task ended."""
        self.finished(task_id)
        return outcome_in(self.good("GET", f"/v1/tasks/{task_id}/result"))

    def outcomes(self, ids: Iterable[str]) -> Dict[str, Outcome]:
        """How each of at most 10,000 tasks ended, in a few requests."""
        ends: Dict[str, Outcome] = {}
        left = set(ids)
        deadline = time.monotonic() + PATIENCE_S
        while left:
            assert time.monotonic() < deadline, f"{len(left)} tasks are still pending"
            page = self.good("POST", "/v1/tasks:wait", {"ids": sorted(left), "wait_s": 10,
                                                        "mode": "all", "include_results": True})
            ends.update((task["id"], outcome_in(task)) for task in page["done"])
            left -= set(ends)
        return ends

    def value(self, task_id: str) -> Any:
        """The value of a task that must have succeeded."""
        outcome = self.outcome(task_id)
        assert outcome.state == "COMPLETED", f"task {task_id}: {outcome}"
        return outcome.value

    def run(self, function_id: str, *args: Any, **options: Any) -> Any:
        return self.value(self.submit(function_id, *args, **options))

    def collect(self, group_id: str) -> List[Dict[str, Any]]:
        """All tasks of a group in the order of finishing, by cursor, once none is pending."""
        done: List[Dict[str, Any]] = []
        cursor: Dict[str, Any] = {}
        deadline = time.monotonic() + PATIENCE_S
        while True:
            page = self.good("POST", "/v1/tasks:wait",
                             {"group_id": group_id, "wait_s": 10, "mode": "any", **cursor})
            done += page["done"]
            cursor = {"since_cursor": page["cursor"]}
            if not page["done"] and not page["pending_count"]:
                return done
            assert time.monotonic() < deadline, f"{page['pending_count']} tasks are still pending"


# ---- processes ------------------------------------------------------------------------------


class StartFailed(AssertionError):
    def __init__(self, status: Optional[int], log: str) -> None:
        super().__init__(f"it did not start (status {status}): {log}")
        self.status, self.log = status, log


def run_farhand(*args: str, env: Optional[Dict[str, str]] = None,
                cwd: Optional[Path] = None) -> "subprocess.CompletedProcess[str]":
    """A command that is expected to end by itself."""
    return subprocess.run([EXE, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, timeout=PATIENCE_S, cwd=cwd,
                          env={**os.environ, **(env or {})})


# What a program says that has noticed its own mistake.
ALARM = re.compile(r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|assert", re.I)


class Program:
    """A process of Farhand with a folder and a log of its own. `wrapper` is a command that runs it;
    `before` runs in the new process before it."""

    what = "program"

    def __init__(self, folder: Path, args: Sequence[str], env: Optional[Dict[str, str]] = None,
                 cwd: Optional[Path] = None, wrapper: Sequence[str] = (),
                 before: Optional[Callable[[], None]] = None) -> None:
        self.folder, self.log_file = folder, folder / f"{self.what}.log"
        self.cwd = cwd or folder / "cwd"
        self.cwd.mkdir(exist_ok=True)
        self.args, self.wrapper, self.before = list(args), wrapper, before
        self.mark = f"FARHAND_E2E_MARK={uuid.uuid4().hex}"
        self.env = {**os.environ, **(env or {})}
        self.env.update([self.mark.split("=")])
        self.process: Optional["subprocess.Popen[bytes]"] = None

    # -- life

    def start(self: Self) -> Self:
        self.launch()
        self.await_ready()
        return self

    def launch(self) -> None:
        """Starts the process and waits for nothing."""
        assert self.process is None
        with open(self.log_file, "ab") as log:
            self.process = subprocess.Popen(
                [*self.wrapper, EXE, *self.args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=log, cwd=self.cwd, env=self.env, preexec_fn=self.before)

    def await_ready(self) -> str:
        """What it says on its standard output by then; StartFailed if it ends instead."""
        process, said = self.process, b""
        deadline = time.monotonic() + PATIENCE_S
        while not said.endswith(b"\n"):
            left_s = max(0, deadline - time.monotonic())
            if not select.select([process.stdout], [], [], left_s)[0]:
                raise AssertionError(f"the {self.what} never said that it is ready")
            data = os.read(process.stdout.fileno(), 4096)
            if not data:
                status = process.wait(PATIENCE_S)
                self._ended()
                raise StartFailed(status, self.log)
            said += data
        return said.decode()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        """The status of a process that is ending."""
        status = self.process.wait(PATIENCE_S)
        self._ended()
        return status

    def stop(self) -> int:
        """An orderly stop; its status. Nothing of it may be left."""
        self.signal(signal.SIGTERM)
        status = self.wait()
        self.assert_nothing_left()
        return status

    def kill9(self) -> None:
        self.process.kill()
        self.wait()
        self.assert_nothing_left()

    def _ended(self) -> None:
        self.process.stdout.close()
        self.process = None

    # -- looking

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def processes(self) -> List[int]:
        """The process and all that descends from it, tracers and wrappers apart."""
        return [pid for pid in marked(self.mark) if name_of(pid) not in ("strace", "setarch")]

    def template(self) -> int:
        """The Python process that all children are forked from."""
        return wait_until(lambda: self._named("farhand-python"), "the template is there")[0]

    def children(self) -> List[int]:
        """The Python processes that run functions."""
        return self._named("farhand-runner")

    def _named(self, name: str) -> List[int]:
        return [pid for pid in self.processes() if name_of(pid) == name]

    def rss(self) -> int:
        """Bytes of memory that the process itself occupies."""
        with open(f"/proc/{self.process.pid}/statm") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def peak_rss(self) -> int:
        """The most that it has occupied so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) << 10

    def assert_nothing_left(self) -> None:
        wait_until(lambda: not self.processes(),
                   f"nothing of the {self.what} is left (there is {self._remains()})")

    def _remains(self) -> str:
        return ", ".join(f"{pid} {name_of(pid)}" for pid in self.processes()) or "nothing"

    def assert_sane(self) -> None:
        """It has not complained about itself."""
        found = ALARM.search(self.log)
        assert not found, (
            f"the {self.what} noticed a mistake of its own: {self.log[found.start():]}")

    # -- the end

    def dispose(self) -> None:
        """Ends whatever is left, in whatever state it is."""
        for pid in marked(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if self.process:
            self.process.wait(PATIENCE_S)
            self._ended()


class Server(Program):
    """`farhand serve`. `args` are further flags; with `bind` workers can dial in at `url`."""

    what = "server"

    def __init__(self, folder: Path, *args: str, slots: int = 2, python: str = PYTHONS[0],
                 bind: bool = False, dial: Dial = socket.create_connection,
                 **options: Any) -> None:
        self.data, self._dial = folder / "data", dial
        self.port, self.door = Port(), Port() if bind else None
        self._client: Optional[Client] = None
        door = ["--bind", self.url] if bind else []
        super().__init__(folder, [
            "serve", "--listen", f"127.0.0.1:{self.port.number}", "--data", str(self.data),
            "--local", str(slots), "--python", python, "--path", str(FUNCTIONS), *door, *args,
        ], **options)

    def restart(self) -> None:
        """kill -9 and a new start on the same data and ports."""
        self.kill9()
        self.start()

    def _ended(self) -> None:
        super()._ended()
        if self._client:
            self._client.close()
            self._client = None

    @property
    def url(self) -> str:
        """Where workers dial in."""
        return f"tcp://127.0.0.1:{self.door.number}"

    @property
    def client(self) -> Client:
        """A connection for the thread of the test; others make their own."""
        if not self._client:
            self._client = self.connect()
        return self._client

    def connect(self, timeout_s: float = PATIENCE_S) -> Client:
        return Client(self.port.number, timeout_s, self._dial)

    def dispose(self) -> None:
        super().dispose()
        self.port.release()
        if self.door:
            self.door.release()
        shutil.rmtree(self.data, ignore_errors=True)


class Worker(Program):
    """`farhand worker` for the dispatcher at `url`. `args` are further flags."""

    what = "worker"

    def __init__(self, folder: Path, url: str, *args: str, mode: str = "push", slots: int = 2,
                 python: str = PYTHONS[0], **options: Any) -> None:
        super().__init__(folder, [
            "worker", "-m", mode, "-w", str(slots), "--python", python, "--path", str(FUNCTIONS),
            *args, url,
        ], **options)
