"""cancel(), running(), and what shutdown does with tasks that have not started."""

import asyncio
import concurrent.futures
import threading

import pytest

from fake_http import Problem
from farhand import Executor

BATCH = "/v1/tasks:batch"


def blocked(fake, far):
    """A future whose task runs until the event is set."""
    gate = wait_for_gate.gate = threading.Event()
    future = far.submit(wait_for_gate)
    task = fake.tasks[future.task_id]
    fake.wait_until(lambda: task["state"] == "RUNNING")
    return future, gate


def wait_for_gate():
    wait_for_gate.gate.wait(20)
    return "done"


def test_a_queued_task(fake, far):
    fake.hold()
    future = far.submit(abs, -1)
    assert future.task_id and not future.running()
    seen = []
    future.add_done_callback(seen.append)
    assert future.cancel() and future.cancelled() and future.done() and seen == [future]
    assert future.cancel() and future.cancel(force=True)
    assert fake.tasks[future.task_id]["state"] == "CANCELLED"
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(20)
    assert concurrent.futures.wait([future], 20).done == {future}


def test_a_running_task(fake, far):
    future, gate = blocked(fake, far)
    assert future.running()
    assert not future.cancel() and not future.done()
    gate.set()
    assert future.result(20) == "done" and not future.running() and not future.cancel()


def test_a_running_task_by_force(fake, far):
    future, gate = blocked(fake, far)
    assert future.cancel(force=True) and future.cancelled()
    assert fake.tasks[future.task_id]["state"] == "CANCELLED"
    gate.set()


def test_a_task_that_is_not_sent(fake, far):
    far.register_function(abs)
    gate = threading.Event()
    fake.delays.append((BATCH, gate))
    first = far.submit(abs, -1)
    fake.wait_until(lambda: any(path == BATCH for _, path, _, _ in fake.requests))
    futures = [far.submit(abs, -n) for n in range(10)]
    assert futures[3].cancel() and futures[3].cancelled()
    gate.set()
    assert first.result(20) == 1
    assert [f.result(20) for f in futures if f is not futures[3]] == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert futures[3].task_id is None and len(fake.tasks) == 10


@pytest.mark.parametrize("size", [1, 100_000])
def test_a_task_that_is_being_sent(fake, far, size):
    far.register_function(len)
    fake.hold()
    gate = threading.Event()
    fake.delays.append(("/v1/tasks(:batch)?", gate))
    future = far.submit(len, bytes(size))
    fake.wait_until(lambda: any("tasks" in path for _, path, _, _ in fake.requests))
    assert future.cancel() and future.cancelled()
    gate.set()
    fake.wait_until(lambda: [t["state"] for t in fake.tasks.values()] == ["CANCELLED"])


def test_a_task_whose_result_is_on_its_way(fake, far):
    fake.hold()
    future = far.submit(abs, -1)
    fake.faults += [("/v1/tasks/[^/]+:cancel", Problem(409, "final"))]
    assert future.task_id and not future.cancel() and not future.done()
    fake.release()
    assert future.result(20) == 1


def test_the_server_cannot_be_reached(fake, far, monkeypatch):
    monkeypatch.setattr("farhand.engine.CANCEL_S", 0.1)
    fake.hold()
    future = far.submit(abs, -1)
    assert future.task_id
    fake.unlisten()
    assert not future.cancel() and not future.running() and not future.done()
    fake.listen()
    fake.release()
    assert future.result(20) == 1


def test_asyncio(fake, far):
    async def main():
        loop = asyncio.get_running_loop()
        one = asyncio.wrap_future(far.submit(pow, 2, 5))
        two = loop.run_in_executor(far, pow, 2, 6)
        assert await asyncio.gather(one, two) == [32, 64]
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(far, divmod, 1, 0)
        fake.hold()
        future = far.submit(pow, 2, 7)
        assert future.task_id
        wrapped = asyncio.wrap_future(future)
        wrapped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await wrapped
        return future

    assert asyncio.run(main()).cancelled()


def test_wait_and_as_completed(fake, far):
    fake.hold()
    futures = [far.submit(divmod, n, 7) for n in range(10)]
    done, not_done = concurrent.futures.wait(futures, timeout=0)
    assert not done and not_done == set(futures)
    with pytest.raises(concurrent.futures.TimeoutError):
        list(concurrent.futures.as_completed(futures, timeout=0))
    with pytest.raises(concurrent.futures.TimeoutError):
        futures[0].result(timeout=0)
    with pytest.raises(concurrent.futures.TimeoutError):
        futures[0].exception(timeout=0)
    fake.finish(futures[4].task_id, "x")
    done, _ = concurrent.futures.wait(futures, 20, concurrent.futures.FIRST_COMPLETED)
    assert done == {futures[4]}
    failing = far.submit(divmod, 1, 0)
    fake.release()
    done, _ = concurrent.futures.wait([failing], 20, concurrent.futures.FIRST_EXCEPTION)
    assert done == {failing}
    assert set(concurrent.futures.as_completed(futures, 20)) == set(futures)


def test_callbacks(far):
    seen = []
    future = far.submit(pow, 2, 3)
    future.add_done_callback(lambda f: 1 / 0)
    future.add_done_callback(lambda f: seen.append(f.result()))
    assert future.result(20) == 8
    future.add_done_callback(lambda f: seen.append("late"))
    other = far.submit(pow, 2, 4)
    assert other.result(20) == 16
    far.shutdown()
    assert seen in ([8, "late"], ["late", 8])


def test_a_callback_that_submits_and_one_that_ends_its_thread(far, monkeypatch):
    told, results = [], []
    monkeypatch.setattr(threading, "excepthook", told.append)
    done = threading.Event()

    def end(future):
        raise SystemExit

    def go_on(future):
        results.append(far.submit(pow, 3, 3))
        done.set()

    far._open()
    futures = []
    for callback in (end, go_on):
        far._engine.client.stats()
        future = far.submit(divmod, 7, 2)
        future.add_done_callback(callback)
        futures.append(future)
    assert [future.result(20) for future in futures] == [(3, 1), (3, 1)]
    assert done.wait(20) and results[0].result(20) == 27


def test_shutdown_with_cancel_futures(fake, far):
    running, gate = blocked(fake, far)
    far.register_function(abs)
    fake.hold()
    accepted = [far.submit(abs, -n) for n in range(100)]
    assert accepted[-1].task_id
    send = threading.Event()
    fake.delays.append((BATCH, send))
    flying = far.submit(abs, 1)
    fake.wait_until(lambda: sum(path == BATCH for _, path, _, _ in fake.requests) >= 3)
    queued = [far.submit(abs, -n) for n in range(50)]
    far.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in queued)
    send.set()
    gate.set()
    assert running.result(20) == "done"
    concurrent.futures.wait(accepted, 20)
    assert all(future.cancelled() for future in accepted)
    fake.release()
    far.shutdown()
    assert flying.done()
    assert not any(t["state"] in ("QUEUED", "RUNNING") for t in fake.tasks.values())


def test_shutdown_waits(fake, far):
    futures = [far.submit(pow, 2, n) for n in range(100)]
    far.shutdown()
    assert all(future.done() for future in futures)
    assert [future.result() for future in futures] == [2**n for n in range(100)]
    for call in (lambda: far.submit(pow, 1, 1), lambda: far.submit(divmod, 1, 1),
                 lambda: list(far.map(pow, [1], [1]))):
        with pytest.raises(RuntimeError, match="after shutdown"):
            call()
    far.shutdown()
    far.shutdown(wait=False, cancel_futures=True)


def test_shutdown_without_waiting(fake, far):
    fake.hold()
    futures = [far.submit(pow, 2, n) for n in range(100)]
    far.shutdown(wait=False)
    assert not any(future.done() for future in futures)
    fake.release()
    assert [future.result(20) for future in futures] == [2**n for n in range(100)]


def test_shutdown_in_a_callback(fake, far):
    ended = threading.Event()

    def end(future):
        far.shutdown()
        ended.set()

    fake.hold()
    future = far.submit(pow, 2, 3)
    future.add_done_callback(end)
    fake.release()
    assert ended.wait(20) and future.result(20) == 8


def test_nothing_was_submitted(fake):
    with Executor(url=fake.url):
        pass
    assert fake.requests == []
