"""The objects of the HTTP interface as the client shows them: plain dictionaries with known keys.

A server may add keys; which ones are there depends on the state of the task.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, TypedDict

__all__ = ["Error", "Group", "Logs", "Task", "WaitReply"]


class Error(TypedDict, total=False):
    """What a failed task says about itself."""

    type: str
    message: str
    traceback: Optional[str]


class Task(TypedDict, total=False):
    """A task. Times are RFC 3339 in UTC."""

    id: str
    function_id: str
    function_name: Optional[str]
    group_id: Optional[str]
    state: str
    reason: Optional[str]
    attempt: int
    priority: int
    runtime: Optional[str]
    resources: Dict[str, Any]
    labels: Dict[str, Optional[str]]
    tags: Dict[str, str]
    worker_id: Optional[str]
    created_at: str
    not_before: Optional[str]
    queued_at: Optional[str]
    started_at: Optional[str]
    finished_at: Optional[str]
    expires_at: Optional[str]
    timings: Dict[str, float]
    result_size: int
    links: Dict[str, str]
    result: Optional[str]
    error: Optional[Error]


class Group(TypedDict, total=False):
    """A durable set of tasks; ``counts`` has one number for each state."""

    id: str
    name: Optional[str]
    tags: Dict[str, str]
    created_at: str
    total: int
    counts: Dict[str, int]


class WaitReply(TypedDict):
    """The answer to one wait: what is final, how much is not, where to go on."""

    done: List[Task]
    pending_count: int
    cursor: Optional[str]


class Logs(NamedTuple):
    """What a task has printed, from its start, as far as the server keeps it."""

    stdout: str
    stderr: str
    stdout_truncated: bool = False
    stderr_truncated: bool = False
