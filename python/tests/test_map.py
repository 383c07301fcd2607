"""map(): what Python 3.14 does, on every Python."""

import concurrent.futures
import itertools
import threading
import time

import pytest

import functions_here as here


def test_order_and_values(far):
    assert list(far.map(pow, range(10), range(10))) == list(map(pow, range(10), range(10)))
    assert list(far.map(here.add, range(5), range(3))) == [0, 2, 4]
    assert list(far.map(abs, [])) == [] and list(far.map(abs)) == []


def test_results_come_in_the_order_of_the_calls(fake, far):
    fake.hold()
    results = far.map(abs, range(10))
    fake.wait_until(lambda: len(fake.tasks) == 10)
    for task_id in reversed(list(fake.tasks)):
        fake.finish(task_id, task_id)
    assert list(results) == list(fake.tasks)


def test_an_exception_stands_in_its_place(far):
    results = far.map(divmod, [1, 1, 1, 1], [2, 2, 0, 5])
    assert next(results) == (0, 1) and next(results) == (0, 1)
    with pytest.raises(ZeroDivisionError):
        next(results)


@pytest.mark.parametrize("chunksize", [1, 3])
def test_timeout(fake, far, chunksize):
    list(far.map(abs, range(6), chunksize=chunksize))
    fake.hold()
    results = far.map(abs, range(6), timeout=0.05, chunksize=chunksize)
    with pytest.raises(concurrent.futures.TimeoutError):
        next(results)
    fake.wait_until(lambda: not fake.queue)  # what has not started was cancelled
    assert list(results) == []


def test_all_are_submitted_at_once(fake, far):
    fake.hold()
    far.map(abs, range(100))
    fake.wait_until(lambda: len(fake.tasks) == 100)


def test_the_rest_is_cancelled_when_nobody_wants_it(fake, far):
    fake.hold()
    results = far.map(abs, range(100))
    fake.wait_until(lambda: len(fake.tasks) == 100)
    fake.finish(min(fake.tasks), "first")
    assert next(results) == "first"
    results.close()
    fake.wait_until(lambda: not fake.queue)
    states = [task["state"] for task in fake.tasks.values()]
    assert states.count("CANCELLED") == 99


def test_buffersize_is_lazy(far):
    taken = []

    def numbers():
        for n in itertools.count():
            taken.append(n)
            yield n

    results = far.map(abs, numbers(), buffersize=4)
    assert taken == [0, 1, 2, 3]
    assert next(results) == 0 and taken == [0, 1, 2, 3, 4]
    assert list(itertools.islice(results, 10)) == list(range(1, 11)) and len(taken) == 15
    results.close()


def test_buffersize_above_the_number_of_calls(far):
    assert list(far.map(abs, range(3), buffersize=10)) == [0, 1, 2]


def test_the_executor_may_go_before_its_results(fake):
    from farhand import Executor
    far = Executor(url=fake.url)
    results, lazy = far.map(abs, range(20)), far.map(abs, range(20), buffersize=2)
    del far
    assert list(results) == list(range(20))
    assert list(lazy) == list(range(20))


@pytest.mark.parametrize("chunksize", [1, 2, 7, 100, 1000])
@pytest.mark.parametrize("buffersize", [None, 1, 5])
def test_chunks(fake, far, chunksize, buffersize):
    results = far.map(here.add, range(100), range(100), chunksize=chunksize, buffersize=buffersize)
    assert list(results) == [2 * n for n in range(100)]
    in_group = [task for task in fake.tasks.values() if task["group_id"]]
    assert len(in_group) == -(-100 // chunksize)


def test_chunks_of_something_with_a_state_and_of_what_cannot_be_sent(far):
    counter = here.Counter(5)
    assert list(far.map(counter, range(10), chunksize=4)) == list(range(5, 15))
    lock = threading.Lock()
    with pytest.raises(Exception, match="lock"):
        list(far.map(lambda x: lock, range(10), chunksize=4))


def test_wrong_arguments(far):
    for wrong, error in (({"buffersize": 0}, ValueError), ({"buffersize": "2"}, TypeError),
                         ({"chunksize": 0}, ValueError), ({"chunksize": -1}, ValueError)):
        with pytest.raises(error):
            far.map(abs, [1], **wrong)


def test_an_iterable_that_fails(far):
    def numbers():
        yield 1
        raise KeyError("no more")

    with pytest.raises(KeyError):
        far.map(abs, numbers())


def test_the_time_runs_from_the_call(fake, far):
    fake.hold()
    began = time.monotonic()
    results = far.map(abs, range(3), timeout=0.05)
    while time.monotonic() < began + 0.06:
        assert not fake.stopping
    with pytest.raises(concurrent.futures.TimeoutError):
        next(results)
