"""How functions, arguments and results become bytes and back.

The rule: pickle protocol 5, by reference, wherever the server can follow the reference; else
cloudpickle by value, else dill. On the way of every task stands one ``pickle.dumps`` and one search
for the byte that a stream with a reference must contain (STACK_GLOBAL); plain arguments have none.
dill costs 40 times as much as pickle and is used only when nothing else can do it.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import pickle
import sys
import threading
import types
from typing import Any, Callable, Dict, FrozenSet, Iterator, Optional, Set, Tuple

from .errors import SerializationError
from .modules import MAIN, Peer, is_users_own, runtime_name

PICKLE, CLOUDPICKLE, DILL = "pickle", "cloudpickle", "dill"
STACK_GLOBAL = b"\x93"
# What a stream with byte code in it must name: cloudpickle the type, dill a function of its own.
BYTE_CODE = (b"CodeType", b"_create_code")
PATH_IN_CLIENT = "__farhand_path__"  # the runner reads it

_registry_lock = threading.Lock()  # cloudpickle's list of modules by value belongs to everybody


class Serializer:
    """Serialises for one server. Thread-safe. `forced` names the one serialiser to use."""

    def __init__(self, peer: Optional[Peer] = None, forced: Optional[str] = None) -> None:
        if forced not in (None, "auto", PICKLE, CLOUDPICKLE, DILL):
            raise ValueError(f"no such serializer: {forced!r} (pickle, cloudpickle, dill, auto)")
        self._peer = peer
        self._strict = peer is None or peer.strict
        self.forced = None if forced == "auto" else forced

    def dump_call(self, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Tuple[bytes, str]:
        """The arguments of a call as a payload, and the name of the serialiser that did it.

        :raises SerializationError: they cannot be serialised
        """
        call = (args, kwargs)
        if self.forced is None:
            try:
                payload = pickle.dumps(call, 5)
            except Exception as error:
                return self._settle(call, None, error, "the arguments")
            if STACK_GLOBAL not in payload:
                return payload, PICKLE
            return self._settle(call, payload, None, "the arguments")
        return self._force(call, "the arguments")

    def dump_function(self, function: Callable[..., Any]) -> Tuple[bytes, str]:
        """A callable as a payload, and the name of the serialiser that its reader needs.

        :raises SerializationError: it cannot be serialised
        """
        what = f"the function {getattr(function, '__qualname__', function)!s}"
        if self.forced is not None:
            return self._force(function, what)
        try:
            payload = pickle.dumps(function, 5)
        except Exception as error:
            return self._settle(function, None, error, what)
        return self._settle(function, payload, None, what)

    def runtime_of(self, payload: bytes, by: str) -> Optional[str]:
        """The Python that a payload of this serialiser is tied to by byte code; None: to none, or
        it is to be tried with any."""
        if by == PICKLE or not self._strict or not any(name in payload for name in BYTE_CODE):
            return None
        return runtime_name()

    def _settle(
        self, obj: Any, payload: Optional[bytes], error: Optional[Exception], what: str
    ) -> Tuple[bytes, str]:
        """`payload` is the pickle of `obj`, or None and `error` says why there is none."""
        lacking: FrozenSet[str] = frozenset()
        try:
            if payload is not None:
                lacking = self._lacking(_named_by_pickle(obj))
                if not lacking:
                    return payload, PICKLE
            found = self._by_value(obj, lacking)
        except Exception as failure:
            raise _cannot(what, failure) from failure
        if found is None:
            raise _no_way(what, lacking.difference(MAIN), error) from error
        if self._peer is not None:
            self._peer.warn_of_version()
        return found

    def _force(self, obj: Any, what: str) -> Tuple[bytes, str]:
        assert self.forced is not None
        try:
            if self.forced == DILL:
                return _dill(obj), DILL
            module = importlib.import_module(self.forced)
            return bytes(module.dumps(obj, protocol=5)), self.forced
        except Exception as error:
            raise _cannot(what, error) from error

    def _lacking(self, names: Set[str]) -> FrozenSet[str]:
        if self._peer is None:
            return frozenset(names.intersection(MAIN))
        return frozenset(name for name in names if not self._peer.has(name))

    def _by_value(self, obj: Any, lacking: FrozenSet[str]) -> Optional[Tuple[bytes, str]]:
        """None: there is no serialiser here that could do it."""
        if _importable(CLOUDPICKLE):
            return self._by_cloudpickle(obj, lacking), CLOUDPICKLE
        if _importable(DILL) and lacking.issubset(MAIN):
            return _dill(obj), DILL
        return None

    def _by_cloudpickle(self, obj: Any, lacking: FrozenSet[str]) -> bytes:
        """By value is catching: what such a function uses may live in a module that is missing too,
        so each pass may find more of them."""
        while True:
            with _by_value_modules(lacking):
                namer = _value_namer()(io.BytesIO())
                namer.dump(obj)
            own = {name for name in namer.names if is_users_own(name)}
            more = self._lacking(own).difference(lacking, MAIN)
            if not more:
                return bytes(namer.target.getvalue())
            lacking = lacking.union(more)


def _cannot(what: str, error: BaseException) -> SerializationError:
    return SerializationError(f"{what} cannot be serialised: {type(error).__name__}: {error}")


def _no_way(what: str, missing: FrozenSet[str], error: Optional[Exception]) -> SerializationError:
    if missing:
        why = f"the server has no module {min(missing)} like the one here"
    elif error is not None:
        why = f"{type(error).__name__}: {error}"
    else:
        why = "this needs what is defined in the script itself"
    return SerializationError(
        f"{what} cannot be sent by reference: {why}. Install cloudpickle here and on the server "
        "(pip install cloudpickle), or put the code into a module that the server can import "
        "(serve --path DIR)"
    )


def _importable(name: str) -> bool:
    try:
        importlib.import_module(name)
    except ImportError:
        return False
    return True


def _dill(obj: Any) -> bytes:
    """By value, with the globals that a function uses, not with all that there are."""
    dill = importlib.import_module(DILL)
    return bytes(dill.dumps(obj, protocol=5, byref=False, recurse=True))


class _Namer(pickle.Pickler):
    """Notes the modules that a pickle names. The C pickler asks it about everything but the plain
    types, so a big list of numbers costs nothing here."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, 5)
        self.names: Set[str] = set()

    def reducer_override(self, obj: Any) -> Any:
        name = getattr(obj, "__module__", None)
        if name is None and isinstance(obj, (type, types.FunctionType)):
            name = "__main__"  # pickle looks everywhere for it, and there at last
        if type(name) is str:
            self.names.add(name)
        return NotImplemented


def _named_by_pickle(obj: Any) -> Set[str]:
    namer = _Namer(io.BytesIO())
    namer.dump(obj)
    return namer.names


@contextlib.contextmanager
def _by_value_modules(names: FrozenSet[str]) -> Iterator[None]:
    """Within, cloudpickle sends what these modules define by value, and no longer."""
    cloudpickle = importlib.import_module(CLOUDPICKLE)
    with _registry_lock:
        before = cloudpickle.list_registry_pickle_by_value()
        modules = [
            module
            for name, module in ((name, sys.modules.get(name)) for name in names.difference(MAIN))
            if module is not None and name not in before
        ]
        for module in modules:
            cloudpickle.register_pickle_by_value(module)
        try:
            yield
        finally:
            for module in modules:
                cloudpickle.unregister_pickle_by_value(module)


def _is_found_by_name(obj: Any) -> bool:
    """Whether a class or a function is what its name leads to; else it goes by value anyway."""
    found: Any = sys.modules.get(obj.__module__)
    for part in obj.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is obj


def _say_where_it_is(cls: type, reduced: Tuple[Any, ...]) -> None:
    """Writes into a class that goes by value under which name this process has it. So the runner
    can send its instances back by reference, and they are of this very class."""
    state = reduced[2] if len(reduced) > 2 else None
    if isinstance(state, tuple) and state and isinstance(state[0], dict):
        state[0][PATH_IN_CLIENT] = cls.__qualname__


def _with_its_file(code: types.CodeType, reduced: Tuple[Any, ...]) -> Tuple[Any, ...]:
    """cloudpickle 3.1.3 sends code without the name of its file; a traceback is read by that."""
    make, args, *rest = reduced
    named = tuple(code.co_filename if part == "<dynamic-code>" else part for part in args)
    return (make, named, *rest)


@functools.lru_cache(maxsize=None)
def _value_namer() -> Any:
    """The class like _Namer for cloudpickle, made when it is needed first."""
    cloudpickle = importlib.import_module(CLOUDPICKLE)

    class Namer(cloudpickle.Pickler):  # type: ignore[misc, name-defined]
        def __init__(self, target: io.BytesIO) -> None:
            super().__init__(target, protocol=5)
            self.target = target
            self.names: Set[str] = set()

        def reducer_override(self, obj: Any) -> Any:
            if type(obj) is types.CodeType:
                return _with_its_file(obj, self.dispatch_table[types.CodeType](obj))
            reduced = super().reducer_override(obj)
            if type(obj) is types.ModuleType:
                self.names.add(obj.__name__)
            elif isinstance(obj, (type, types.FunctionType)) and _is_found_by_name(obj):
                self.names.add(obj.__module__)
                if isinstance(obj, type) and isinstance(reduced, tuple):
                    _say_where_it_is(obj, reduced)
            return reduced

    return Namer
