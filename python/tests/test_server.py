"""The SDK against a real server; FARHAND_EXE names the executable."""

import concurrent.futures
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import functions_here as here
from farhand import (
    Client,
    Conflict,
    DeserializationError,
    Executor,
    MaxResultSizeExceeded,
    NotFound,
    NoWorker,
    PayloadTooLarge,
    RemoteTraceback,
    SerializationError,
    TaskExpired,
    TaskMemoryError,
    TaskTimeout,
    VersionMismatch,
    WorkerCrashed,
    attach,
)
from farhand.modules import runtime_name
from server_process import Server

EXECUTABLE = os.environ.get("FARHAND_EXE")
TESTS = Path(__file__).resolve().parent
PACKAGE = TESTS.parent

pytestmark = [pytest.mark.server,
              pytest.mark.skipif(not EXECUTABLE, reason="FARHAND_EXE names no executable")]


def start(tmp_path_factory, *args):
    return Server(str(Path(EXECUTABLE).resolve()), tmp_path_factory.mktemp("server"), *args)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Does not have the modules of the tests."""
    server = start(tmp_path_factory)
    yield server
    server.stop()


@pytest.fixture
def own_server(tmp_path_factory):
    """One that a test may kill."""
    server = start(tmp_path_factory)
    yield server
    server.stop()


@pytest.fixture
def remote(server):
    executor = Executor(url=server.url)
    yield executor
    executor.shutdown(cancel_futures=True)


@pytest.fixture
def script(server, tmp_path):
    """Runs a text as a user's script in a folder of its own; what it prints."""
    def run(text, *args):
        path = tmp_path / "script.py"
        path.write_text("import farhand, sys\n" + textwrap.dedent(text))
        done = subprocess.run(
            [sys.executable, str(path), *args], capture_output=True, text=True, timeout=60,
            cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(PACKAGE),
                               "FARHAND_URL": server.url})
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_submit_and_map(remote):
    future = remote.submit(pow, 2, 100)
    assert future.result(30) == 2**100 and future.task["state"] == "COMPLETED"
    assert future.task["group_id"] == future.group_id == remote.task_group_id
    assert list(remote.map(pow, range(500), range(500))) == [n**n for n in range(500)]
    assert list(remote.map(abs, range(500), chunksize=64, buffersize=2)) == list(range(500))
    assert list(concurrent.futures.as_completed([future], 1)) == [future]
    assert remote._max_workers == 2


def test_the_original_exception(remote):
    future = remote.submit(here.trouble, "one")
    error = future.exception(30)
    assert type(error) is here.Trouble and error.one == "one"
    assert isinstance(error.__cause__, RemoteTraceback)
    assert "in trouble" in future.traceback_text
    if sys.version_info >= (3, 11):
        assert error.__notes__ == [f"in task {future.task_id}, attempt 1"]
    assert future.task["reason"] == "exception"
    with pytest.raises(ZeroDivisionError):
        remote.submit(divmod, 1, 0).result(30)


OWN_CLASSES = """
    import collections, dataclasses, enum

    class Point:
        def __init__(self, x): self.x = x
        class Inner: pass

    @dataclasses.dataclass
    class Data:
        n: int

    class Colour(enum.Enum):
        RED = 1

    Pair = collections.namedtuple("Pair", "a b")

    class Oops(Exception):
        def __init__(self, code):
            super().__init__(f"code {code}")
            self.code = code

    def move(point, by):
        assert isinstance(point, Point)
        return Point(point.x + by)

    def same(thing): return thing
    def make(): return Point.Inner()
    def fail(code): raise Oops(code)

    FACTOR = 10
    def closure(n):
        return lambda x: x * n * FACTOR
"""


@pytest.mark.parametrize("serializer", ["auto", "dill"])
def test_classes_of_the_script_go_and_come_back(script, serializer):
    pytest.importorskip("cloudpickle")
    pytest.importorskip("dill")
    out = script(OWN_CLASSES + """
    with farhand.Executor(serializer=sys.argv[1]) as far:
        moved = far.submit(move, Point(1), by=2).result(30)
        assert type(moved) is Point and moved.x == 3, moved
        assert far.submit(same, Data(3)).result(30) == Data(3)
        assert far.submit(same, Pair(1, 2)).result(30) == Pair(1, 2)
        if sys.argv[1] == "auto":  # dill cannot send an enum by value
            assert far.submit(same, Colour.RED).result(30) is Colour.RED
        assert type(far.submit(make).result(30)) is Point.Inner
        assert list(far.map(closure(3), range(4), chunksize=2)) == [0, 30, 60, 90]
        try:
            far.submit(fail, 7).result(30)
        except Oops as error:
            assert error.code == 7 and "raise Oops" in str(error.__cause__)
            print("caught")
    """, serializer)
    assert out == "caught\n"


def test_a_module_beside_the_script(script, tmp_path, server):
    pytest.importorskip("cloudpickle")
    (tmp_path / "beside.py").write_text(
        "import lower\nclass Thing:\n    def __init__(self, n): self.n = n\n"
        "def work(thing):\n    return Thing(lower.double(thing.n))\n")
    (tmp_path / "lower.py").write_text("def double(n):\n    return 2 * n\n")
    text = """
        import beside
        with farhand.Executor(url=sys.argv[1]) as far:
            thing = far.submit(beside.work, beside.Thing(21)).result(30)
            assert type(thing) is beside.Thing, thing
            task = far.client.get_task(far.reload_tasks()[0].task_id)
            function = far.client.call("GET", "/v1/functions/" + task["function_id"])
            print(thing.n, function["serializer"])
    """
    assert script(text, server.url) == "42 cloudpickle\n"


def test_a_module_that_the_server_has(tmp_path_factory):
    server = start(tmp_path_factory, "--path", str(TESTS))
    try:
        with Executor(url=server.url) as far:
            future = far.submit(here.add, 1, c=2)
            assert future.result(30) == 13
            function_id = future.task["function_id"]
            assert far.client.call("GET", f"/v1/functions/{function_id}")["serializer"] == "pickle"
            counter = far.submit(here.Counter, 5).result(30)
            assert type(counter) is here.Counter and far.submit(counter, 2).result(30) == 7
    finally:
        server.stop()


def test_what_is_large(remote):
    for size in (70_000, 1_000_000, 9_000_000):
        data = os.urandom(size)
        assert remote.submit(bytes, data).result(60) == data
    futures = [remote.submit(bytes, bytes([n]) * 1_000_000) for n in range(20)]
    assert [future.result(60)[0] for future in futures] == list(range(20))
    assert isinstance(remote.submit(len, bytes(11 << 20)).exception(60), PayloadTooLarge)
    error = remote.submit(bytes, 11 << 20).exception(60)
    assert isinstance(error, MaxResultSizeExceeded) and error.reason == "result_too_large"


def die(how):
    os.kill(os.getpid(), how) if how else os._exit(3)


def spin(seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass
    return "done"


def grow():
    return len(bytearray(2 << 30))


def test_how_tasks_fail(remote):
    crashed = [remote.submit(die, how) for how in (0, signal.SIGSEGV, signal.SIGKILL)]
    slow = remote.with_options(timeout=0.3).submit(spin, 60)
    big = remote.with_options(mem="300M").submit(grow)
    generator = remote.submit(here.generator)
    opens = remote.submit(here.opens)
    for future in crashed:
        error = future.exception(60)
        assert isinstance(error, WorkerCrashed) and error.task_id == future.task_id
    for future, kind, reason in ((slow, TaskTimeout, "timeout"), (big, TaskMemoryError, "memory"),
                                 (generator, SerializationError, "unserialisable")):
        error = future.exception(60)
        assert type(error) is kind and error.reason == reason
        assert future.task["reason"] == reason
    assert isinstance(opens.exception(60), DeserializationError)
    assert remote.submit(pow, 2, 3).result(30) == 8


def test_a_module_that_is_missing_is_named(remote, tmp_path, monkeypatch):
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "only_here.py").write_text("def f(): pass\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    import only_here
    neighbours = [remote.submit(pow, 2, n) for n in range(5)]
    error = remote.submit(only_here.f).exception(30)
    assert type(error) is NoWorker
    assert "module only_here" in str(error) and "pip install only_here" in str(error)
    error = remote.submit(callable, only_here.f).exception(30)
    assert type(error) is NoWorker and "module only_here" in str(error)
    assert [future.result(30) for future in neighbours] == [1, 2, 4, 8, 16]


def test_what_no_worker_has(remote):
    for option, says, kind in [
        ({"runtime": "cp34"}, rf"no worker has Python 3\.4.*there are {runtime_name()} x 1",
         VersionMismatch),
        ({"labels": {"gpu": None}}, "no worker has label gpu", NoWorker),
        ({"cpus": 1_000_000}, "no worker has 1000000 cores", NoWorker),
        ({"mem": 1 << 50}, "no worker has 1048576 GiB of memory", NoWorker),
    ]:
        with pytest.raises(kind, match=says):
            remote.with_options(**option).submit(pow, 2, 3).result(30)
        with pytest.raises(kind, match=says):
            remote.with_options(**option).submit(len, bytes(100_000)).result(30)
        future = remote.with_options(wait_for_worker=True, **option).submit(pow, 2, 3)
        task = remote.client.get_task(future.task_id)
        assert task["state"] == "QUEUED"
        assert {name: task[name] for name in ("runtime", "resources", "labels")} == {
            "runtime": option.get("runtime"), "labels": option.get("labels", {}),
            "resources": {k: v for k, v in option.items() if k in ("cpus", "mem")}}
        assert future.cancel()


def test_what_a_worker_has(remote):
    fits = remote.with_options(runtime=runtime_name(), cpus=1, mem="1G")
    assert fits.submit(pow, 2, 3).result(30) == 8
    assert fits.submit(lambda: 9).result(30) == 9
    function_id = remote.client.register_function(lambda: 5, runtime="cp34")
    with pytest.raises(VersionMismatch):
        remote.submit_to_registered_function(function_id).result(30)
    assert fits.submit_to_registered_function(function_id).result(30) == 5


def count_to(path, enough):
    with open(path, "a") as file:
        file.write(".")
        file.flush()
    tries = os.path.getsize(path)
    if tries < enough:
        raise OSError(f"try {tries}")
    return tries


def test_retries(remote, tmp_path):
    again = remote.with_options(retries=5, retry_on=OSError, backoff=(0.01, 1, 0.01))
    future = again.submit(count_to, str(tmp_path / "a"), 3)
    assert future.result(30) == 3 and future.task["attempt"] == 3
    other = again.with_options(retry_on=KeyError)
    assert isinstance(other.submit(count_to, str(tmp_path / "b"), 3).exception(30), OSError)
    assert isinstance(again.with_options(retries=1).submit(
        count_to, str(tmp_path / "c"), 9).exception(30), OSError)


def test_options_reach_the_task(remote):
    with_all = remote.with_options(
        tags={"a": "b"}, priority=3, at_most_once=True, mem="1G", timeout=20, delay=0.05)
    for size in (1, 100_000):
        future = with_all.submit(len, bytes(size))
        assert future.result(30) == size
        task = future.task
        assert (task["tags"], task["priority"]) == ({"a": "b"}, 3)
        assert task["resources"] == {"mem": 1 << 30} and task["not_before"] > task["created_at"]


def test_output(remote):
    future = remote.submit(here.say, "hello")
    assert future.result(30) > 0 and future.stdout == "hello\n" and future.stderr == ""
    assert remote.client.logs(future.task_id).stdout == "hello\n"


def wait_for(path):
    while not path.exists():
        pass


def test_cancel(remote, tmp_path):
    end = str(tmp_path / "end")
    running = [remote.submit(here.touch_and_wait, str(tmp_path / name), end) for name in "ab"]
    for name in "ab":
        wait_for(tmp_path / name)
    while not running[0].running():  # it has begun, and the server hears of it in a moment
        pass
    assert not running[0].cancel() and not running[0].done()
    waiting = [remote.submit(abs, n) for n in range(20)]
    assert waiting[5].task_id and waiting[5].cancel() and waiting[5].cancelled()
    expired = remote.with_options(expires_in=0.05).submit(abs, -1)
    assert isinstance(expired.exception(30), TaskExpired)
    assert running[0].cancel(force=True) and running[0].cancelled()
    assert running[1].cancel(force=True)
    assert [f.result(30) for f in waiting if f is not waiting[5]] == [
        n for n in range(20) if n != 5]
    assert waiting[5].task["state"] == "CANCELLED"
    states = remote.client.wait([f.task_id for f in running], mode="all")["done"]
    assert {task["state"] for task in states} == {"CANCELLED"}
    with pytest.raises(Conflict):
        remote.client.cancel(running[0].task_id)


def test_shutdown_cancels_what_has_not_started(server, tmp_path):
    far = Executor(url=server.url)
    end = tmp_path / "end"
    running = [far.submit(here.touch_and_wait, str(tmp_path / name), str(end)) for name in "ab"]
    for name in "ab":
        wait_for(tmp_path / name)
    waiting = [far.submit(abs, n) for n in range(500)]
    assert waiting[-1].task_id
    far.shutdown(wait=False, cancel_futures=True)
    concurrent.futures.wait(waiting, 60)
    end.touch()
    far.shutdown()
    assert [future.result(0) for future in running] == ["done", "done"]
    assert all(future.cancelled() for future in waiting)
    assert far.client.get_group(far.task_group_id)["counts"] == {
        "QUEUED": 0, "RUNNING": 0, "COMPLETED": 2, "FAILED": 0, "CANCELLED": 500}
    with pytest.raises(RuntimeError):
        far.submit(abs, 1)


def test_the_client_comes_back(script, server):
    """A script submits and ends; another process takes the results, some of them later."""
    group_id = script("""
        far = farhand.Executor()
        for n in range(300):
            far.submit(pow, n, 2)
        far.submit(divmod, 1, 0)
        far.shutdown(wait=False)
        print(far.task_group_id)
    """).strip()
    futures = attach(group_id, url=server.url)
    assert len(futures) == 301
    concurrent.futures.wait(futures, 60)
    ordered = sorted(futures, key=lambda future: future.task_id)
    assert [future.result() for future in ordered[:300]] == [n**2 for n in range(300)]
    assert isinstance(ordered[300].exception(), ZeroDivisionError)
    again = attach(group_id, url=server.url)
    assert [future.task_id for future in again] == [future.task_id for future in ordered]
    with pytest.raises(NotFound):
        attach("0190aaaa-0000-7000-8000-000000000000", url=server.url)


def test_the_server_is_killed_in_the_middle(own_server):
    far = Executor(url=own_server.url)
    half = threading.Event()
    done = []

    def count(future):
        done.append(future)
        if len(done) in (400, 1200):
            half.set()

    def submit():
        futures = []
        for n in range(2000):
            futures.append(far.submit(divmod, n, 7))
            futures[-1].add_done_callback(count)
        return futures

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        submitting = pool.submit(submit)
        for _ in range(2):
            assert half.wait(60)
            half.clear()
            own_server.kill()
            own_server.start()
        futures = submitting.result(60)
    assert [future.result(60) for future in futures] == [divmod(n, 7) for n in range(2000)]
    assert len({future.task_id for future in futures}) == 2000
    assert far.client.get_group(far.task_group_id)["counts"]["COMPLETED"] == 2000
    far.shutdown()


def test_the_server_is_killed_below_large_ones(own_server):
    with Executor(url=own_server.url) as far:
        futures = [far.submit(bytes, bytes([n]) * 500_000) for n in range(60)]
        assert futures[10].result(60)[0] == 10
        own_server.kill()
        own_server.start()
        assert [future.result(60)[0] for future in futures] == list(range(60))


def test_a_full_queue_slows_down_and_breaks_nothing(tmp_path_factory):
    server = start(tmp_path_factory, "--max-queued", "50")
    try:
        with Executor(url=server.url) as far:
            futures = [far.submit(abs, -n) for n in range(200)]
            assert [future.result(60) for future in futures] == list(range(200))
    finally:
        server.stop()


def test_client_alone(server):
    with Client(server.url) as client:
        function_id = client.register_function(divmod)
        assert client.register_function(divmod) == function_id
        batch = client.submit_batch(function_id, [((n, 3), {}) for n in range(50)])
        reply = client.wait(group_id=batch.group_id, mode="all", include_results=True)
        while reply["pending_count"]:
            reply = client.wait(group_id=batch.group_id, mode="all")
        assert [client.get_result(i) for i in batch.task_ids] == [divmod(n, 3) for n in range(50)]
        task_id = client.run(1, 0, function_id=function_id)
        with pytest.raises(ZeroDivisionError):
            client.get_result(task_id, wait=30)
        assert client.stats()["slots"] == 2 and client.version()["name"] == "farhand"
