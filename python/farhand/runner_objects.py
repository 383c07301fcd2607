"""What a runner does with objects: pickles in, pickles out, and what is told of a failure.

Plain data takes the way through the standard C pickler alone. What it refuses is tried again by
reference (classes that are the client's own), then by value (local classes, lambdas). A failure is
answered with the exception itself, in a form that a client can load with what it has.
"""

import importlib.util
import io
import os
import pickle
import sys
import traceback
import types


def own_view(module):
    """The module as it is now. A job may replace what is in it; the runner goes on with this."""
    return types.SimpleNamespace(**vars(module))


pickle, traceback, os = own_view(pickle), own_view(traceback), own_view(os)
find_spec = importlib.util.find_spec

# Reasons, numbered as in the worker; 0 is success.
DONE, EXCEPTION, MEMORY, UNDECODABLE, UNSERIALISABLE, RESULT_TOO_LARGE = 0, 1, 3, 6, 7, 8

DILL = 1  # of the serialisers, numbered as in the worker

TEXT_MAX = 64 * 1024  # bytes of a message or a traceback
OUR_FOLDER = os.path.dirname(__file__)

# ---- from bytes to objects ---------------------------------------------------------------------

# Where the name that one imports is not the name that one installs.
PACKAGES = {
    "bs4": "beautifulsoup4", "cv2": "opencv-python", "dateutil": "python-dateutil",
    "PIL": "Pillow", "skimage": "scikit-image", "sklearn": "scikit-learn", "yaml": "PyYAML",
}


def load(data):
    """Unpickles. The standard loader reads what all serialisers write, except references to the
    dictionary of __main__ as dill writes them, which only dill resolves."""
    try:
        return pickle.loads(data)
    except Exception:
        if b"c__builtin__\n__main__\n" not in data:
            raise
        import dill

        return dill.loads(data)


def load_function(data):
    function = load(data)
    if not callable(function):
        raise TypeError("the registered object is not callable but of type %s"
                        % name_of(type(function)))
    return function


def load_call(data):
    """(args, kwargs), checked."""
    call = load(data)
    if type(call) is tuple and len(call) == 2:
        args, kwargs = call
        if type(kwargs) is dict and (type(args) is tuple or type(args) is list):
            if kwargs and not all(type(key) is str for key in kwargs):
                raise TypeError("the names of keyword arguments must be strings: %s"
                                % shortened(kwargs))
            return call
    raise TypeError("the arguments must be a pickled ((args...), {kwargs}), not %s"
                    % shortened(call))


def advised(error):
    """The same error, saying what to do where a module is missing or a name cannot be found."""
    name = getattr(error, "name", None)
    if isinstance(error, ModuleNotFoundError) and isinstance(name, str) and name:
        top = name.partition(".")[0]
        better = ModuleNotFoundError(
            "No module named %r in the worker's Python. Install it with: %s -m pip install %s ; "
            "if it is a file of yours, start the worker in its folder or with --path"
            % (name, sys.executable, PACKAGES.get(top, top)), name=name)
    elif isinstance(error, AttributeError) and "__main__" in text_of(error):
        better = AttributeError(
            "%s: it was pickled by reference to the client's script, which the worker does not "
            "have. Pickle it with cloudpickle or dill, or move it into a module that the worker "
            "can import"
            % text_of(error))
    else:
        return error
    return better.with_traceback(error.__traceback__)


# ---- from objects to bytes ---------------------------------------------------------------------


class Unserialisable(Exception):
    """No serialiser takes the value."""


# A class that cloudpickle has rebuilt does not know whether it was defined inside of another one or
# of a function. Farhand's client says where its script has the class, in this attribute.
PATH = "__farhand_path__"


class Lender:
    """While it is open, classes and functions that the client has and this process cannot import
    resolve by their names, so that a pickle refers to them and the client gets its own ones. These
    are what came by value from the client's __main__, or from a module that is not here."""

    def __init__(self):
        self.undo = []
        self.missing = {"__main__": True}  # module -> whether it is the client's alone

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for mapping, name, before in reversed(self.undo):
            if before is self:
                mapping.pop(name, None)
            else:
                mapping[name] = before
        self.undo = []

    def put(self, mapping, name, value):
        self.undo.append((mapping, name, mapping.get(name, self)))
        mapping[name] = value

    def lend(self, thing):
        """The name by which the class or function now resolves, or None: it is ours, or nobody
        knows its name."""
        module, path = thing.__module__, known_path(thing)
        if type(module) is not str or type(path) is not str or not self.is_missing(module):
            return None
        home, names = self.module(module), path.split(".")
        for name in names[:-1]:
            inner = vars(home).get(name)
            if type(inner) is not types.SimpleNamespace and not isinstance(inner, type):
                inner = types.SimpleNamespace()
                self.put(vars(home), name, inner)
            home = inner
        if vars(home).get(names[-1]) is not thing:
            if isinstance(home, type):
                return None
            self.put(vars(home), names[-1], thing)
        return path

    def is_missing(self, module):
        if module not in self.missing:
            try:
                self.missing[module] = (module not in sys.modules
                                        and find_spec(module) is None)
            except (ImportError, ValueError):  # its package is missing, or strange
                self.missing[module] = True
        return self.missing[module]

    def module(self, name):
        for end, letter in enumerate(name + "."):
            if letter == "." and name[:end] not in sys.modules:
                self.put(sys.modules, name[:end], types.ModuleType(name[:end]))
        return sys.modules[name]


def known_path(thing):
    """Where the module of a class or function has it, as far as that is certain; else None.
    (cloudpickle pickles a class by value so that in the client's process it is the same again.)"""
    if isinstance(thing, type):
        path = vars(thing).get(PATH)
        if path:
            return path
        rebuilt = getattr(sys.modules.get("cloudpickle.cloudpickle"),
                          "_DYNAMIC_CLASS_TRACKER_BY_CLASS", ())
        if thing in rebuilt:
            return None
    elif thing.__module__ != "__main__" or "." in thing.__qualname__:
        return None  # a method, or made by code that made up a module
    return None if "<" in thing.__qualname__ else thing.__qualname__


def lending(pickler, lender):
    """A pickler class, extended so that what can be lent is pickled by reference."""

    class Lending(pickler):
        def reducer_override(self, thing):
            if issubclass(type(thing), (type, types.FunctionType)):
                path = lender.lend(thing)
                if path:
                    return path
            inherited = getattr(super(), "reducer_override", None)
            return inherited(thing) if inherited else NotImplemented

    return Lending


def picklers(client_has):
    """What is tried after the plain pickler: references first, then by value, with one serialiser
    that the client is likely to have. (Two would not do more good: what cloudpickle refuses, such
    as a lock, dill makes anew, and it is no longer the same thing.)"""
    yield pickle.Pickler
    for name in ("dill", "cloudpickle") if client_has == DILL else ("cloudpickle", "dill"):
        try:
            pickler = __import__(name).Pickler
        except Exception:
            continue
        yield pickler
        return


def dump_with(pickler, value, lender):
    file = io.BytesIO()
    lending(pickler, lender)(file, 5).dump(value)
    return file.getvalue()


def dump_by_force(value, error, client_has):
    """What pickle alone did not take. MemoryError, or Unserialisable with the clearest reason."""
    for pickler in picklers(client_has):
        try:
            with Lender() as lender:
                return dump_with(pickler, value, lender)
        except MemoryError:
            raise
        except BaseException as another:
            if pickler is pickle.Pickler:
                error = another
    raise Unserialisable("the result, of type %s, cannot be pickled: %s: %s"
                         % (name_of(type(value)), name_of(type(error)), text_of(error)))


# ---- failures ----------------------------------------------------------------------------------


def text_of(thing):
    """str(), whatever it does."""
    try:
        return str(thing)
    except BaseException:
        return "<its text cannot be shown>"


def shortened(thing):
    try:
        text = repr(thing)
    except BaseException:
        return "an object of type %s" % name_of(type(thing))
    return text if len(text) <= 200 else text[:200] + "..."


def name_of(cls):
    """The qualified name of a class, such as builtins.ValueError."""
    try:
        return "%s.%s" % (cls.__module__, cls.__qualname__)
    except BaseException:
        return "unknown"


def encoded(text):
    """Text as it travels: UTF-8, without NUL, bounded."""
    data = text.replace("\0", "\\0").encode("utf-8", "backslashreplace")
    if len(data) > TEXT_MAX:
        half = TEXT_MAX // 2 - 32
        data = (data[:half] + b"\n... cut ...\n" + data[-half:]).decode("utf-8", "ignore").encode()
    return data


def formatted(error):
    """The traceback from the job's first frame on."""
    frames = error.__traceback__
    while frames and os.path.dirname(frames.tb_frame.f_code.co_filename) == OUR_FOLDER:
        frames = frames.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, frames))
    except BaseException:
        return "%s: %s\n" % (name_of(type(error)), text_of(error))


def dump_exception(error, size_max, client_has):
    """The exception itself, if the client can load it; else a RuntimeError that tells of it."""
    try:
        for pickler in picklers(client_has):
            with Lender() as lender:
                try:
                    data = dump_with(pickler, error, lender)
                    if len(data) <= size_max and type(pickle.loads(data)) is type(error):
                        return data
                except Exception:
                    continue
    except BaseException:
        pass
    return dump_substitute("%s: %s" % (name_of(type(error)), text_of(error)), size_max)


def dump_substitute(text, size_max):
    """A RuntimeError with the text, or nothing where not even that is allowed."""
    data = pickle.dumps(RuntimeError(encoded(text).decode("utf-8", "replace")), 5)
    return data if len(data) <= size_max else b""


def matches(error, classes):
    """Whether the exception is of one of the comma-separated classes."""
    wanted = classes.decode("utf-8", "replace").split(",")
    return any(name_of(cls) in wanted for cls in type(error).__mro__)


def explain(stage, error, classes, size_max, client_has):
    """What is answered for a failed job: (reason, value, type, message, traceback, match)."""
    try:
        reason = MEMORY if isinstance(error, MemoryError) else stage
        if reason == UNDECODABLE:
            error = advised(error)
        if reason == UNSERIALISABLE:
            error = TypeError(text_of(error))
        data = dump_exception(error, size_max, client_has)
        text = text_of(error) or (reason == MEMORY and "out of memory") or ""
        answer = (reason, data, encoded(name_of(type(error))), encoded(text),
                  encoded(formatted(error)), bool(classes) and matches(error, classes))
        error.__traceback__ = None  # it holds everything that the job had in its hands
        return answer
    except BaseException as another:
        text = "the failure itself cannot be told: %s" % name_of(type(another))
        return (stage, b"", b"builtins.RuntimeError", encoded(text), b"", False)


def too_large(size, size_max):
    text = "the pickled result has %d bytes, more than the limit of %d" % (size, size_max)
    return (RESULT_TOO_LARGE, dump_substitute(text, size_max), b"builtins.RuntimeError",
            encoded(text), b"", False)
