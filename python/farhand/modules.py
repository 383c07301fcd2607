"""Which modules the server has.

A pickle names modules; where one is missing there, what it defines has to travel by value. The
standard library and installed packages are taken to be there: a missing one is named by the task
that needs it. ``__main__`` never is. A module of the user's own, one that lives elsewhere, is asked
for once: a tiny task returns its source, and only the same source counts as the same module.
"""

from __future__ import annotations

import importlib
import inspect
import os
import pickle
import platform
import sys
import sysconfig
import threading
import warnings
from typing import TYPE_CHECKING, Any, Callable, Dict, Tuple

from .errors import FarhandError, TaskExpired, TaskPending

if TYPE_CHECKING:
    from .client import Client

MAIN = ("__main__", "__mp_main__")
ANSWER_S = 5.0  # a pool that is busy for longer does not answer; then by value is the safe way

_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")
_STDLIB = tuple(
    {
        os.path.realpath(path) + os.sep
        for path in (sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"))
        if path
    }
)


def is_users_own(name: str) -> bool:
    """Whether a module is Python source of the user's: neither standard library nor installed."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if not file or not file.endswith(".py"):
        return False  # built in, compiled, or made at run time: no source to send or compare
    path = os.path.realpath(file)
    return not (path.startswith(_STDLIB) or any(part in path for part in _INSTALLED))


def runtime_name() -> str:
    """This Python, as the API names it: ``cp311``, ``cp313t``, ``pp310``. Byte code is for one."""
    kind = "pp" if sys.implementation.name == "pypy" else "cp"
    threads = "t" if "t" in getattr(sys, "abiflags", "") else ""
    return f"{kind}{sys.version_info[0]}{sys.version_info[1]}{threads}"


class _Imported:
    """Loaded from a pickle, this is the module of that name."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Tuple[Callable[..., Any], Tuple[str]]:
        return importlib.import_module, (self.name,)


class Peer:
    """The Python on the other side: asked once for each thing, and only when it matters."""

    def __init__(self, client: "Client", on_mismatch: str = "refuse") -> None:
        if on_mismatch not in ("refuse", "warn", "ignore"):
            raise ValueError(f"on_mismatch is refuse, warn or ignore, not {on_mismatch!r}")
        self._client = client
        self._has: Dict[str, bool] = {}
        self.strict = on_mismatch == "refuse"  # the server refuses what its workers cannot run
        self._warned = on_mismatch != "warn"
        self._silent = False
        self._lock = threading.Lock()

    def has(self, name: str) -> bool:
        """Whether a module can be named to the server."""
        known = self._has.get(name)
        if known is None:
            with self._lock:
                known = self._has.get(name)
                if known is None:
                    known = self._has[name] = self._find(name)
        return known

    def _find(self, name: str) -> bool:
        if name in MAIN:
            return False
        if not is_users_own(name):
            return True
        try:
            ours = inspect.getsource(sys.modules[name])
        except (OSError, TypeError):
            return True
        return bool(self._ask(inspect.getsource, _Imported(name)) == ours)

    def warn_of_version(self) -> None:
        """Before something travels by value and is not tied to this Python: says, once, that the
        server's is another one, where that is asked for."""
        with self._lock:
            warned, self._warned = self._warned, True
        if warned:
            return
        ours, theirs = platform.python_version(), self._ask(platform.python_version)
        if isinstance(theirs, str) and theirs.split(".")[:2] != ours.split(".")[:2]:
            warnings.warn(
                f"the server runs functions with Python {theirs}, this is {ours}: byte code from "
                "here may fail there in any way",
                stacklevel=5,
            )

    def _ask(self, function: Callable[..., Any], *args: Any) -> Any:
        """The result of a small call over there; None if it fails, or if the pool is so busy that
        it does not answer. Then it is not asked again, for each question keeps a submit waiting."""
        if self._silent:
            return None
        client = self._client
        payload = pickle.dumps((args, {}), 5)
        fields = {"priority": 100, "expires_in": ANSWER_S, "tags": {"farhand": "question"}}
        name = f"{function.__module__}.{function.__qualname__}"
        try:
            function_id = client.put_function(name, pickle.dumps(function, 5))
            task = client.put_task(function_id, payload, fields)
            return client.get_result(task["id"], wait=ANSWER_S)
        except (TaskPending, TaskExpired):
            self._silent = True
        except (FarhandError, ImportError, OSError, TypeError):
            pass  # such a module is not there, or cannot be imported
        return None
