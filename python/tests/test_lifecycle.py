"""The end of executors: at exit, by interrupt, when forgotten, in a forked child."""

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from pathlib import Path

import pytest

from fake_http import Problem
from farhand import Executor

PACKAGE = Path(__file__).resolve().parent.parent


# What a background job of a shell starts inherits that SIGINT is ignored, and Python leaves it so.
BEGINNING = """
import farhand, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
far = farhand.Executor(url={url!r})
"""


class Script:
    """A program in a process of its own, with `far`, an Executor on the server. Interrupts reach
    it, however the tests were started."""

    def __init__(self, fake, text):
        text = BEGINNING.format(url=fake.url) + textwrap.dedent(text)
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-c", text], text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=PACKAGE,
            env={**os.environ, "PYTHONPATH": str(PACKAGE)})

    def line(self):
        return self.process.stdout.readline().strip()

    def end(self, code=0):
        out, err = self.process.communicate(timeout=30)
        assert self.process.returncode == code, err
        return out, err


def test_the_end_of_the_interpreter_waits_for_results(fake):
    fake.hold()
    script = Script(fake, """
        say = lambda number: sys.stdout.write(str(number) + chr(10))
        futures = [far.submit(pow, 2, n) for n in range(20)]
        large = far.submit(bytes, 200_000)
        for future in futures:
            future.add_done_callback(lambda f: say(f.result()))
        large.add_done_callback(lambda f: say(len(f.result())))
        print("end", flush=True)
    """)
    assert script.line() == "end"
    fake.wait_until(lambda: len(fake.tasks) == 21)
    fake.release()
    out, err = script.end()
    assert set(out.split()) == {str(2**n) for n in range(20)} | {"200000"} and not err


def test_large_results_are_fetched_at_the_end_of_the_interpreter_too(fake):
    """When threads can no longer be started: the waiter fetches them itself."""
    fake.hold()
    script = Script(fake, """
        futures = [far.submit(bytes, 200_000) for _ in range(5)]
        for future in futures:
            future.add_done_callback(lambda f: sys.stdout.write(str(len(f.result())) + chr(10)))
        print("end", flush=True)
    """)
    assert script.line() == "end"
    fake.wait_until(lambda: len(fake.tasks) == 5)
    fake.finish(min(fake.tasks), bytes(200_000))
    wait = "/v1/tasks:wait"
    fake.wait_until(lambda: sum(path == wait for _, path, _, _ in fake.requests) >= 2)
    fake.release()
    out, err = script.end()
    assert out == "200000\n" * 5 and not err
    assert fake.count("/v1/tasks/[^/]+/result", "GET") == 4


def test_after_shutdown_without_waiting_it_waits_until_all_is_sent(fake):
    fake.hold()
    fake.faults += [("/v1/tasks:batch", Problem(503, "queue_full", retry_after=0))] * 3
    script = Script(fake, """
        for n in range(20):
            far.submit(pow, 2, n)
        far.shutdown(wait=False)
        print("end", flush=True)
    """)
    assert script.line() == "end"
    assert not script.end()[1]
    assert len(fake.tasks) == 20


def test_what_cannot_be_sent_is_told_at_the_end(fake):
    script = Script(fake, """
        import farhand.engine
        farhand.engine.SEND_AT_EXIT_S = 0.1
        far.register_function(pow)
        print("ready", flush=True)
        input()
        for n in range(20):
            far.submit(pow, 2, n)
        far.shutdown(wait=False)
    """)
    assert script.line() == "ready"
    fake.unlisten()
    script.process.stdin.write("\n")
    _, err = script.end()
    assert "20 tasks were never sent" in err and fake.url in err
    fake.listen()


def test_attach_does_not_hold_the_end_up(fake):
    fake.hold()
    script = Script(fake, """
        future = far.submit(pow, 2, 3)
        future.task_id
        far.shutdown(wait=False)
        futures = farhand.attach(future.group_id, url=sys.argv[0] if False else far.client.url)
        print(len(futures), flush=True)
    """)
    out, err = script.end()
    assert out == "1\n" and not err


@pytest.mark.parametrize("body", [
    "with far: far.submit(pow, 2, 3).result()",
    "with far: list(far.map(pow, [2], [3]))",
    "with far:\n    future = far.submit(pow, 2, 3)\n    future.task_id",  # waits in __exit__
    "future = far.submit(pow, 2, 3); future.task_id",  # waits at the end of the interpreter
])
def test_an_interrupt_ends_it_at_once(fake, body):
    fake.hold()
    script = Script(fake, body)
    fake.wait_until(lambda: any(path == "/v1/tasks:wait" for _, path, _, _ in fake.requests))
    while script.process.poll() is None:
        script.process.send_signal(signal.SIGINT)
        try:
            script.process.wait(0.3)
        except subprocess.TimeoutExpired:
            pass
    err = script.process.communicate()[1]
    assert "KeyboardInterrupt" in err
    assert [task["state"] for task in fake.tasks.values()] == ["QUEUED"] or "map" in body


def test_an_interrupt_reaches_what_is_started_where_it_is_ignored(fake):
    kept = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        script = Script(fake, 'print("ready", flush=True)\ninput()')
    finally:
        signal.signal(signal.SIGINT, kept)
    assert script.line() == "ready"
    script.process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in script.end(-signal.SIGINT)[1]


def test_an_interrupt_while_submit_waits_for_room(fake):
    script = Script(fake, """
        import farhand.engine
        farhand.engine.UNSENT_MAX = 5
        far.register_function(pow)
        print("ready", flush=True)
        input()
        with far:
            for n in range(20):
                far.submit(pow, 2, n)
                if n == 4:
                    print("full", flush=True)
    """)
    assert script.line() == "ready"
    fake.unlisten()
    script.process.stdin.write("\n")
    script.process.stdin.flush()
    assert script.line() == "full"
    while script.process.poll() is None:
        script.process.send_signal(signal.SIGINT)
        try:
            script.process.wait(0.3)
        except subprocess.TimeoutExpired:
            pass
    assert "KeyboardInterrupt" in script.process.communicate()[1]
    fake.listen()


def test_no_thread_is_left(fake):
    before = threading.enumerate()
    with Executor(url=fake.url) as far:
        futures = [far.submit(pow, 2, n) for n in range(10)]
        futures += [far.submit(bytes, bytes(100_000)) for _ in range(10)]
        for future in futures:
            future.result(20)
        assert len({t.name for t in threading.enumerate() if t not in before}) >= 3
    assert [t for t in threading.enumerate() if t.name.startswith("farhand-")] == []


def test_an_executor_that_nobody_knows_any_more(fake):
    far = Executor(url=fake.url)
    other = far.with_options(priority=1)
    fake.hold()
    future, second = far.submit(pow, 2, 3), other.submit(pow, 2, 4)
    gone, engine = weakref.ref(far), far._engine
    del far
    gc.collect()
    assert gone() is None and engine.open
    del other
    gc.collect()
    assert not engine.open
    fake.release()
    assert (future.result(20), second.result(20)) == (8, 16)
    engine.join()
    assert not engine._threads


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_makes_its_own(fake):
    fake.hold()
    script = Script(fake, """
        import os
        future = far.submit(pow, 2, 3)
        future.task_id
        pid = os.fork()
        if pid == 0:
            try:
                far.submit(pow, 2, 3)
            except RuntimeError as error:
                print(error, flush=True)
            with farhand.Executor(url=far.client.url) as mine:
                mine.submit(pow, 2, 4).task_id
                print(far.client.get_group(future.group_id)["total"], flush=True)
                mine.shutdown(wait=False)
                mine._engine.at_exit = "nothing"
                os._exit(0)
        print(os.waitpid(pid, 0)[1], flush=True)
        print(future.result())
    """)
    lines = [script.line() for _ in range(3)]
    assert "belongs to the parent process" in lines[0] and lines[1:] == ["1", "0"]
    fake.release()
    out, _ = script.end()
    assert out == "8\n"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_ends_in_the_ordinary_way(fake):
    fake.hold()
    script = Script(fake, """
        import os
        future = far.submit(pow, 2, 3)
        future.task_id
        pid = os.fork()
        if pid == 0:
            sys.exit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        print(future.result())
    """)
    assert script.line() == "7"
    fake.release()
    assert script.end()[0] == "8\n"


def test_a_broken_thread_does_not_leave_futures_waiting(fake, monkeypatch):
    from farhand import FarhandError, sender
    far = Executor(url=fake.url)
    fake.hold()
    first = far.submit(pow, 2, 3)
    assert first.task_id
    fake.wait_until(lambda: any(path == "/v1/tasks:wait" for _, path, _, _ in fake.requests))

    def take(self):
        raise MemoryError("no more")

    monkeypatch.setattr(sender.Sender, "_take", take)
    second = far.submit(pow, 2, 3)
    for future in (first, second):
        assert isinstance(future.exception(20), FarhandError)
    with pytest.raises(RuntimeError, match="broken"):
        far.submit(pow, 2, 3)
    fake.unlisten()  # lets the other thread go
    far.shutdown()
