"""Farhand runs your Python functions on somebody else's strong machine.

:class:`Executor` is a ``concurrent.futures.Executor``; :class:`Client` is the HTTP interface call
by call. ``docs/sdk.md`` in the source tree has the behaviour in full.
"""

from .client import Batch, Client
from .errors import (
    AccessDenied,
    ApiError,
    BadRequest,
    Conflict,
    DeserializationError,
    FarhandError,
    Gone,
    MaxResultSizeExceeded,
    NotFound,
    NoWorker,
    Overloaded,
    PayloadTooLarge,
    QueueFull,
    RemoteError,
    RemoteTraceback,
    SerializationError,
    ServerFault,
    ServerUnavailable,
    TaskExecutionFailed,
    TaskExpired,
    TaskMemoryError,
    TaskPending,
    TaskTimeout,
    VersionMismatch,
    WorkerCrashed,
    WorkerLost,
    WrongServer,
)
from .executor import Executor, attach
from .future import Future
from .options import Backoff
from .types import Group, Logs, Task, WaitReply
from .version import __version__

__all__ = [
    "AccessDenied",
    "ApiError",
    "Backoff",
    "BadRequest",
    "Batch",
    "Client",
    "Conflict",
    "DeserializationError",
    "Executor",
    "FarhandError",
    "Future",
    "Gone",
    "Group",
    "Logs",
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
    "Task",
    "TaskExecutionFailed",
    "TaskExpired",
    "TaskMemoryError",
    "TaskPending",
    "TaskTimeout",
    "VersionMismatch",
    "WaitReply",
    "WorkerCrashed",
    "WorkerLost",
    "WrongServer",
    "__version__",
    "attach",
]
