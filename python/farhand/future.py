"""The future of a task: a real ``concurrent.futures.Future`` that knows its task."""

from __future__ import annotations

import concurrent.futures
import os
import threading
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

_PENDING, _RUNNING, _FINISHED = "PENDING", "RUNNING", "FINISHED"
_CANCELLED, _CANCELLED_AND_NOTIFIED = "CANCELLED", "CANCELLED_AND_NOTIFIED"
_DONE = (_FINISHED, _CANCELLED_AND_NOTIFIED, _CANCELLED)
_SHARED_PARTS = ("_condition", "_waiters", "_done_callbacks")

# Guards the birth of a future's condition against its end without one.
_birth = threading.Lock()


class Future(concurrent.futures.Future[_T]):
    """What :meth:`Executor.submit` returns.

    ``result``, ``exception``, ``add_done_callback``, ``done``, ``cancelled`` and the functions
    ``wait`` and ``as_completed`` of ``concurrent.futures`` do what they always do.

    The condition that the base class makes for each future, with a lock, a queue and two lists, is
    made here when somebody looks at it first. Most futures are finished before anybody does, and
    without it the whole life of one costs less than half.
    """

    # The state, as in the base class; here, so that making a future costs as little as possible.
    _state = _PENDING
    _result: Optional[_T] = None
    _exception: Optional[BaseException] = None
    _id: Optional[str] = None

    def __init__(
        self, engine: "Engine", group_id: str, spec: Optional["Spec"], payload: bytes
    ) -> None:
        self._engine = engine
        self._group_id = group_id
        self._spec = spec  # None: made for a task that somebody else submitted
        self._payload = payload

    def __getattr__(self, name: str) -> Any:
        if name not in _SHARED_PARTS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        own = self.__dict__
        with _birth:
            if "_condition" not in own:
                own.update(_waiters=[], _done_callbacks=[], _condition=threading.Condition())
        return own[name]

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

    def done(self) -> bool:
        """Whether it is finished or cancelled."""
        return self._state in _DONE

    def cancelled(self) -> bool:
        """Whether it is cancelled."""
        return self._state in _DONE and self._state != _FINISHED

    def result(self, timeout: Optional[float] = None) -> _T:
        """What the function returned; waits for it. Raises what the function raised."""
        if self._state == _FINISHED and self._exception is None:
            return self._result  # type: ignore[return-value]
        return super().result(timeout)

    def running(self) -> bool:
        """Whether the function is being run, asked from the server."""
        if self.done() or self._id is None:
            return False
        try:
            return self._engine.state_now(self._id) == "RUNNING"
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

    def _finish(self, value: Any, exception: Optional[BaseException] = None) -> None:
        """Sets the result or the exception. Nothing happens to a future that is done already."""
        with _birth:
            if "_condition" not in self.__dict__:  # nobody has looked at it yet
                if self._state == _PENDING:
                    self._result, self._exception = value, exception
                    self._state = _FINISHED
                return
        with self._condition:
            if self._state == _CANCELLED:
                self.set_running_or_notify_cancel()
            if self._state != _PENDING:
                return
            self._state = _RUNNING  # from here on nobody else ends it
        if exception is None:
            self.set_result(value)
        else:
            self.set_exception(exception)

    def _fail(self, exception: BaseException) -> None:
        if isinstance(exception, CancelledError):
            self._cancel_here()
        else:
            self._finish(None, exception)

    def _settle(self, record: Any, pickled: Optional[bytes] = None) -> None:
        """Takes the record of the finished task. What goes wrong here is this future's alone."""
        try:
            if record["state"] == outcome.COMPLETED:
                value = loads(a2b_base64(record["result"]) if pickled is None else pickled)
                failure = None
            else:
                failure = outcome.failure(record)
        except BaseException as error:
            failure = outcome.undecodable(error, str(self._id))
        if failure is None:
            self._finish(value)
        else:
            self._fail(failure)

    def __repr__(self) -> str:
        text = super().__repr__()
        return f"{text[:-1]} task={self._id}>" if self._id else text


def _after_fork() -> None:
    global _birth
    _birth = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
