"""The future of a task: a real ``concurrent.futures.Future`` that knows its task."""

from __future__ import annotations

import concurrent.futures
from binascii import a2b_base64
from concurrent.futures import CancelledError
from pickle import loads
from typing import TYPE_CHECKING, Any, Optional, TypeVar

from . import outcome
from .errors import Conflict, FarhandError
from .types import Logs, Task

if TYPE_CHECKING:
    from .engine import Engine
    from .spec import Spec

__all__ = ["Future"]

_T = TypeVar("_T")

_PENDING = "PENDING"
_CANCELLED = "CANCELLED"


class Future(concurrent.futures.Future[_T]):
    """What :meth:`Executor.submit` returns.

    ``result``, ``exception``, ``add_done_callback``, ``done``, ``cancelled`` and the functions
    ``wait`` and ``as_completed`` of ``concurrent.futures`` are the standard library's own.
    """

    # Class attributes, so that making a future costs as little as possible.
    _id: Optional[str] = None
    _refused = False  # it will never have an id

    def __init__(
        self, engine: "Engine", group_id: str, spec: Optional["Spec"], payload: bytes
    ) -> None:
        super().__init__()
        self._engine = engine
        self._group_id = group_id
        self._spec = spec  # None: made for a task that somebody else submitted
        self._payload = payload

    # ---- what it is about --------------------------------------------------------------------

    @property
    def group_id(self) -> str:
        """The group of the task, with which one comes back to it: :func:`farhand.attach`."""
        return self._group_id

    @property
    def task_id(self) -> Optional[str]:
        """The id of the task; waits, if necessary, until the server has accepted it.

        None if it never was: the future was cancelled or failed before. A future from
        :func:`farhand.attach` whose task was not finished then learns its id when it is.
        """
        if self._id is None and self._spec is not None:
            self._engine.await_id(self)
        return self._id

    @property
    def task(self) -> Optional[Task]:
        """The task's record, asked from the server; None while there is no task."""
        task_id = self.task_id
        return None if task_id is None else self._engine.client.get_task(task_id)

    @property
    def traceback_text(self) -> Optional[str]:
        """The traceback as it was where the function ran; None if it has not failed (yet)."""
        if not self.done() or self.cancelled():
            return None
        return outcome.traceback_text(self.exception())

    @property
    def stdout(self) -> str:
        """What the function has printed so far, asked from the server."""
        return self._logs().stdout

    @property
    def stderr(self) -> str:
        """What the function has written to its stderr so far, asked from the server."""
        return self._logs().stderr

    def _logs(self) -> Logs:
        task_id = self.task_id
        return Logs("", "") if task_id is None else self._engine.client.logs(task_id)

    # ---- state -------------------------------------------------------------------------------

    def running(self) -> bool:
        """Whether the function is being run, asked from the server."""
        if self.done() or self._id is None:
            return False
        try:
            return self._engine.client.get_task(self._id).get("state") == "RUNNING"
        except FarhandError:
            return False

    def cancel(self, force: bool = False) -> bool:
        """Cancels the task if it has not started; with `force` also ends it while it runs.

        False: the task runs (and `force` was not given), is finished, or the server cannot be
        reached now.
        """
        if self.done():
            return self.cancelled()
        if self._id is None:
            if self._spec is None:  # whose id is not known here
                return False
            if not self._cancel_here():
                return False
            # Sent at this very moment? Then whoever receives the id second ends the task.
            if self._id is not None:
                self._engine.cancel_later(self._id)
            return True
        try:
            cancelled = self._engine.cancel_now(self._id, force)
        except Conflict:  # final: the result is on its way here
            return False
        except FarhandError:
            return False
        return cancelled and self._cancel_here()

    def _cancel_here(self) -> bool:
        """The state CANCELLED, told to everybody who waits. False: it is finished."""
        cancelled = super().cancel()
        with self._condition:
            if self._state == _CANCELLED:
                self.set_running_or_notify_cancel()
        return cancelled

    # ---- the end, called by whoever holds the future -----------------------------------------

    def _succeed(self, value: _T) -> None:
        if self._begin():
            self.set_result(value)

    def _fail(self, exception: BaseException) -> None:
        self._refused = self._id is None
        if isinstance(exception, CancelledError):
            self._cancel_here()
        elif self._begin():
            self.set_exception(exception)

    def _begin(self) -> bool:
        """PENDING to RUNNING; False if it was cancelled, which stays so."""
        with self._condition:
            return self._state in (_PENDING, _CANCELLED) and self.set_running_or_notify_cancel()

    def _settle(self, record: Any, pickled: Optional[bytes] = None) -> None:
        """Takes the record of the finished task. What goes wrong here is this future's alone."""
        try:
            if record["state"] == outcome.COMPLETED:
                value = loads(a2b_base64(record["result"]) if pickled is None else pickled)
                failure = None
            else:
                failure = outcome.failure(record, pickled)
        except BaseException as error:
            failure = outcome.undecodable(error, str(self._id))
        if failure is None:
            self._succeed(value)
        else:
            self._fail(failure)

    def __repr__(self) -> str:
        text = super().__repr__()
        return f"{text[:-1]} task={self._id}>" if self._id else text
