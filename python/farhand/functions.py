"""Which functions the server knows already, for one Executor and its copies.

A plain function is sent once, as it is at its first call, and is known by its identity: a function
that was defined anew is another one. Everything else that can be called (a bound method, a partial,
an instance) may change between two calls, so it travels with the arguments of each.
"""

from __future__ import annotations

import functools
import threading
import types
import weakref
from typing import Any, Callable, Dict, Optional, Tuple

from .client import function_label
from .serialize import Serializer

# So many functions made from one piece of code (closures, lambdas in a loop) are registered; the
# others would only fill the server's list of functions, so they travel with the arguments too.
SAME_CODE_MAX = 32


class Known:
    """A function that the server has. `along`: the callable itself is the first argument."""

    __slots__ = ("along", "function_id", "ref")

    def __init__(self, function_id: str, along: bool, ref: Callable[[], Any]) -> None:
        self.function_id = function_id
        self.along = along
        self.ref = ref


class Functions:
    """The functions of one engine, by identity. Thread-safe."""

    def __init__(self, register: Callable[[str, bytes, str, Optional[str]], str]) -> None:
        self._register = register
        self.known: Dict[int, Known] = {}  # by id(function): compare with its ref()
        self._carriers: Dict[str, Known] = {}
        self._same_code: Dict[types.CodeType, int] = {}
        self._lock = threading.Lock()

    def get(self, function: Callable[..., Any]) -> Optional[Known]:
        """What is known of it, without asking anybody."""
        known = self.known.get(id(function))
        return known if known is not None and known.ref() is function else None

    def find(
        self, function: Callable[..., Any], serializer: Serializer, as_it_is: bool = False
    ) -> Known:
        """The function on the server; registers it first if need be.

        With `as_it_is` also one that could change: the caller knows that it does not.

        :raises SerializationError: it cannot be sent
        """
        with self._lock:
            known = self.get(function)
            if known is None:
                if as_it_is or self._is_plain(function):
                    known = self._send(function, serializer)
                else:
                    known = self._carrier(function)
            return known

    def carrier(self, function: Callable[..., Any]) -> Known:
        """What is called in place of a function that travels with the arguments."""
        with self._lock:
            return self._carrier(function)

    def add(self, function: Callable[..., Any], function_id: str) -> None:
        """From now on the function is called by this id.

        :raises ValueError: it is known already
        """
        with self._lock:
            if self.get(function) is not None:
                raise ValueError(f"{function_label(function)} is registered already")
            self._keep(function, function_id)

    def _is_plain(self, function: Callable[..., Any]) -> bool:
        if isinstance(function, types.FunctionType):
            count = self._same_code.get(function.__code__, 0)
            self._same_code[function.__code__] = count + 1
            return count < SAME_CODE_MAX
        if isinstance(function, types.BuiltinFunctionType):
            return function.__self__ is None or isinstance(function.__self__, types.ModuleType)
        return isinstance(function, type)

    def _send(self, function: Callable[..., Any], serializer: Serializer) -> Known:
        payload, name = serializer.dump_function(function)
        runtime = serializer.runtime_of(payload, name)
        function_id = self._register(function_label(function), payload, name, runtime)
        return self._keep(function, function_id)

    def _keep(self, function: Callable[..., Any], function_id: str) -> Known:
        identity = id(function)
        try:
            # The identity is free for another object as soon as this one is gone.
            ref: Callable[[], Any] = weakref.ref(
                function, lambda _: self.known.pop(identity, None)
            )
        except TypeError:
            ref = lambda: function
        known = self.known[identity] = Known(function_id, False, ref)
        return known

    def _carrier(self, function: Callable[..., Any]) -> Known:
        """The function that calls its first argument, under the name of what it calls."""
        label = function_label(function)
        known = self._carriers.get(label)
        if known is None:
            payload, name = Serializer().dump_function(functools.partial.__call__)
            function_id = self._register(label, payload, name, None)
            known = self._carriers[label] = Known(function_id, True, lambda: None)
        return known


def along(function: Callable[..., Any], args: Tuple[Any, ...]) -> Tuple[Any, ...]:
    """The arguments for a carrier."""
    return (functools.partial(function), *args)

