"""The other process of a client in test_runner.py: decodes, calls and encodes as a runner does."""

import importlib
import pickle
import sys
import types
from pathlib import Path


def embedded():
    """runner_objects as the worker's bootstrap makes it: not part of an installed farhand."""
    package = types.ModuleType("_farhand")
    package.__path__ = [str(Path(__file__).resolve().parents[1] / "farhand")]
    sys.modules["_farhand"] = package
    return importlib.import_module("_farhand.runner_objects")


def attempt(objects, function, call, client_has):
    stage = objects.UNDECODABLE
    try:
        function = objects.load_function(function)
        args, kwargs = objects.load_call(call)
        stage = objects.EXCEPTION
        value = function(*args, **kwargs)
        stage = objects.UNSERIALISABLE
        try:
            return 0, pickle.dumps(value, 5)
        except BaseException as error:
            return 0, objects.dump_by_force(value, error, client_has)
    except BaseException as error:
        return objects.explain(stage, error, b"", 1 << 20, client_has)


def main():
    function, call, client_has = pickle.load(sys.stdin.buffer)
    objects = embedded()
    names = set(vars(sys.modules["__main__"]))
    answer = attempt(objects, function, call, client_has)
    left = set(vars(sys.modules["__main__"])) - names
    left |= {name for name, module in sys.modules.items()
             if type(module) is types.ModuleType and module.__spec__ is None}
    left -= {"__main__", "__mp_main__", "_farhand"}
    sys.stdout.buffer.write(pickle.dumps((answer, sorted(left))))
