"""Every exception that Farhand raises by itself.

Three families under :class:`FarhandError`:

- talking to the server: :class:`ServerUnavailable` and :class:`ApiError` with its subclasses;
- a task that failed without a Python exception of its own: :class:`TaskExecutionFailed` and its
  subclasses, one for each reason that the server records;
- what cannot be serialised here: :class:`SerializationError`.

An exception that the function itself raised is raised as it is, with a :class:`RemoteTraceback` as
its ``__cause__``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Dict, List, Mapping, Optional

if TYPE_CHECKING:
    from .client import Batch

__all__ = [
    "AccessDenied",
    "ApiError",
    "BadRequest",
    "Conflict",
    "DeserializationError",
    "FarhandError",
    "Gone",
    "MaxResultSizeExceeded",
    "NoWorker",
    "NotFound",
    "Overloaded",
    "PayloadTooLarge",
    "QueueFull",
    "RemoteError",
    "RemoteTraceback",
    "SerializationError",
    "ServerFault",
    "ServerUnavailable",
    "TaskExecutionFailed",
    "TaskExpired",
    "TaskMemoryError",
    "TaskPending",
    "TaskTimeout",
    "VersionMismatch",
    "WorkerCrashed",
    "WorkerLost",
    "WrongServer",
]


class FarhandError(Exception):
    """The base of all exceptions of this package."""


# ---- talking to the server -------------------------------------------------------------------


class ServerUnavailable(FarhandError, ConnectionError):
    """The server cannot be reached, or the connection broke before it answered."""


class WrongServer(ServerUnavailable):
    """What answers at the URL speaks another protocol, or no TLS, or has a certificate that is not
    trusted. It is not tried again: the URL, or the server, must be changed."""


class ApiError(FarhandError):
    """The server answered, and the answer is an error.

    :ivar status: the HTTP status
    :ivar code: a word for programs, such as ``queue_full``; may be None
    :ivar detail: one line for people
    :ivar errors: which fields are wrong: ``[{"pointer": ..., "detail": ...}]``
    :ivar request_id: to be found in the server's log; may be None
    :ivar retry_after: seconds after which another try makes sense; may be None
    :ivar advice: what would help, where the server knows it; else empty
    :ivar batch: of :meth:`Client.submit_batch`: the calls that were accepted all the same, in
        their order; None where there are none
    :ivar refused: of :meth:`Client.submit_batch`: the exception of each call that was refused,
        this one included, by its place among the calls
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 0,
        code: Optional[str] = None,
        detail: str = "",
        errors: Optional[List[Any]] = None,
        request_id: Optional[str] = None,
        retry_after: Optional[float] = None,
        advice: str = "",
    ) -> None:
        super().__init__(message)
        self.advice = advice
        self.status = status
        self.code = code
        self.detail = detail
        self.errors: List[Any] = errors or []
        self.request_id = request_id
        self.retry_after = retry_after
        self.batch: Optional[Batch] = None
        self.refused: Dict[int, FarhandError] = {}


class BadRequest(ApiError, ValueError):
    """The request is wrong and would be refused again: 400, 415, 422 and the like."""


class PayloadTooLarge(BadRequest):
    """A function, the arguments of a task or a whole request are over a limit of the server."""


class AccessDenied(ApiError):
    """The key is missing, unknown or not allowed to do this (401, 403)."""


class NotFound(ApiError, LookupError):
    """The server does not know this function, task or group."""


class Gone(NotFound):
    """The server knows the task, but no longer keeps its result."""


class Conflict(ApiError):
    """It can no longer be done, for example cancelling a task that is final."""


class NoWorker(Conflict, RuntimeError):
    """Workers are connected, and not one of them has what the task needs: a Python, a module, a
    label, cores, memory. With the option ``wait_for_worker`` such a task is accepted and waits."""


class VersionMismatch(NoWorker):
    """No worker has the Python that the task needs. Code that travels by value needs the very
    minor version that it comes from, for it is byte code."""


class Overloaded(ApiError):
    """The server asks for a pause (429, 503)."""


class QueueFull(Overloaded):
    """The server's queue is full; nothing of the request was accepted."""


class ServerFault(ApiError):
    """The server failed, or what answered is no Farhand server."""


def problem_error(problem: object) -> FarhandError:
    """The exception for a problem that is a part of an answer."""
    if not isinstance(problem, dict):
        problem = {}
    status = problem.get("status")
    body = json.dumps(problem).encode()
    return api_error(status if isinstance(status, int) else 400, {}, body)


def api_error(status: int, headers: Mapping[str, str], body: bytes) -> FarhandError:
    """The exception for an HTTP answer that is not a success."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {}
    code = _text(problem.get("code"))
    title = _text(problem.get("title")) or f"HTTP status {status}"
    detail = _text(problem.get("detail")) or title
    errors = problem.get("errors")
    if not isinstance(errors, list):
        errors = []
    advice = _text(problem.get("advice")) or ""
    message = f"{detail}. {advice}" if advice else detail
    for error in errors:
        if isinstance(error, dict) and error.get("detail") not in (None, detail):
            message += f"; {error.get('pointer', '')}: {error['detail']}"
    if status in (502, 504):
        return ServerUnavailable(message)
    return _kind(status, code, problem.get("lacking"))(
        message,
        status=status,
        code=code,
        detail=detail,
        errors=errors,
        request_id=_text(problem.get("request_id")) or headers.get("x-request-id"),
        retry_after=_seconds(headers.get("retry-after"), problem.get("retry_after")),
        advice=advice,
    )


def _kind(status: int, code: Optional[str], lacking: object) -> "type[ApiError]":
    if status in (429, 503):
        return QueueFull if code == "queue_full" else Overloaded
    if code == "no_worker":
        return VersionMismatch if isinstance(lacking, list) and "runtime" in lacking else NoWorker
    known = {401: AccessDenied, 403: AccessDenied, 404: NotFound, 409: Conflict, 410: Gone}
    if status in known:
        return known[status]
    if status == 413:
        return PayloadTooLarge
    return BadRequest if 400 <= status < 500 else ServerFault


def _text(value: object) -> Optional[str]:
    return value if isinstance(value, str) else None


def _seconds(*candidates: object) -> Optional[float]:
    for candidate in candidates:
        if isinstance(candidate, (str, int, float)):
            try:
                return max(0.0, float(candidate))
            except ValueError:
                continue
    return None


# ---- tasks -----------------------------------------------------------------------------------


class TaskPending(FarhandError):
    """The result was asked for, and the task is not finished yet.

    :ivar state: ``QUEUED`` or ``RUNNING``
    """

    def __init__(self, message: str = "", *, state: str = "QUEUED", task_id: str = "") -> None:
        super().__init__(message)
        self.state = state
        self.task_id = task_id


class TaskExecutionFailed(FarhandError):
    """A task failed, and there is no exception object of the function to raise.

    :ivar reason: why, in the server's words: ``timeout``, ``crash``, ...
    :ivar task_id: the task
    """

    def __init__(
        self,
        message: str = "",
        *,
        reason: Optional[str] = None,
        task_id: Optional[str] = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.task_id = task_id


class RemoteError(TaskExecutionFailed):
    """The function raised an exception that cannot be rebuilt here.

    :ivar type_name: the qualified name of its class, such as ``package.TheirError``
    :ivar text: what ``str()`` of it was
    """

    def __init__(
        self,
        message: str = "",
        *,
        type_name: str = "",
        text: str = "",
        reason: Optional[str] = None,
        task_id: Optional[str] = None,
    ) -> None:
        super().__init__(message, reason=reason, task_id=task_id)
        self.type_name = type_name
        self.text = text


class TaskTimeout(TaskExecutionFailed, TimeoutError):
    """The task ran longer than its time limit and was ended."""


class TaskMemoryError(TaskExecutionFailed, MemoryError):
    """The task passed its memory limit and was ended."""


class WorkerCrashed(TaskExecutionFailed, RuntimeError):
    """The process that ran the task died: a signal, ``os._exit``, a crash in native code."""


class WorkerLost(TaskExecutionFailed, RuntimeError):
    """The worker was lost while it ran a task that may run at most once."""


class TaskExpired(TaskExecutionFailed):
    """The task had not started when its time to wait was over."""


class DeserializationError(TaskExecutionFailed):
    """A function or its arguments cannot be loaded there, or a result cannot be loaded here."""


class SerializationError(TaskExecutionFailed):
    """A function or its arguments cannot be serialised here, or a result cannot be there."""


class MaxResultSizeExceeded(TaskExecutionFailed):
    """The result is larger than the server keeps."""


class RemoteTraceback(Exception):
    """The traceback as it was where the function ran; the ``__cause__`` of what is raised here."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text.rstrip()}\n"""'
