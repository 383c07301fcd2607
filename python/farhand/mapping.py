"""Executor.map, with the signature and the behaviour of Python 3.14 on every Python."""

from __future__ import annotations

import functools
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, Any, Callable, Deque, Iterable, Iterator, Optional, Tuple

from .errors import SerializationError
from .future import Future

if TYPE_CHECKING:
    from .executor import Executor


def run_map(
    executor: "Executor",
    fn: Callable[..., Any],
    iterables: Tuple[Iterable[Any], ...],
    timeout: Optional[float],
    chunksize: int,
    buffersize: Optional[int],
) -> Iterator[Any]:
    """See :meth:`Executor.map`."""
    if buffersize is not None and not isinstance(buffersize, int):
        raise TypeError("buffersize must be an integer or None")
    if buffersize is not None and buffersize < 1:
        raise ValueError("buffersize must be None or > 0")
    if chunksize < 1:
        raise ValueError("chunksize must be >= 1.")
    end = None if timeout is None else time.monotonic() + timeout
    calls: Iterator[Tuple[Any, ...]] = zip(*iterables)
    if chunksize == 1:
        return _results(executor, fn, calls, end, buffersize)
    chunks = ((chunk,) for chunk in iter(lambda: tuple(islice(calls, chunksize)), ()))
    lists = _results(executor, _chunked(executor, fn), chunks, end, buffersize)
    return (result for results in lists for result in results)


def _results(
    executor: "Executor",
    fn: Callable[..., Any],
    calls: Iterator[Tuple[Any, ...]],
    end: Optional[float],
    buffersize: Optional[int],
) -> Iterator[Any]:
    submit = executor.submit
    futures: Deque[Future[Any]] = deque(submit(fn, *args) for args in islice(calls, buffersize))
    engine = executor._engine
    more = submit if buffersize else None  # otherwise the Executor may go before the results do

    def results() -> Iterator[Any]:
        try:
            while futures:
                if more is not None:
                    futures.extend(more(fn, *args) for args in islice(calls, 1))
                value = futures[0].result(None if end is None else end - time.monotonic())
                futures.popleft()
                yield value
                del value
        finally:
            engine.discard(futures)

    del executor, submit
    return results()


def _chunked(executor: "Executor", fn: Callable[..., Any]) -> Callable[..., Any]:
    """A function for a whole chunk of calls, made of nothing but the standard library, so that it
    needs no module of ours on the server. Registered at once: it is the same for all chunks."""
    from concurrent.futures.process import _process_chunk

    chunked = functools.partial(_process_chunk, fn)
    try:
        executor._find(chunked, as_it_is=True)
    except SerializationError:
        pass  # each future says it
    return chunked
