"""Waits for the tasks of one group: one long poll for all of them, never one for each future.

The server tells the tasks of a group in the order of finishing, behind a cursor that also survives
its restart. So the waiter asks "what is final behind this cursor?" and is parked until something
is. It asks only while a future of ours is unfinished.

Small results come with the records. When they are large on the average (base64 in JSON costs both
sides more than the bytes themselves), the waiter asks for records alone; then large results are
fetched raw, side by side, and the others in one more request.

A task can be finished before the answer that tells its id has been read. Such a record is kept
until every request that was in flight then has been answered; then it is some other client's.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Deque, Dict, List, Optional, Set, Tuple

from . import outcome
from .errors import FarhandError
from .future import Future

if TYPE_CHECKING:
    from .engine import Engine

WAIT_S = 30.0
MAX_BYTES = 4 << 20
FIELDS = ("id", "state", "reason", "attempt", "result_size", "result", "error")
LOOK_AGAIN_S = 0.5

Record = Dict[str, Any]


class Waiter:
    """The futures of one group whose tasks the server has accepted."""

    def __init__(self, engine: "Engine", group_id: str) -> None:
        self._engine = engine
        self._group_id = group_id
        self._cursor: Optional[str] = None
        self._with_results = True
        self._pending: Dict[str, Future[Any]] = {}
        self._unbound: Deque[Future[Any]] = deque()  # reloaded: they take whatever finishes next
        self._tickets: Set[int] = set()  # requests in flight, whose ids are not known yet
        self._next_ticket = 0
        self._early: Dict[str, Tuple[int, Record]] = {}
        self._started = False

    # ---- called by those who send ------------------------------------------------------------

    def expect(self) -> int:
        """A request with tasks of this group is about to leave; adopt() follows."""
        with self._engine.lock:
            self._next_ticket += 1
            self._tickets.add(self._next_ticket)
            return self._next_ticket

    def adopt(self, ticket: int, futures: Dict[str, Future[Any]]) -> None:
        """The request is answered, and these tasks are accepted: their futures are ours now."""
        engine = self._engine
        settled: List[Tuple[Future[Any], Record]] = []
        with engine.lock:
            for task_id, future in futures.items():
                future._id = task_id
            if self._early:
                for task_id in [task_id for task_id in futures if task_id in self._early]:
                    settled.append((futures.pop(task_id), self._early.pop(task_id)[1]))
            self._pending.update(futures)
            self._tickets.discard(ticket)
            self._forget_early()
            engine.changed.notify_all()
        for task_id, future in futures.items():
            if future.cancelled():  # between the request and its answer
                engine.cancel_later(task_id)
        self._settle(settled)

    def _forget_early(self) -> None:
        oldest = min(self._tickets, default=self._next_ticket + 1)
        while self._early:
            task_id, (ticket, _) = next(iter(self._early.items()))
            if ticket >= oldest:
                return
            del self._early[task_id]

    # ---- called by the engine ----------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread; nothing happens the second time."""
        with self._engine.lock:
            if not self._started:
                self._engine.spawn(self._run, "waiter")
                self._started = True

    def futures(self) -> List[Future[Any]]:
        """All that are unfinished."""
        with self._engine.lock:
            return [*self._pending.values(), *self._unbound]

    def drop(self) -> List[Future[Any]]:
        """Gives up all futures; they are the caller's now."""
        with self._engine.lock:
            futures = self.futures()
            self._pending.clear()
            self._unbound.clear()
            return futures

    def reload(self) -> List[Future[Any]]:
        """A future for each task of the group: those that are final in the order of submission,
        then the others, which take the records of the tasks that finish next."""
        engine = self._engine
        futures: List[Future[Any]] = []
        while True:
            done, pending_count = self._ask(0)
            settled = []
            for record in done:
                future: Future[Any] = Future(engine, self._group_id, None, b"")
                future._id = record["id"]
                settled.append((future, record))
            with engine.lock:
                engine.outstanding += len(settled)
            self._settle(settled)
            futures.extend(future for future, _ in settled)
            if not done:
                break
        futures.sort(key=lambda future: future._id or "")
        rest: List[Future[Any]] = [
            Future(engine, self._group_id, None, b"") for _ in range(pending_count)
        ]
        with engine.lock:
            engine.outstanding += len(rest)
            self._unbound.extend(rest)
        self.start()
        return futures + rest

    # ---- the thread --------------------------------------------------------------------------

    def _run(self) -> None:
        engine = self._engine
        suspects: List[str] = []
        while True:
            with engine.lock:
                while not self._pending and not self._unbound:
                    if engine.ended():
                        return
                    engine.changed.wait()
            try:
                done, pending_count = self._ask(WAIT_S)
                self._settle(self._take(done))
                if done or pending_count:
                    suspects = []
                elif suspects:
                    self._look_for(suspects)
                else:
                    suspects = list(self._pending)
            except BaseException as error:
                futures = self.drop()
                for future in futures:
                    future._fail(error)
                engine.settled(len(futures))

    def _look_for(self, suspects: List[str]) -> None:
        """The server says that nothing is unfinished and nothing new is final, and yet these were
        accepted before: it has lost them (its data were replaced), or the cursor is too far."""
        for task_id in suspects:
            with self._engine.lock:
                future = self._pending.pop(task_id, None)
            if future is None:
                continue
            try:
                reply = self._engine.client.wait(
                    [task_id], wait_s=0, include_results=True, fields=FIELDS
                )
            except FarhandError as error:
                future._fail(error)
                self._engine.settled(1)
                continue
            if reply["done"]:
                self._settle([(future, dict(reply["done"][0]))])
                continue
            with self._engine.lock:
                self._pending[task_id] = future
            self._engine.retry.pause(LOOK_AGAIN_S)  # it is there, whatever the group says

    def _ask(self, wait_s: float) -> Tuple[List[Record], int]:
        with_results = self._with_results
        reply = self._engine.client.wait(
            group_id=self._group_id,
            since_cursor=self._cursor,
            wait_s=wait_s,
            include_results=with_results,
            max_bytes=MAX_BYTES,
            fields=FIELDS,
            retry=self._engine.retry,
        )
        done: List[Record] = reply["done"]  # type: ignore[assignment]
        self._cursor = reply["cursor"]
        if done:
            size = sum([record["result_size"] for record in done])
            self._with_results = size <= outcome.INLINE_MAX * len(done)
            if not with_results:
                self._complete(done)
        return done, reply["pending_count"]

    def _complete(self, done: List[Record]) -> None:
        """Puts results and errors into records that came without, except large results."""
        lacking = {record["id"]: record for record in done if not outcome.is_large(record)}
        while lacking:
            reply = self._engine.client.wait(
                list(lacking),
                wait_s=0,
                include_results=True,
                max_bytes=MAX_BYTES,
                fields=FIELDS,
                retry=self._engine.retry,
            )
            if not reply["done"]:
                return
            for record in reply["done"]:
                lacking.pop(record["id"], {}).update(record)

    def _take(self, done: List[Record]) -> List[Tuple[Future[Any], Record]]:
        """Each record with its future, which is nobody's from here until it is settled."""
        taken = []
        with self._engine.lock:
            pop = self._pending.pop
            for record in done:
                future = pop(record["id"], None)
                if future is not None:
                    taken.append((future, record))
                elif self._unbound:
                    future = self._unbound.popleft()
                    future._id = record["id"]
                    taken.append((future, record))
                elif self._tickets:
                    self._early[record["id"]] = (self._next_ticket, record)
        return taken

    def _settle(self, taken: List[Tuple[Future[Any], Record]]) -> None:
        count = 0
        for future, record in taken:
            if record.get("result") is None and outcome.is_apart(record) and not future.done():
                self._fetch_later(future, record)
            else:
                _finish(future, record)
                count += 1
        self._engine.settled(count)

    def _fetch_later(self, future: Future[Any], record: Record) -> None:
        engine = self._engine

        def fetch() -> None:
            try:
                pickled = engine.client.get_result_bytes(record["id"], retry=engine.retry)
            except BaseException as error:
                future._fail(error)
            else:
                _finish(future, record, pickled)
            engine.settled(1)

        engine.downloads.put(fetch)


def _finish(future: Future[Any], record: Record, pickled: Optional[bytes] = None) -> None:
    """A done-callback that raises SystemExit or the like ends neither the thread nor the others."""
    try:
        future._settle(record, pickled)
    except BaseException:
        kind, value, trace = sys.exc_info()
        thread = threading.current_thread()
        threading.excepthook(threading.ExceptHookArgs((kind, value, trace, thread)))
