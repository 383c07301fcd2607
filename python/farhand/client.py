"""The HTTP interface, call by call: what the Executor stands on, and good to be used alone."""

from __future__ import annotations

import base64
import urllib.parse
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence
from typing import Tuple, cast

from . import outcome
from .errors import ApiError, Conflict, FarhandError, ServerFault, TaskPending, problem_error
from .options import DEFAULT, Options, as_query
from .outcome import INLINE_MAX
from .requester import RAW, Requester
from .retry import Retry
from .serialize import PICKLE, Serializer
from .types import Group, Logs, Task, WaitReply

__all__ = ["Batch", "Client"]

LABEL_MAX = 120  # characters, so that it is below the 512 bytes that a server takes


class Batch(NamedTuple):
    """What :meth:`Client.submit_batch` made."""

    group_id: str
    task_ids: List[str]


class Client(Requester):
    """A connection to a Farhand server; any number of threads may use one at the same time.

    :param url: the server; else ``FARHAND_URL``, else ``http://127.0.0.1:8000``
    :param key: an access key; else ``FARHAND_KEY``, else none
    :param timeout: seconds to wait for any one answer
    :param connect_timeout: seconds to wait for a connection
    :param retry_for: seconds for which a request is repeated when the server is away or busy
        (every request may be repeated: see `Idempotency-Key` in the HTTP interface)

    Methods raise :class:`farhand.errors.ServerUnavailable` and subclasses of
    :class:`farhand.errors.ApiError`.
    """

    def __init__(
        self,
        url: Optional[str] = None,
        key: Optional[str] = None,
        *,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
        retry_for: float = 30.0,
    ) -> None:
        super().__init__(
            url, key, timeout=timeout, connect_timeout=connect_timeout, retry_for=retry_for
        )
        self._serializer = Serializer()

    # ---- functions ---------------------------------------------------------------------------

    def register_function(
        self,
        function: Callable[..., Any],
        function_name: Optional[str] = None,
        *,
        runtime: Optional[str] = None,
        description: Optional[str] = None,
    ) -> str:
        """Stores a function and returns its id. The same function again gives the same id.

        `runtime` is the Python that its tasks need, such as ``"cp311"``; by default this one where
        the function travels by value, and else any.
        """
        payload, serializer = self._serializer.dump_function(function)
        name = function_name or function_label(function)
        if runtime is None:
            runtime = self._serializer.runtime_of(payload, serializer)
        return self.put_function(
            name, payload, serializer, runtime=runtime, description=description
        )

    def put_function(
        self,
        name: str,
        payload: bytes,
        serializer: str = PICKLE,
        *,
        runtime: Optional[str] = None,
        description: Optional[str] = None,
        retry: Optional[Retry] = None,
    ) -> str:
        """Stores a callable that is pickled already and returns its id."""
        body = {"name": name, "payload": _text(payload), "serializer": serializer}
        if runtime is not None:
            body["runtime"] = runtime
        if description is not None:
            body["description"] = description
        answer = self.call("POST", "/v1/functions", body, retry=retry)
        return _member(answer, "function_id")

    # ---- tasks -------------------------------------------------------------------------------

    def run(
        self, *args: Any, function_id: str, endpoint_id: Optional[str] = None, **kwargs: Any
    ) -> str:
        """Submits one call of a registered function and returns the id of the task.

        `endpoint_id` is there for callers who come from elsewhere; it is ignored.
        """
        return self.submit(function_id, args, kwargs)

    def submit(
        self,
        function_id: str,
        args: Sequence[Any] = (),
        kwargs: Optional[Mapping[str, Any]] = None,
        *,
        group_id: Optional[str] = None,
        options: Optional[Mapping[str, Any]] = None,
    ) -> str:
        """Submits one call, with options as in :meth:`Executor.with_options`; the task's id."""
        payload, runtime = self._dump_call(args, kwargs or {})
        fields = _options(options).now()
        task = self.put_task(function_id, payload, {**runtime, **fields}, group_id=group_id)
        return _member(task, "id")

    def put_task(
        self,
        function_id: str,
        payload: bytes,
        fields: Mapping[str, Any],
        *,
        group_id: Optional[str] = None,
        retry: Optional[Retry] = None,
    ) -> Task:
        """Submits arguments that are pickled already: small ones as JSON, large ones raw."""
        what = {"function_id": function_id}
        if group_id is not None:
            what["group_id"] = group_id
        how: Dict[str, Any] = {"idempotent": False, "retry": retry}
        body: Any
        if len(payload) > INLINE_MAX:
            how.update(query={**what, **as_query(fields)}, content_type=RAW)
            body = payload
        else:
            body = {**what, **fields, "payload": _text(payload)}
        return cast(Task, self.call("POST", "/v1/tasks", body, **how))

    def submit_batch(
        self,
        function_id: str,
        calls: Iterable[Tuple[Sequence[Any], Mapping[str, Any]]],
        *,
        group_id: Optional[str] = None,
        options: Optional[Mapping[str, Any]] = None,
    ) -> Batch:
        """Submits many calls, each ``(args, kwargs)``, in one request (at most 10,000, 8 MiB).

        Without `group_id` they make a group of their own.

        :raises ApiError: a call was refused: the exception of the first one. A mistake in the
            request, or a full queue, refuses all of them. What is wrong with one call alone (no
            worker can run it, its payload is too large) leaves the others accepted: then `batch`
            of the exception is what they made, and `refused` says which calls were not and why.
        """
        defaults = _options(options).now()
        tasks = []
        for args, kwargs in calls:
            payload, runtime = self._dump_call(args, kwargs)
            own = {} if "runtime" in defaults else runtime
            tasks.append({**own, "payload": _text(payload)})
        body: Dict[str, Any] = {
            "function_id": function_id,
            "defaults": defaults,
            "tasks": tasks,
        }
        if group_id is not None:
            body["group_id"] = group_id
        answer = self.call("POST", "/v1/tasks:batch", body, idempotent=False)
        entries = answer.get("tasks", ())
        refused = {
            place: problem_error(entry.get("problem"))
            for place, entry in enumerate(entries)
            if "id" not in entry
        }
        ids = [entry["id"] for entry in entries if "id" in entry]
        batch = Batch(_member(answer, "group_id"), ids) if ids or not refused else None
        if refused:
            raise _first_of(refused, batch)
        assert batch is not None
        return batch

    def _dump_call(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Tuple[bytes, Dict[str, str]]:
        """The payload, and the field that ties it to this Python if there is byte code in it."""
        payload, by = self._serializer.dump_call(tuple(args), dict(kwargs))
        runtime = self._serializer.runtime_of(payload, by)
        return payload, {} if runtime is None else {"runtime": runtime}

    def get_task(
        self,
        task_id: str,
        *,
        wait: float = 0,
        until: str = "finished",
        retry: Optional[Retry] = None,
    ) -> Task:
        """The task as it is now, or after up to `wait` seconds as soon as it has started or
        finished (`until`)."""
        query = {"wait": f"{wait:g}", "for": until} if wait else None
        timeout = self.timeout + wait
        return cast(
            Task, self.call("GET", _task(task_id), query=query, timeout=timeout, retry=retry)
        )

    def get_result(self, task_id: str, *, wait: float = 0) -> Any:
        """What the function returned; raises what it raised.

        :raises TaskPending: it is not finished, also not after `wait` seconds
        """
        query = {"wait": f"{wait:g}"} if wait else None
        response = self.request(
            "GET", _task(task_id) + "/result", query=query, timeout=self.timeout + wait
        )
        record = outcome.parse(response.body)
        if response.status == 202 or not outcome.is_final(record):
            state = str(record.get("state") or "QUEUED")
            raise TaskPending(f"task {task_id} is {state}", state=state, task_id=task_id)
        if "id" not in record:
            record["id"] = task_id
        return outcome.value(record)

    def get_result_bytes(self, task_id: str, *, retry: Optional[Retry] = None) -> bytes:
        """The pickled result of a task that is finished, as it is stored."""
        path = _task(task_id) + "/result"
        response = self.request("GET", path, accept=RAW, retry=retry)
        if response.status == 202:
            raise TaskPending(f"task {task_id} is not finished", task_id=task_id)
        return response.body

    def wait(
        self,
        task_ids: Optional[Sequence[str]] = None,
        *,
        group_id: Optional[str] = None,
        since_cursor: Optional[str] = None,
        mode: str = "any",
        wait_s: float = 30.0,
        include_results: bool = False,
        max_bytes: Optional[int] = None,
        fields: Optional[Sequence[str]] = None,
        retry: Optional[Retry] = None,
    ) -> WaitReply:
        """Waits until some (``mode="any"``) or all tasks of a list or a group are final.

        Tasks of a group come in the order of finishing, each once: give the `cursor` of one answer
        as `since_cursor` of the next. `done` is empty when `wait_s` are over (at most 60). `fields`
        names the members that its tasks shall have; else they have all.
        """
        body: Dict[str, Any] = {
            "mode": mode,
            "wait_s": wait_s,
            "include_results": include_results,
        }
        if (task_ids is None) == (group_id is None):
            raise ValueError("wait for task_ids or for a group_id")
        if task_ids is not None:
            body["ids"] = list(task_ids)
        else:
            body["group_id"] = group_id
        if since_cursor is not None:
            body["since_cursor"] = since_cursor
        if max_bytes is not None:
            body["max_bytes"] = max_bytes
        if fields is not None:
            body["fields"] = list(fields)
        timeout = self.timeout + wait_s
        return cast(
            WaitReply, self.call("POST", "/v1/tasks:wait", body, timeout=timeout, retry=retry)
        )

    def cancel(
        self,
        task_id: str,
        *,
        force: bool = False,
        timeout: Optional[float] = None,
        retry: Optional[Retry] = None,
    ) -> bool:
        """Cancels a task that has not started; with `force` also ends one that runs.

        True when it is cancelled or being ended, False when it runs and `force` was not given.

        :raises Conflict: it is final already
        """
        path = _task(task_id) + ":cancel"
        try:
            self.request("POST", path, {"force": force}, timeout=timeout, retry=retry)
        except Conflict as conflict:
            if conflict.code == "running":
                return False
            raise
        return True

    def logs(self, task_id: str) -> Logs:
        """What the task has printed, as far as it was kept."""
        answer = self.call("GET", _task(task_id) + "/logs")
        return Logs(
            str(answer.get("stdout") or ""),
            str(answer.get("stderr") or ""),
            bool(answer.get("stdout_truncated")),
            bool(answer.get("stderr_truncated")),
        )

    # ---- groups and the server -----------------------------------------------------------------

    def create_group(
        self,
        name: Optional[str] = None,
        tags: Optional[Mapping[str, str]] = None,
        *,
        retry: Optional[Retry] = None,
    ) -> Group:
        """Makes an empty group, to submit tasks into."""
        body: Dict[str, Any] = {}
        if name:
            body["name"] = name
        if tags:
            body["tags"] = dict(tags)
        answer = self.call("POST", "/v1/groups", body, idempotent=False, retry=retry)
        _member(answer, "id")
        return cast(Group, answer)

    def get_group(self, group_id: str, *, retry: Optional[Retry] = None) -> Group:
        """The group with its number of tasks in each state."""
        return cast(Group, self.call("GET", f"/v1/groups/{_quote(group_id)}", retry=retry))

    def stats(self) -> Dict[str, Any]:
        """Counters of the server."""
        return self.call("GET", "/v1/stats")

    def version(self, *, retry: Optional[Retry] = None) -> Dict[str, Any]:
        """The version of the server."""
        return self.call("GET", "/version", retry=retry)


def function_label(function: Callable[..., Any]) -> str:
    """The name under which a function is shown."""
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return str(name)[:LABEL_MAX]


def _options(options: Optional[Mapping[str, Any]]) -> Options:
    return DEFAULT.replace(**options) if options else DEFAULT


def _text(payload: bytes) -> str:
    return base64.b64encode(payload).decode("ascii")


def _quote(identifier: str) -> str:
    return urllib.parse.quote(identifier, safe="")


def _task(task_id: str) -> str:
    return f"/v1/tasks/{_quote(task_id)}"


def _first_of(refused: Dict[int, FarhandError], batch: Optional[Batch]) -> FarhandError:
    """The exception for a batch of which these calls were refused; `batch` are the others."""
    error = next(iter(refused.values()))
    if isinstance(error, ApiError):
        error.batch, error.refused = batch, refused
    if batch is not None:
        all_calls = len(refused) + len(batch.task_ids)
        error.args = (
            f"{error} ({len(refused)} of {all_calls} calls were refused; the others were "
            "accepted, and are in the `batch` of this exception)",
        )
    return error


def _member(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str):
        raise ServerFault(f"the server's answer has no {name}; is this a Farhand server?")
    return value
