"""Sends what is submitted: at once; what arrives meanwhile is the next batch. There is no timer.

One request with small payloads is in flight at a time, so a batch grows by itself just as large as
the server is slow. Large payloads go raw, each in a request of its own, several side by side.

Each request is repeated until it is answered (or the Executor gives up), under one Idempotency-Key:
however often the connection breaks or the server restarts, a task is accepted once.
"""

from __future__ import annotations

import random
from binascii import b2a_base64
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Dict, List

from .errors import BadRequest, NotFound, NoWorker, QueueFull, ServerFault, problem_error
from .retry import FIRST_S, Retry
from .spec import Spec, mixed_head

if TYPE_CHECKING:
    from .engine import Engine
    from .future import Future

    Futures = List[Future[Any]]

# A batch of 2,000 no-ops takes a server about 20 ms from its first byte to its answer: larger ones
# gain nothing, and the first result of each would come later.
BATCH_TASKS_MAX = 2000
BATCH_BYTES_MAX = 1 << 20


class Sender:
    """The queue of unsent tasks and the thread that empties it."""

    def __init__(self, engine: "Engine") -> None:
        self._engine = engine
        self.queue: Deque["Future[Any]"] = deque()
        self.idle = True  # there is nobody who would look at the queue without wake()
        self._started = False
        self._tasks_max = BATCH_TASKS_MAX
        self._retry = Retry(engine.retry.limit_s, engine.pause, full_ends=True)

    def wake(self) -> None:
        """Lets the thread look at the queue. Under the engine's lock."""
        self.idle = False
        if self._started:
            self._engine.work.notify()
        else:
            self._engine.spawn(self._run, "sender")
            self._started = True

    def drop_queued(self) -> "Futures":
        """Gives up what is queued; it is the caller's now. Under the engine's lock."""
        futures = list(self.queue)
        self.queue.clear()
        return futures

    def cancel_queued(self) -> None:
        """Cancels what is queued."""
        with self._engine.lock:
            futures = self.drop_queued()
        for future in futures:
            future._cancel_here()
        self._done(futures)

    def _run(self) -> None:
        engine = self._engine
        while True:
            with engine.lock:
                while not self.queue:
                    if engine.ended():
                        return
                    self.idle = True
                    engine.work.wait()
                self.idle = False
                futures = self._take()
            self._send(futures)

    def _take(self) -> "Futures":
        queue = self.queue
        group_id, size = queue[0]._group_id, 0
        futures: "Futures" = []
        while queue and len(futures) < self._tasks_max and size < BATCH_BYTES_MAX:
            if queue[0]._group_id != group_id:
                break
            future = queue.popleft()
            size += len(future._payload)
            futures.append(future)
        return futures

    def _send(self, futures: "Futures") -> None:
        cancelled = [future for future in futures if future.cancelled()]
        if cancelled:
            self._done(cancelled)
            gone = set(cancelled)
            futures = [future for future in futures if future not in gone]
        if futures:
            self._post(futures)

    def _post(self, futures: "Futures") -> None:
        engine = self._engine
        waiter = engine.waiter(futures[0]._group_id)
        ticket = waiter.expect()
        try:
            answer = engine.client.call(
                "POST",
                "/v1/tasks:batch",
                _batch(futures),
                idempotent=False,
                retry=self._retry if len(futures) > 1 else engine.retry,
            )
            entries = answer.get("tasks")
            if not isinstance(entries, list) or len(entries) != len(futures):
                raise ServerFault("the server's answer to a batch does not fit it")
        except QueueFull as error:
            waiter.adopt(ticket, {})
            self._shrink(futures, error)
            return
        except (BadRequest, NotFound, NoWorker) as error:
            waiter.adopt(ticket, {})
            parts = _by_spec(futures)
            if len(parts) == 1:
                self._fail(futures, error)
                return
            for part in parts:  # one of them is wrong, the others are not
                self._post(part)
            return
        except BaseException as error:
            waiter.adopt(ticket, {})
            self._fail(futures, error)
            return
        self._tasks_max = min(2 * self._tasks_max, BATCH_TASKS_MAX)
        accepted = {}
        refused = []
        for future, entry in zip(futures, entries):
            task_id = entry.get("id")
            if task_id is None:
                refused.append((future, entry.get("problem")))
            else:
                accepted[task_id] = future
        self._count_sent(list(accepted.values()))
        waiter.adopt(ticket, accepted)
        for future, problem in refused:
            self._fail([future], problem_error(problem))

    def _shrink(self, futures: "Futures", error: QueueFull) -> None:
        """There is no room for so many: they wait, and fewer at a time are sent."""
        with self._engine.lock:
            self.queue.extendleft(reversed(futures))
            self._tasks_max = max(1, min(self._tasks_max, len(futures)) // 2)
        self._engine.pause((error.retry_after or 0) + random.uniform(0, FIRST_S))

    def upload(self, future: "Future[Any]") -> None:
        """Sends one large task; in a lane."""
        engine = self._engine
        if future.cancelled():
            self._done([future])
            return
        waiter = engine.waiter(future._group_id)
        ticket = waiter.expect()
        assert future._spec is not None
        try:
            task = engine.client.put_task(
                future._spec.function_id,
                future._payload,
                future._spec.fields,
                group_id=future._group_id,
                retry=engine.retry,
            )
            task_id = task["id"]
        except BaseException as error:
            waiter.adopt(ticket, {})
            self._fail([future], error)
            return
        self._count_sent([future])
        waiter.adopt(ticket, {task_id: future})

    def _fail(self, futures: "Futures", error: BaseException) -> None:
        for future in futures:
            future._fail(error)
        self._done(futures)

    def _done(self, futures: "Futures") -> None:
        self._count_sent(futures)
        self._engine.settled(len(futures))

    def _count_sent(self, futures: "Futures") -> None:
        size = 0
        for future in futures:
            size += len(future._payload)
            future._payload = b""
        self._engine.sent(len(futures), size)


def _batch(futures: "Futures") -> bytes:
    spec = futures[0]._spec
    assert spec is not None
    group_id = futures[0]._group_id
    if all(future._spec is spec for future in futures):
        parts = [b2a_base64(future._payload, newline=False) for future in futures]
        return spec.head(group_id) + b'{"payload":"' + b'"},{"payload":"'.join(parts) + b'"}]}'
    parts = []
    for future in futures:
        assert future._spec is not None
        parts.append(future._spec.shared + b2a_base64(future._payload, newline=False))
    return mixed_head(group_id) + b'"},'.join(parts) + b'"}]}'


def _by_spec(futures: "Futures") -> List["Futures"]:
    parts: Dict[Spec, "Futures"] = {}
    for future in futures:
        assert future._spec is not None
        parts.setdefault(future._spec, []).append(future)
    return list(parts.values())
