"""The future against its base class: what is made late must never be missed."""

import concurrent.futures
import os
import threading

import pytest

from farhand.future import Future

ATTRIBUTES = set(vars(concurrent.futures.Future()))


def future():
    return Future(None, "group", None, b"")


def test_it_has_what_the_base_class_makes():
    fresh = future()
    assert isinstance(fresh, concurrent.futures.Future)
    assert "_condition" not in vars(fresh)
    for name in ATTRIBUTES:
        assert type(getattr(fresh, name)) is type(getattr(concurrent.futures.Future(), name))
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        fresh.nothing_of_ours  # noqa: B018


def test_states():
    for look_first in (False, True):
        value, failed, cancelled = future(), future(), future()
        if look_first:
            assert all("pending" in repr(f) for f in (value, failed, cancelled))
        assert not value.done() and not value.cancelled() and not value.running()
        value._finish(1)
        failed._finish(None, KeyError(2))
        assert cancelled._cancel_here() and cancelled._cancel_here()
        assert value.result() == 1 and value.exception() is None
        assert isinstance(failed.exception(), KeyError)
        with pytest.raises(KeyError):
            failed.result()
        with pytest.raises(concurrent.futures.CancelledError):
            cancelled.result()
        assert [f.done() for f in (value, failed, cancelled)] == [True] * 3
        assert [f.cancelled() for f in (value, failed, cancelled)] == [False, False, True]
        assert "finished" in repr(value) and "KeyError" in repr(failed)
        assert "cancelled" in repr(cancelled)


def test_the_first_end_counts():
    for look_first in (False, True):
        f = future()
        if look_first:
            assert repr(f)
        f._finish(1)
        f._finish(2)
        f._fail(KeyError())
        f._fail(concurrent.futures.CancelledError())
        assert not f._cancel_here() and f.result() == 1
        f = future()
        assert f._cancel_here()
        f._finish(1)
        assert f.cancelled()
        f = future()
        f._fail(concurrent.futures.CancelledError())
        assert f.cancelled()


def test_a_future_that_was_cancelled_is_told_once():
    f = future()
    waiter = threading.Thread(target=concurrent.futures.wait, args=([f], 20))
    waiter.start()
    while "_condition" not in vars(f) or not f._waiters:
        assert waiter.is_alive()
    super(Future, f).cancel()  # as set by the base class: told to nobody yet
    f._finish(1)
    waiter.join(20)
    assert not waiter.is_alive() and f.cancelled()


@pytest.mark.parametrize("look", [
    lambda f: f.result(20),
    lambda f: concurrent.futures.wait([f], 20).done.pop().result(),
    lambda f: next(concurrent.futures.as_completed([f], 20)).result(),
    lambda f: called_back(f),
    lambda f: (f.exception(20), f.result())[1],
])
def test_no_end_is_missed(look):
    """Many races between a thread that looks at a future first and one that ends it."""
    for n in range(300):
        f = future()
        start = threading.Barrier(2)

        def end(f=f, start=start, n=n):
            start.wait()
            f._finish(n)

        thread = threading.Thread(target=end)
        thread.start()
        start.wait()
        assert look(f) == n
        thread.join()


def called_back(f):
    seen, told = [], threading.Event()

    def callback(f):
        seen.append(f.result())
        told.set()

    f.add_done_callback(callback)
    assert told.wait(20)
    assert len(seen) == 1
    return seen[0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_fork_while_the_lock_is_held():
    from farhand import future as module

    with module._birth:
        pid = os.fork()
        if pid == 0:
            f = future()
            f._finish(1)
            os._exit(0 if f.result() == 1 and "finished" in repr(f) else 1)
        assert os.waitpid(pid, 0)[1] == 0
