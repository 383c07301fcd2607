"""The Executor: ``concurrent.futures`` whose workers are somewhere else."""

from __future__ import annotations

import concurrent.futures
import copy
import os
from typing import TYPE_CHECKING, Any, Callable, Dict, Iterable, Iterator, List, Mapping, Optional
from typing import Sequence, Tuple, TypeVar

from .client import Client
from .engine import WAIT_FOR_ALL, WAIT_FOR_NOTHING, WAIT_FOR_SENDING, Engine
from .errors import SerializationError
from .functions import Known, along
from .future import Future
from .mapping import run_map
from .modules import Peer
from .options import DEFAULT, Options
from .outcome import INLINE_MAX
from .retry import Retry
from .serialize import DILL, PICKLE, Serializer
from .shared import Shared
from .spec import Spec

if TYPE_CHECKING:  # type checkers know this module without its being installed
    from typing_extensions import ParamSpec

    _P = ParamSpec("_P")

__all__ = ["Executor", "attach"]

_T = TypeVar("_T")


class Executor(concurrent.futures.Executor):
    """Runs functions on a Farhand server; a drop-in for the executors of the standard library.

    ::

        with Executor() as far:
            future = far.submit(pow, 2, 100)
            print(future.result())

    :param url: the server; else ``FARHAND_URL``, else ``http://127.0.0.1:8000``
    :param key: an access key; else ``FARHAND_KEY``, else none
    :param max_workers: what to tell programs that ask how much an executor can do at once (dask
        reads ``_max_workers``); by default the number of slots of the server
    :param retries: how often a failed attempt of a task is forgiven
    :param timeout: seconds that one attempt may run
    :param priority: -100 to 100, larger first
    :param tags: a dict from text to text, kept with the group and with each task
    :param on_mismatch: code that travels by value needs a worker with this very minor version of
        Python. ``"refuse"``: it goes to such a worker, and where there is none its future has a
        :class:`farhand.VersionMismatch`; ``"ignore"``: it goes to any; ``"warn"``: likewise, with a
        warning if the server's Python is another one
    :param connect_timeout: seconds within which the very first contact must succeed
    :param give_up: seconds after which a server that went away later fails the tasks that wait for
        it; None, the default: never, they wait until it is back
    :param label: a name for the group of tasks
    :param task_group_id: submit into this group, not into a new one
    :param client: a :class:`Client` to use, in place of `url` and `key`
    :param resource_specification: ``{"mem": "2G", "cpus": 4}``
    :param serializer: ``"auto"`` (the default), ``"pickle"``, ``"cloudpickle"`` or ``"dill"``

    The other parameters are there for code that was written for other executors; they are ignored.

    Nothing is sent before the first :meth:`submit`, which raises
    :class:`farhand.errors.ServerUnavailable` when there is no server.
    """

    def __init__(
        self,
        endpoint_id: Optional[str] = None,
        client: Optional[Client] = None,
        task_group_id: Optional[str] = None,
        resource_specification: Optional[Mapping[str, Any]] = None,
        user_endpoint_config: Optional[Mapping[str, Any]] = None,
        label: str = "",
        batch_size: int = 128,
        amqp_port: Optional[int] = None,
        api_burst_limit: int = 4,
        api_burst_window_s: int = 16,
        serializer: Optional[str] = None,
        result_serializers: Optional[Sequence[str]] = None,
        *,
        url: Optional[str] = None,
        key: Optional[str] = None,
        max_workers: Optional[int] = None,
        retries: int = 0,
        timeout: Optional[float] = None,
        priority: int = 0,
        tags: Optional[Mapping[str, str]] = None,
        on_mismatch: str = "refuse",
        connect_timeout: float = 5.0,
        give_up: Optional[float] = None,
    ) -> None:
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        own = client is None
        if client is None:
            client = Client(url, key, connect_timeout=connect_timeout)
        elif url is not None or key is not None:
            raise ValueError("give a client, or url and key")
        changes: Dict[str, Any] = {"timeout": timeout, "tags": tags}
        changes.update(retries=retries or None, priority=priority or None)
        self._options = DEFAULT.replace(**changes)
        self._specs: Dict[str, Spec] = {}  # by function, for these options
        peer = Peer(client, on_mismatch)
        self._serializer = Serializer(peer, serializer)
        self._engine = Engine(client, own, give_up)
        self._shared = Shared(self._engine, peer)
        self._shared.group_id = task_group_id
        self._known = self._shared.functions.known
        self._connect_timeout = connect_timeout
        self._slots = max_workers
        self._tags = tags
        self.label = label
        self.endpoint_id = endpoint_id
        self.user_endpoint_config = user_endpoint_config
        self.result_serializers = result_serializers
        self._resources: Optional[Mapping[str, Any]] = None
        self.resource_specification = resource_specification

    # ---- submitting --------------------------------------------------------------------------

    if TYPE_CHECKING:

        def submit(
            self, fn: Callable[_P, _T], /, *args: _P.args, **kwargs: _P.kwargs
        ) -> Future[_T]:
            """Submits the call ``fn(*args, **kwargs)`` and returns the future of its result."""

    else:

        def submit(self, fn, /, *args, **kwargs):
            """Submits the call ``fn(*args, **kwargs)`` and returns the future of its result.

            Returns at once; the task is sent by a thread. Blocks while 10,000 tasks or 64 MiB of
            arguments are unsent, for example because the server's queue is full.

            What cannot be serialised is an exception of the future, not of this call.

            :raises ServerUnavailable: there is no server (first contact only)
            :raises RuntimeError: after :meth:`shutdown`
            """
            known = self._known.get(id(fn))
            if known is None or known.ref() is not fn:
                try:
                    known = self._find(fn)
                except SerializationError as error:
                    return self._failed(error)
                if known.along:
                    args, fn = along(fn, args), None
            return self._submit(known.function_id, args, kwargs, fn)

    def submit_to_registered_function(
        self,
        function_id: str,
        args: Optional[Sequence[Any]] = None,
        kwargs: Optional[Mapping[str, Any]] = None,
    ) -> Future[Any]:
        """Like :meth:`submit`, for a function that is registered under this id."""
        self._open()
        return self._submit(function_id, tuple(args or ()), dict(kwargs or {}), None)

    def register_function(
        self, fn: Callable[..., Any], function_id: Optional[str] = None, **kwargs: Any
    ) -> str:
        """Registers a function before its first :meth:`submit` and returns its id.

        With `function_id` nothing is sent: later calls of `fn` go to that function. Other keywords
        are ignored.

        :raises ValueError: it is registered already
        """
        functions = self._shared.functions
        if function_id is None:
            if functions.get(fn) is not None:
                raise ValueError(f"{fn!r} is registered already")
            return self._find(fn).function_id
        functions.add(fn, function_id)
        return function_id

    def _submit(
        self,
        function_id: str,
        args: Tuple[Any, ...],
        kwargs: Dict[str, Any],
        fn: Optional[Callable[..., Any]],
    ) -> Future[Any]:
        """`fn` is what is registered under that id, where it is not among the arguments."""
        try:
            payload, by = self._serializer.dump_call(args, kwargs)
            if by == DILL and fn is not None:
                # What dill sends by value in two pickles is two classes there: send one pickle.
                function_id = self._shared.functions.carrier(fn).function_id
                payload, by = self._serializer.dump_call(along(fn, args), kwargs)
        except SerializationError as error:
            return self._failed(error)
        runtime = None if by == PICKLE else self._serializer.runtime_of(payload, by)
        if runtime is None:
            spec = self._specs.get(function_id) or self._spec(function_id, self._options)
        else:
            spec = self._spec_of_code(function_id, runtime)
        group_id = self._shared.group_id or self._open()
        future: Future[Any] = Future(self._engine, group_id, spec, payload)
        self._engine.put(future, len(payload), len(payload) > INLINE_MAX)
        return future

    def _failed(self, error: BaseException) -> Future[Any]:
        future: Future[Any] = Future(self._engine, self._shared.group_id or "", None, b"")
        future._fail(error)
        return future

    def _find(self, fn: Callable[..., Any], as_it_is: bool = False) -> Known:
        self._open()
        return self._shared.functions.find(fn, self._serializer, as_it_is)

    def _spec(self, function_id: str, options: Options, key: str = "") -> Spec:
        spec = Spec(function_id, options)
        if not options.delay_s:  # with a delay, the moment is another one for each task
            self._specs[key or function_id] = spec
        return spec

    def _spec_of_code(self, function_id: str, runtime: str) -> Spec:
        """For arguments that are tied to a Python, unless another one was asked for."""
        key = f"{function_id} {runtime}"
        options = self._options
        if "runtime" not in options.fields:
            options = options.replace(runtime=runtime)
        return self._specs.get(key) or self._spec(function_id, options, key)

    def _open(self) -> str:
        """The group to submit into. The first contact with the server, so it gives up soon."""
        shared, engine = self._shared, self._engine
        if not engine.open:
            raise engine.refusal()
        with shared.opening:
            if not shared.opened:
                client = engine.client
                client.version(retry=Retry(self._connect_timeout))
                if shared.group_id is None:
                    group = client.create_group(self.label, self._tags, retry=engine.retry)
                    shared.group_id = group["id"]
                else:
                    client.get_group(shared.group_id, retry=engine.retry)
                shared.opened = True
            assert shared.group_id is not None
            engine.waiter(shared.group_id).start()
            return shared.group_id

    # ---- map ---------------------------------------------------------------------------------

    def map(
        self,
        fn: Callable[..., _T],
        *iterables: Iterable[Any],
        timeout: Optional[float] = None,
        chunksize: int = 1,
        buffersize: Optional[int] = None,
    ) -> Iterator[_T]:
        """``map(fn, *iterables)``, each call a task; yields the results in the order of the calls.

        :param timeout: seconds from now in which each result must be there
        :param chunksize: so many calls become one task: for a large number of tiny calls. A chunk
            has one time limit, one retry, one result
        :param buffersize: submit only so many tasks ahead of the result that was taken last, so
            that an endless iterable can be mapped; by default all are submitted at once
        :raises TimeoutError: while iterating; tasks that have not started are cancelled
        """
        return run_map(self, fn, iterables, timeout, chunksize, buffersize)

    # ---- options -----------------------------------------------------------------------------

    def with_options(self, **options: Any) -> "Executor":
        """A copy of this Executor that submits with other options; everything else is shared.

        ``retries``
            failed attempts that are forgiven
        ``retry_on``
            what counts for that: ``"exception"``, ``"timeout"``, ``"memory"``, ``"crash"``,
            exception classes or their qualified names; one or several; by default everything
        ``backoff``
            a :class:`farhand.Backoff`: the pause before a retry
        ``timeout``
            seconds that one attempt may run
        ``mem``
            memory that the function may use, as a number of bytes or ``"2G"``
        ``cpus``
            cores that the worker's machine must have
        ``runtime``
            the Python that it must run with, such as ``"cp311"``
        ``labels``
            what the worker must have been started with: ``{"gpu": "1"}``, or None for any value
        ``wait_for_worker``
            wait when workers are there and none of them has all of that; otherwise the future's
            exception is a :class:`farhand.NoWorker`
        ``priority``
            -100 to 100, larger first
        ``tags``
            a dict from text to text
        ``at_most_once``
            never run it a second time, not even when its worker is lost
        ``not_before``, ``delay``
            do not start before this moment, or before so many seconds have passed
        ``expires_in``
            fail if it has not started after so many seconds

        None sets an option back to the default. Shutting down a copy shuts down the original.
        """
        other = copy.copy(self)
        other._options = self._options.replace(**options)
        other._specs = {}
        return other

    @property
    def resource_specification(self) -> Optional[Mapping[str, Any]]:
        """What each task may use and needs: ``{"mem": "2G", "cpus": 4}``. May be set."""
        return self._resources

    @resource_specification.setter
    def resource_specification(self, value: Optional[Mapping[str, Any]]) -> None:
        for name in value or ():
            if name not in ("mem", "cpus"):
                raise ValueError(f"resource_specification knows mem and cpus, not {name!r}")
        value = value or {}
        self._options = self._options.replace(mem=value.get("mem"), cpus=value.get("cpus"))
        self._resources = value or None
        self._specs = {}

    @property
    def serializer(self) -> Optional[str]:
        """How functions and arguments are serialised. May be set."""
        return self._serializer.forced

    @serializer.setter
    def serializer(self, value: Optional[str]) -> None:
        self._serializer = Serializer(self._shared.peer, value)

    @property
    def task_group_id(self) -> Optional[str]:
        """The group that tasks are submitted into; None before the first. May be set."""
        return self._shared.group_id

    @task_group_id.setter
    def task_group_id(self, value: Optional[str]) -> None:
        with self._shared.opening:
            self._shared.group_id = value
            self._shared.opened = False

    @property
    def client(self) -> Client:
        """The client that this Executor uses."""
        return self._engine.client

    @property
    def _max_workers(self) -> int:
        """How many tasks can run at the same time; dask and others read this name."""
        if self._slots is None:
            slots = self._engine.client.stats().get("slots")
            self._slots = slots if isinstance(slots, int) and slots > 0 else os.cpu_count() or 1
        return self._slots

    # ---- coming back, and the end --------------------------------------------------------------

    def reload_tasks(self, task_group_id: Optional[str] = None) -> List[Future[Any]]:
        """A future for each task of a group, also one that another process has submitted.

        First come the tasks that are finished, in the order of their submission. Behind them stand
        those that are not; which task such a future stands for is known when it is done.

        :param task_group_id: the group, which also becomes that of the tasks to come; by default
            the group of this Executor
        :raises NotFound: there is no such group
        """
        if task_group_id is not None and task_group_id != self.task_group_id:
            self.task_group_id = task_group_id
        group_id = self._open()
        return self._engine.reload(group_id)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks.

        :param wait: return when all futures are done and all threads have ended. Without it, the
            end of the interpreter waits until everything is sent, and no longer
        :param cancel_futures: cancel the tasks that have not started; what runs is finished
        """
        engine = self._engine
        engine.close()
        if cancel_futures:
            engine.cancel_unstarted()
        if wait:
            engine.join()
        elif engine.at_exit == WAIT_FOR_ALL:
            engine.at_exit = WAIT_FOR_SENDING

    def __exit__(self, exc_type: Any, exc_val: Any, exc_tb: Any) -> Optional[bool]:
        if exc_type is not None and issubclass(exc_type, KeyboardInterrupt):
            # Who interrupts does not want to wait. The tasks go on; attach() finds them again.
            self.shutdown(wait=False)
            self._engine.at_exit = WAIT_FOR_NOTHING
        else:
            self.shutdown(wait=True)
        return None

    def __repr__(self) -> str:
        return f"<farhand.Executor {self._engine.client.url} group={self.task_group_id}>"


def attach(
    group_id: str, *, url: Optional[str] = None, key: Optional[str] = None
) -> List[Future[Any]]:
    """The futures of a group, by its id: after a restart, in another process, on another day.

    The same as :meth:`Executor.reload_tasks`, without an Executor to keep. The interpreter's end
    does not wait for these futures.
    """
    executor = Executor(url=url, key=key)
    try:
        return executor.reload_tasks(group_id)
    finally:
        executor.shutdown(wait=False)

