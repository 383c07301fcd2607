"""From the record of a finished task to a value, or to the exception that tells what happened."""

from __future__ import annotations

import binascii
import json
import pickle
from typing import Any, Dict, Mapping, Optional, Tuple, Type

from .errors import (
    DeserializationError,
    MaxResultSizeExceeded,
    RemoteError,
    RemoteTraceback,
    SerializationError,
    ServerFault,
    TaskExecutionFailed,
    TaskExpired,
    TaskMemoryError,
    TaskTimeout,
    WorkerCrashed,
    WorkerLost,
)
from concurrent.futures import CancelledError

INLINE_MAX = 64 << 10  # larger payloads and results travel raw: base64 in JSON costs both sides
COMPLETED, FAILED, CANCELLED = "COMPLETED", "FAILED", "CANCELLED"

_REASONS: Dict[str, Tuple[Type[TaskExecutionFailed], str]] = {
    "timeout": (TaskTimeout, "it ran longer than its time limit"),
    "memory": (TaskMemoryError, "it passed its memory limit"),
    "crash": (WorkerCrashed, "the process that ran it died"),
    "worker_lost": (WorkerLost, "its worker was lost"),
    "undecodable": (DeserializationError, "the function or its arguments cannot be loaded"),
    "unserialisable": (SerializationError, "what it returned or raised cannot be serialised"),
    "result_too_large": (MaxResultSizeExceeded, "its result is larger than the server keeps"),
    "expired": (TaskExpired, "it had not started when its time to wait was over"),
}


def parse(body: bytes) -> Dict[str, Any]:
    """The JSON object in the body of an answer."""
    try:
        record = json.loads(body)
    except ValueError:
        record = None
    if not isinstance(record, dict):
        raise ServerFault("the server's answer is no JSON object")
    return record


def is_final(record: Mapping[str, Any]) -> bool:
    """Whether the task has ended, in whatever way."""
    return record.get("state") in (COMPLETED, FAILED, CANCELLED)


def value(record: Mapping[str, Any]) -> Any:
    """What a final task returned; raises what it raised."""
    if record["state"] == COMPLETED:
        return load(record.get("result"), record["id"])
    raise failure(record)


def load(encoded: Any, task_id: str) -> Any:
    """The object in the base64 text of a result."""
    try:
        return pickle.loads(binascii.a2b_base64(encoded))
    except Exception as error:
        raise undecodable(error, task_id) from error


def is_large(record: Mapping[str, Any]) -> bool:
    """Whether the result is better fetched raw."""
    return record["state"] == COMPLETED and bool(record["result_size"] > INLINE_MAX)


def is_apart(record: Mapping[str, Any]) -> bool:
    """Whether there is a result that did not come with the record."""
    return record["state"] == COMPLETED and record.get("result") is None


def undecodable(error: BaseException, task_id: str) -> DeserializationError:
    """The exception for a result that cannot be loaded in this process."""
    return DeserializationError(
        f"the result of task {task_id} cannot be loaded here: {type(error).__name__}: {error}",
        reason="undecodable",
        task_id=task_id,
    )


def failure(record: Mapping[str, Any]) -> BaseException:
    """The exception that stands for a task that FAILED or was CANCELLED."""
    task_id = str(record.get("id"))
    if record.get("state") == CANCELLED:
        return CancelledError()
    reason = record.get("reason")
    error = record.get("error") or {}
    text = error.get("message") or ""
    trace = error.get("traceback")
    exception: BaseException
    if reason == "exception":
        exception = _original(record.get("result"), error, task_id)
    else:
        kind, meaning = _REASONS.get(str(reason), (TaskExecutionFailed, f"reason {reason}"))
        type_name = error.get("type")
        said = f"{type_name}: {text}" if type_name and trace else text
        message = f"task {task_id} failed: {meaning}" + (f" ({said})" if said else "")
        exception = kind(message, reason=reason, task_id=task_id)
    if trace:
        exception.__cause__ = RemoteTraceback(trace)
    _note(exception, task_id, record.get("attempt"))
    return exception


def traceback_text(exception: Optional[BaseException]) -> Optional[str]:
    """The remote traceback that an exception carries."""
    cause = getattr(exception, "__cause__", None)
    return cause.text if isinstance(cause, RemoteTraceback) else None


def _original(encoded: Any, error: Mapping[str, Any], task_id: str) -> BaseException:
    """The exception object that the function raised, or a RemoteError that describes it."""
    trouble = ""
    if encoded:
        try:
            exception = pickle.loads(binascii.a2b_base64(encoded))
            if isinstance(exception, BaseException):
                if not _stands_in(exception, error):
                    return exception
                trouble = "; it cannot be rebuilt from its own pickle"
            else:
                trouble = f"; what came is a {type(exception).__name__}"
        except Exception as problem:
            trouble = f"; it cannot be rebuilt here: {type(problem).__name__}: {problem}"
    type_name, text = str(error.get("type") or "an exception"), str(error.get("message") or "")
    return RemoteError(
        f"{type_name}: {text} (task {task_id}{trouble})",
        type_name=type_name,
        text=text,
        reason="exception",
        task_id=task_id,
    )


def _stands_in(exception: BaseException, error: Mapping[str, Any]) -> bool:
    """Whether the runner sent a RuntimeError instead of one that no pickle can hold."""
    name = error.get("type")
    return type(exception) is RuntimeError and name not in (None, "builtins.RuntimeError")


def _note(exception: BaseException, task_id: str, attempt: Any) -> None:
    """Python 3.11 prints such notes below the exception."""
    add_note = getattr(exception, "add_note", None)
    if add_note is not None:
        which = f", attempt {attempt}" if attempt else ""
        add_note(f"in task {task_id}{which}")
