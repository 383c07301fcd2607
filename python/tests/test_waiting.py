"""The way back: one long poll for all, order, early and foreign records, coming back to a group."""

import threading

import pytest

from fake_http import DROP_AFTER, DROP_BEFORE, Problem
from farhand import Executor, NotFound, attach

BATCH, WAIT = "/v1/tasks:batch", "/v1/tasks:wait"


def test_out_of_order(fake, far):
    fake.hold()
    futures = [far.submit(abs, n) for n in range(20)]
    for future in reversed(futures):
        fake.finish(future.task_id, future.task_id)
        assert future.result(20) == future.task_id
    assert all(future.done() for future in futures)


def test_one_poll_for_all(fake, far):
    fake.hold()
    futures = [far.submit(abs, n) for n in range(1000)]
    assert futures[-1].task_id
    fake.wait_until(lambda: any(path == WAIT for _, path, _, _ in fake.requests))
    assert fake.count(WAIT) == 1
    fake.release()
    assert [future.result(20) for future in futures] == list(range(1000))
    assert fake.count("/v1/tasks/.*", "GET") == 0


def test_nothing_is_asked_while_nothing_is_pending(fake, far):
    assert far.submit(abs, 1).result(20) == 1
    fake.wait_until(lambda: all(len(g["finished"]) == g["total"] for g in fake.groups.values()))
    polls = fake.count(WAIT)
    assert far.submit(abs, 2).result(20) == 2
    assert fake.count(WAIT) - polls <= 2


@pytest.mark.parametrize("fault", [DROP_BEFORE, DROP_AFTER, Problem(503, "busy"),
                                   Problem(502, "bad gateway")])
def test_the_poll_is_repeated(fake, far, fault):
    fake.faults += [(WAIT, fault)] * 3
    assert [far.submit(abs, n).result(20) for n in range(5)] == list(range(5))


def test_the_fetch_of_a_large_result_is_repeated(fake, far):
    """The server has too many large answers under way."""
    far.submit(bytes, 300_000).result(20)  # from here on results are fetched apart
    fake.faults += [("/v1/tasks/.*/result", Problem(503, "busy", retry_after=0))] * 3
    assert far.submit(bytes, 300_000).result(20) == bytes(300_000)
    assert not fake.faults


def test_a_restart_below_a_parked_poll(fake, far):
    fake.hold()
    futures = [far.submit(abs, n) for n in range(50)]
    assert futures[-1].task_id
    fake.wait_until(lambda: any(path == WAIT for _, path, _, _ in fake.requests))
    fake.unlisten()
    fake.listen()
    more = [far.submit(abs, n) for n in range(50)]
    fake.release()
    assert [future.result(20) for future in futures + more] == [*range(50), *range(50)]


def test_finished_before_the_id_is_known(fake, far):
    """The answer to the second batch is lost; while it is asked for again, the poll that is parked
    for the first task brings the records of the second batch."""
    fake.hold()
    first = far.submit(abs, 0)
    assert first.task_id
    fake.wait_until(lambda: any(path == WAIT for _, path, _, _ in fake.requests))
    gate = threading.Event()
    retry = far._engine.sender._retry  # of a batch of more than one
    pause = retry.pause
    retry.pause = lambda seconds: (gate.wait(20), pause(0))
    fake.faults.append((BATCH, DROP_AFTER))
    with far._engine.lock:  # nothing is sent before all are there
        futures = [far.submit(abs, n) for n in range(1, 20)]
    fake.wait_until(lambda: len(fake.tasks) == 20)
    polls = fake.count(WAIT)
    fake.release()
    assert first.result(20) == 0
    fake.wait_until(lambda: len(fake.groups[first.group_id]["finished"]) == 20)
    assert fake.count(WAIT) >= polls and not any(future.done() for future in futures)
    gate.set()
    assert [future.result(20) for future in futures] == list(range(1, 20))
    waiter = far._engine.waiter(first.group_id)
    assert not waiter._early and not waiter._pending


def test_tasks_of_others_in_the_same_group(fake, far, client):
    fake.hold()
    ours = far.submit(abs, -1)
    function_id = client.register_function(abs)
    theirs = [client.submit(function_id, (n,), group_id=ours.group_id) for n in range(10)]
    more = far.submit(abs, -2)
    fake.release()
    assert (ours.result(20), more.result(20)) == (1, 2)
    assert all(client.get_result(task_id, wait=20) == n for n, task_id in enumerate(theirs))
    waiter = far._engine.waiter(ours.group_id)
    assert not waiter._early and not waiter._pending


def test_the_server_has_lost_the_task(fake, far):
    fake.hold()
    futures = [far.submit(abs, n) for n in range(3)]
    assert futures[-1].task_id
    with fake.lock:
        del fake.tasks[futures[1].task_id]
        fake.queue.clear()
        fake.groups[futures[0].group_id]["total"] = 1
        fake.changed.notify_all()
    fake.finish(futures[0].task_id, "here")
    assert futures[0].result(20) == "here"
    assert isinstance(futures[1].exception(20), NotFound)
    fake.finish(futures[2].task_id, "late")
    assert futures[2].result(20) == "late"


def test_the_server_has_lost_the_group(fake, far):
    fake.hold()
    futures = [far.submit(abs, n) for n in range(3)]
    assert futures[-1].task_id
    fake.wait_until(lambda: any(path == WAIT for _, path, _, _ in fake.requests))
    with fake.lock:
        fake.groups.clear()
    fake.cut()
    assert all(isinstance(future.exception(20), NotFound) for future in futures)
    assert isinstance(far.submit(abs, 1).exception(20), NotFound)


def test_a_large_result_that_is_gone(fake, far):
    gone = Problem(410, "gone", "results are kept for 7 days")
    assert len(far.submit(bytes, 100_000).result(20)) == 100_000
    fake.faults.append(("/v1/tasks/[^/]+/result", gone))
    future = far.submit(bytes, 100_000)
    assert isinstance(future.exception(20), NotFound) and future.exception().status == 410


def test_attach_to_what_is_finished(fake, far):
    for n in range(250):
        far.submit(pow, n, 2)
    far.shutdown()
    futures = attach(far.task_group_id, url=fake.url)
    assert [future.result(20) for future in futures] == [n**2 for n in range(250)]
    assert all(future.done() for future in futures)
    assert [future.task_id for future in futures] == sorted(fake.tasks)


def test_attach_to_what_is_not_finished(fake, far):
    fake.hold()
    ours = [far.submit(divmod, n, 7) for n in range(30)]
    for future in ours[20:]:  # these finish first
        fake.finish(future.task_id, divmod(ours.index(future), 7))
    futures = attach(far.task_group_id, url=fake.url)
    assert len(futures) == 30 and sum(future._id is not None for future in futures) == 10
    assert [future.result(20) for future in futures[:10]] == [divmod(n, 7) for n in range(20, 30)]
    assert futures[15].task_id is None and not futures[15].cancel() and not futures[15].running()
    fake.release()
    results = {future.result(20) for future in futures}
    assert results == {divmod(n, 7) for n in range(30)}
    assert {future.task_id for future in futures} == set(fake.tasks)
    by_submission = sorted(futures, key=lambda future: future.task_id)
    assert [future.result() for future in by_submission] == [divmod(n, 7) for n in range(30)]


def test_attach_brings_failures_and_large_results(fake, far):
    far.submit(divmod, 1, 0)
    far.submit(bytes, 200_000)
    far.shutdown()
    failed, large = attach(far.task_group_id, url=fake.url)
    assert isinstance(failed.exception(20), ZeroDivisionError)
    assert len(large.result(20)) == 200_000


def test_attach_to_nothing(fake):
    with pytest.raises(NotFound):
        attach("0190aaaa-0000-7000-8000-000000000000", url=fake.url)


def test_reload_and_go_on(fake, far):
    first = [far.submit(abs, n) for n in range(5)]
    [future.result(20) for future in first]
    with Executor(url=fake.url) as other:
        own = other.submit(abs, -100)
        futures = other.reload_tasks(first[0].group_id)
        assert other.task_group_id == first[0].group_id != own.group_id
        more = other.submit(abs, -9)
        assert more.group_id == first[0].group_id
        assert [future.result(20) for future in futures] == list(range(5))
        assert (own.result(20), more.result(20)) == (100, 9)
        assert len(other.reload_tasks()) == 6


def test_a_group_that_is_there(fake, far, client):
    group = client.create_group("mine")
    with Executor(url=fake.url, task_group_id=group["id"]) as far:
        assert far.submit(abs, -1).result(20) == 1
    assert client.get_group(group["id"])["total"] == 1
    with Executor(url=fake.url, task_group_id="none") as far, pytest.raises(NotFound):
        far.submit(abs, -1)


def test_large_results_are_fetched_raw_and_the_others_together(fake, far):
    def raw():
        return fake.count("/v1/tasks/[^/]+/result", "GET")

    assert len(far.submit(bytes, 100_000).result(20)) == 100_000
    assert raw() == 0  # nothing said that it would be large
    assert len(far.submit(bytes, 100_000).result(20)) == 100_000
    assert raw() == 1
    fake.hold()
    futures = [far.submit(*call) for call in (
        (bytes, 200_000), (abs, -1), (divmod, 1, 0), (bytes, 90_000), (abs, -2))]
    assert futures[-1].task_id
    fake.release()
    assert len(futures[0].result(20)) == 200_000 and len(futures[3].result(20)) == 90_000
    assert (futures[1].result(20), futures[4].result(20)) == (1, 2)
    error = futures[2].exception(20)
    assert isinstance(error, ZeroDivisionError) and futures[2].traceback_text
    assert 2 <= raw() <= 3
    [far.submit(abs, n).result(20) for n in range(5)]
    assert 2 <= raw() <= 3
