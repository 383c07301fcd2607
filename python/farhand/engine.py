"""What an Executor and its copies share: the threads between submit() and the futures.

A future that is not done has exactly one holder: the queue of unsent tasks, the request that is in
flight, the waiter of its group, or the lane that fetches its large result. Only its holder settles
it and counts it out; cancelling marks the future and leaves it with its holder. Threads:

- one sender (sender.py), which sends what has been submitted while its last request was in flight;
- one waiter for each group (waiter.py), parked in a long poll while tasks of ours are unfinished;
- lanes (below), up to a few threads each, for what is large or may take its time.

All of them are daemons that end by themselves when the engine is closed and no future is left. The
end of the interpreter waits for the futures of an engine that nobody has closed, as it does for the
executors of the standard library; for one that was closed without waiting it waits until everything
is sent, because what the server has accepted it will do.
"""

from __future__ import annotations

import atexit
import os
import threading
import time
import warnings
import weakref
from collections import deque
from typing import TYPE_CHECKING, Any, Callable, Deque, Dict, Iterable, List, Optional, Set

from .client import Client
from .errors import Conflict, FarhandError, NotFound
from .retry import Retry
from .sender import Sender
from .waiter import Waiter

if TYPE_CHECKING:
    from .future import Future

UNSENT_MAX = 10_000
UNSENT_BYTES_MAX = 64 << 20
# What the end of the interpreter waits for.
WAIT_FOR_NOTHING, WAIT_FOR_SENDING, WAIT_FOR_ALL = "nothing", "sending", "all"
SEND_AT_EXIT_S = 10.0
CANCEL_S = 5.0  # cancel() answers within this time, also when the server does not
_PARALLEL = 8  # requests with large bodies side by side; the server writes them in one commit

_engines: "weakref.WeakSet[Engine]" = weakref.WeakSet()


class Engine:
    """See above. `client` is used, and closed at the end if it is `own`."""

    def __init__(self, client: Client, own: bool, give_up: Optional[float]) -> None:
        self.client = client
        self.retry = Retry(give_up, self.pause)
        self._own = own
        self._reset()
        self.sender = Sender(self)
        self.uploads = Lanes(self, "upload", _PARALLEL)
        self.downloads = Lanes(self, "download", _PARALLEL)
        self.cancels = Lanes(self, "cancel", _PARALLEL)
        _engines.add(self)

    def _reset(self) -> None:
        # Reentrant, because a garbage collection inside may run the finaliser of an Executor.
        self.lock = threading.RLock()
        self.room = threading.Condition(self.lock)  # submit() waits for it
        self.work = threading.Condition(self.lock)  # the sender waits for it
        self.changed = threading.Condition(self.lock)  # everybody else
        self.outstanding = 0  # futures that are not settled
        self.unsent = 0
        self.unsent_bytes = 0
        self.open = True  # submit() is allowed
        self.closing = False
        self.at_exit = WAIT_FOR_ALL
        self.broken: Optional[BaseException] = None
        self.waiters: List[Waiter] = []
        self._by_group: Dict[str, Waiter] = {}
        self._threads: Set[threading.Thread] = set()

    # ---- submitting --------------------------------------------------------------------------

    def put(self, future: "Future[Any]", size: int, large: bool) -> None:
        """Takes a future to send; blocks while too much is unsent.

        :raises RuntimeError: after close()
        """
        with self.lock:
            while True:
                if not self.open:
                    raise self.refusal()
                if self.unsent < UNSENT_MAX and self.unsent_bytes < UNSENT_BYTES_MAX:
                    break
                self.room.wait()
            self.unsent += 1
            self.unsent_bytes += size
            self.outstanding += 1
            if not large:
                sender = self.sender
                sender.queue.append(future)
                if sender.idle:
                    sender.wake()
                return
        self.uploads.put(lambda: self.sender.upload(future))

    def refusal(self) -> RuntimeError:
        """Why nothing can be submitted any more."""
        if self.broken is not None:
            error = RuntimeError(f"the Executor is broken: {self.broken!r}")
            error.__cause__ = self.broken
            return error
        if not self.closing:
            return RuntimeError("this Executor belongs to the parent process; make one here")
        return RuntimeError("cannot schedule new futures after shutdown")

    def sent(self, count: int, size: int) -> None:
        """So many futures are no longer unsent: they have an id, or are settled."""
        with self.lock:
            self.unsent -= count
            self.unsent_bytes -= size
            self.room.notify_all()
            self.changed.notify_all()

    def settled(self, count: int) -> None:
        """So many futures have been settled by their holder."""
        if not count:
            return
        with self.lock:
            self.outstanding -= count
            if self.outstanding == 0:
                self.changed.notify_all()
                self.work.notify_all()

    def ended(self) -> bool:
        """Whether nothing is left to do. Under the lock."""
        return (self.closing and self.outstanding == 0) or self.broken is not None

    def await_id(self, future: "Future[Any]") -> None:
        """Returns when the future has an id, or never will."""
        with self.lock:
            while future._id is None and not future.done() and self.broken is None:
                self.changed.wait(timeout=1.0)

    def waiter(self, group_id: str) -> Waiter:
        """The one that waits for the tasks that are submitted into this group."""
        waiter = self._by_group.get(group_id)
        if waiter is None:
            with self.lock:
                waiter = self._by_group.get(group_id)
                if waiter is None:
                    waiter = self._by_group[group_id] = Waiter(self, group_id)
                    self.waiters.append(waiter)
        return waiter

    def reload(self, group_id: str) -> List["Future[Any]"]:
        """A future for each task that the group has now; see :meth:`Executor.reload_tasks`."""
        waiter = Waiter(self, group_id)
        with self.lock:
            self.waiters.append(waiter)
        return waiter.reload()

    # ---- cancelling --------------------------------------------------------------------------

    def cancel_now(self, task_id: str, force: bool) -> bool:
        """Asks the server, for a short time."""
        return self.client.cancel(task_id, force=force, timeout=CANCEL_S, retry=Retry(CANCEL_S))

    def state_now(self, task_id: str) -> Optional[str]:
        """Asks the server, for a short time."""
        return self.client.get_task(task_id, retry=Retry(CANCEL_S)).get("state")

    def cancel_later(self, task_id: str) -> None:
        """Ends a task whose future is cancelled already, whether it runs or not."""

        def cancel() -> None:
            try:
                self.client.cancel(task_id, force=True, retry=self.retry)
            except (Conflict, NotFound):
                pass  # it was quicker

        self.cancels.put(cancel)

    def discard(self, futures: Iterable["Future[Any]"]) -> None:
        """Cancels, without waiting for it, what is no longer wanted and has not started."""
        for future in futures:
            if future._id is None:
                future.cancel()
            elif not future.done():
                self.cancels.put(future.cancel)

    def cancel_unstarted(self) -> None:
        """Cancels everything that has not started; what runs goes on."""
        self.sender.cancel_queued()
        with self.lock:
            waiters = list(self.waiters)
        for waiter in waiters:
            self.discard(waiter.futures())

    # ---- the end -----------------------------------------------------------------------------

    def close(self) -> None:
        """Takes nothing more. The threads end when the last future is settled."""
        with self.lock:
            self.open = False
            self.closing = True
            self.room.notify_all()
            self.work.notify_all()
            self.changed.notify_all()

    def join(self) -> None:
        """After close(): waits until all futures are settled and all threads have ended."""
        if threading.current_thread() in self._threads:
            return  # called by a done-callback: this thread cannot wait for itself
        with self.lock:
            while not self.ended():
                self.changed.wait()
        while self._threads and self.broken is None:  # one may start another
            for thread in list(self._threads):
                thread.join()
        if self._own:
            self.client.close()

    def send_all(self, seconds: float) -> None:
        """After close(): waits, for so long, until the server has accepted what was submitted."""
        with self.lock:
            self.changed.wait_for(lambda: self.unsent == 0 or self.ended(), seconds)
            lost = self.unsent
        if lost:
            warnings.warn(
                f"{lost} tasks were never sent: {self.client.url} does not take them", stacklevel=2
            )

    def spawn(self, target: Callable[[], None], name: str) -> None:
        """Starts a thread. :raises RuntimeError: at the end of the interpreter"""

        def run() -> None:
            try:
                target()
            except BaseException as error:
                self._break(error)
            finally:
                self._thread_ended()

        thread = threading.Thread(target=run, name=f"farhand-{name}", daemon=True)
        with self.lock:
            thread.start()
            self._threads.add(thread)

    def _thread_ended(self) -> None:
        with self.lock:
            self._threads.discard(threading.current_thread())
            last = not self._threads and self.ended()
        if last and self._own:
            self.client.close()

    def _break(self, error: BaseException) -> None:
        """A thread met what it cannot handle: no future may wait for it for ever."""
        with self.lock:
            if self.broken is None:
                self.broken = error
            self.open = False
            futures = self.sender.drop_queued()
            for waiter in self.waiters:
                futures.extend(waiter.drop())
            for condition in (self.room, self.work, self.changed):
                condition.notify_all()
        for future in futures:
            future._fail(FarhandError(f"the Executor is broken: {error!r}"))

    def pause(self, seconds: float) -> None:
        """Sleeps. :raises RuntimeError: nobody needs what comes then"""
        time.sleep(seconds)
        if self.broken is not None:
            raise self.refusal()

    def forget(self) -> None:
        """In a child after a fork: the threads are not here, the futures are the parent's."""
        self._reset()
        self.open = False
        self.at_exit = WAIT_FOR_NOTHING
        self.client._pool.forget()


class Lanes:
    """Up to `width` threads that perform what they are given, first in, first out."""

    def __init__(self, engine: Engine, name: str, width: int) -> None:
        self._engine = engine
        self._name = name
        self._width = width
        self._jobs: Deque[Callable[[], object]] = deque()
        self._threads = 0
        self._idle = 0

    def put(self, job: Callable[[], object]) -> None:
        """Performs the job soon, in a thread; at the end of the interpreter, here and now."""
        with self._engine.lock:
            self._jobs.append(job)
            if len(self._jobs) <= self._idle:
                self._engine.changed.notify_all()
                return
            if self._threads == self._width:
                return
            self._threads += 1
        try:
            self._engine.spawn(self._run, self._name)
        except RuntimeError:
            self._threads -= 1
            while self._jobs:
                self._jobs.popleft()()

    def _run(self) -> None:
        engine = self._engine
        while True:
            with engine.lock:
                self._idle += 1
                while not self._jobs and not engine.ended():
                    engine.changed.wait()
                self._idle -= 1
                if not self._jobs:
                    return
                job = self._jobs.popleft()
            job()


def _at_exit() -> None:
    engines = [engine for engine in _engines if engine.at_exit != WAIT_FOR_NOTHING]
    for engine in engines:
        engine.close()
    for engine in engines:
        if engine.at_exit == WAIT_FOR_ALL:
            engine.join()
        else:
            engine.send_all(SEND_AT_EXIT_S)


def _after_fork() -> None:
    for engine in list(_engines):
        engine.forget()


atexit.register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
