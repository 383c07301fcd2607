"""What a runner does with objects: they come from a client's script and go back to it."""

import ast
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from farhand import runner_objects as objects

PYTHON_FOLDER = Path(objects.__file__).parents[1]

WORKER = "import sys; sys.path[0] = %r; import worker_process; worker_process.main()" % str(
    Path(__file__).resolve().parent)

CLIENT = """
import io, pickle, subprocess, sys
import {serialiser} as serialiser

class Saying(serialiser.Pickler):
    def reducer_override(self, thing):
        reduced = super().reducer_override(thing)
        if isinstance(thing, type) and isinstance(reduced, tuple):
            home = sys.modules[thing.__module__]
            try:
                for name in thing.__qualname__.split("."):
                    home = getattr(home, name)
            except AttributeError:
                home = None
            if home is thing:
                reduced[2][0][{mark!r}] = thing.__qualname__
        return reduced

def dumps(thing):
    if not {saying!r}:
        return serialiser.dumps(thing)
    file = io.BytesIO()
    Saying(file).dump(thing)
    return file.getvalue()

def run(function, *args, **kwargs):
    client_has = ["pickle", "dill", "cloudpickle"].index(serialiser.__name__)
    sent = pickle.dumps((dumps(function), dumps((args, kwargs)), client_has))
    done = subprocess.run([sys.executable, "-c", {worker!r}], input=sent, stdout=subprocess.PIPE,
                          cwd="/", check=True)
    answer, left = pickle.loads(done.stdout)
    assert not left, left
    other = b"dill" if serialiser.__name__ == "cloudpickle" else b"cloudpickle"
    assert other not in answer[1], "the client may not have it"
    if {saying!r} and "Local" not in repr(answer):
        assert b"cloudpickle" not in answer[1], answer
    return answer

def value(function, *args, **kwargs):
    answer = run(function, *args, **kwargs)
    assert answer[0] == 0, answer
    return pickle.loads(answer[1])

def failure(function, *args, **kwargs):
    reason, data, kind, text, trace, _ = run(function, *args, **kwargs)
    assert reason != 0
    return reason, pickle.loads(data), kind.decode(), text.decode(), trace.decode()

"""


@pytest.fixture(params=["cloudpickle", "cloudpickle saying", "dill"])
def client(request, tmp_path):
    """Runs the text as a client's script. "saying" as Farhand's own client does."""
    name, _, saying = request.param.partition(" ")
    pytest.importorskip(name)

    def run(text):
        script = tmp_path / "client.py"
        head = CLIENT.format(serialiser=name, worker=WORKER, mark=objects.PATH,
                             saying=bool(saying))
        script.write_text(head + textwrap.dedent(text))
        done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, capture_output=True,
                              text=True, check=False)
        assert done.returncode == 0, done.stderr

    run.serialiser = name
    return run


def test_plain_data(client):
    client("""
        def f(a, b=2):
            return {"sum": a + b, "list": [a, (b, None)]}
        assert value(f, 1, b=3) == {"sum": 4, "list": [1, (3, None)]}
    """)


def test_instances_come_back_as_the_clients_own_class(client):
    client("""
        import collections, enum
        class Point:
            def __init__(self, x): self.x = x
            class Inner:
                pass
        class Colour(enum.Enum if serialiser.__name__ == "cloudpickle" else object):
            RED = 1  # dill cannot pickle an enum by value
        Pair = collections.namedtuple("Pair", "left right")
        def f(point):
            assert point.x == 1
            point.x = 2
            return point
        back = value(f, Point(1))
        assert type(back) is Point and back.x == 2
        def g(cls, inner, colour, pair):
            return [cls(3), {"inner": inner()}, colour.RED, pair(1, 2), cls]
        point, inner, red, pair, cls = value(g, Point, Point.Inner, Colour, Pair)
        assert type(point) is Point and point.x == 3 and cls is Point
        assert type(inner["inner"]) is Point.Inner
        assert red == Colour.RED and type(pair) is Pair and pair.right == 2
    """)


def test_exceptions_come_back_as_the_clients_own_class(client):
    client("""
        class Broken(ValueError):
            def __init__(self, text, code):
                super().__init__(text, code)
                self.code = code
        def f(kind):
            raise kind("no good", 7)
        reason, error, kind, text, trace = failure(f, Broken)
        assert type(error) is Broken and error.code == 7, error
        assert kind == "__main__.Broken" and "no good" in text
        assert "in f" in trace and "runner_objects" not in trace, trace
    """)


def test_functions_come_back_as_the_clients_own(client):
    client("""
        def helper():
            return 1
        def f(function):
            return function
        assert value(f, helper) is helper
    """)


def test_local_classes_and_lambdas_come_back_by_value(client):
    client("""
        def f():
            class Local:
                x = 5
            return Local(), lambda y: y + 1
        local, add = value(f)
        assert local.x == 5 and type(local).__name__ == "Local" and add(1) == 2
    """)


def test_a_local_class_beside_one_of_the_clients(client):
    client("""
        class Point:
            pass
        def f(cls):
            class Local(cls):
                pass
            return [Local(), cls()]
        local, point = value(f, Point)
        assert type(point) is Point and isinstance(local, Point)
    """)


def test_a_module_that_only_the_client_has(client, tmp_path):
    if client.serialiser == "dill":
        pytest.skip("dill cannot pickle a module's class by value")
    package = tmp_path / "only_here"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "shapes.py").write_text(
        "class Shape:\n    class Part: pass\nclass Bad(Exception): pass\n")
    client("""
        import only_here.shapes as shapes
        import cloudpickle
        def f(cls):
            return cls()
        reason, error, kind, text, _ = failure(f, shapes.Shape)
        assert kind == "builtins.ModuleNotFoundError" and "pip install only_here" in text, text
        assert error.name == "only_here"
        cloudpickle.register_pickle_by_value(shapes)
        assert type(value(f, shapes.Shape)) is shapes.Shape
        assert type(value(f, shapes.Shape.Part)) is shapes.Shape.Part
        def g(cls):
            raise cls("bad")
        assert type(failure(g, shapes.Bad)[1]) is shapes.Bad
    """)


def test_globals_of_the_script_are_there(client):
    if client.serialiser == "dill":
        pytest.skip("dill does not take them along unless told to")
    client("""
        factor = 3
        def helper(x):
            return x * factor
        def f(x):
            return helper(x)
        assert value(f, 2) == 6
    """)


def test_what_only_the_clients_script_has_is_explained():
    data = b"\x80\x04c__main__\nno_such_function\n."
    with pytest.raises(AttributeError) as info:
        objects.load_function(data)
    assert "cloudpickle or dill" in objects.text_of(objects.advised(info.value))


def test_lending_leaves_nothing():
    before, main = set(sys.modules), dict(vars(sys.modules["__main__"]))
    cls = type("Ghost", (), {"__module__": "no.such.module", "__qualname__": "Outer.Ghost"})
    with objects.Lender() as lender:
        data = objects.dump_with(pickle.Pickler, cls(), lender)
        assert type(pickle.loads(data)) is cls
    assert set(sys.modules) == before
    assert vars(sys.modules["__main__"]) == main
    assert b"no.such.module" in data and b"Outer.Ghost" in data
    with pytest.raises(ModuleNotFoundError):
        pickle.loads(data)


def test_what_is_ours_is_not_lent():
    """A class that has taken the name of one that both sides can import stays itself."""
    cls = type("OrderedDict", (), {"__module__": "collections"})
    with objects.Lender() as lender:
        assert not lender.lend(cls)
    with pytest.raises(objects.Unserialisable):
        objects.dump_by_force(type("X", (), {"__reduce__": lambda self: 1 / 0})(), None, 0)


@pytest.mark.parametrize("call", [5, (), ((1,),), ((1,), []), (1, {}), ((), {}, {}), "ab", None])
def test_calls_of_a_wrong_shape(call):
    with pytest.raises(TypeError, match="args"):
        objects.load_call(pickle.dumps(call))


def test_keyword_names_must_be_strings():
    with pytest.raises(TypeError, match="must be strings"):
        objects.load_call(pickle.dumps(((), {1: 2})))
    assert objects.load_call(pickle.dumps(([1], {"a": 2}))) == ([1], {"a": 2})


class Evil(Exception):
    def __str__(self):
        raise SystemExit

    __repr__ = __reduce__ = __str__


def test_evil_exceptions_are_told():
    reason, data, kind, text, trace, match = objects.explain(
        objects.EXCEPTION, Evil(), b"builtins.OSError,builtins.Exception", 1000, 0)
    assert reason == objects.EXCEPTION and match
    assert kind.decode().endswith(".Evil")
    assert isinstance(pickle.loads(data), RuntimeError)
    assert b"cannot be shown" in text and trace


def test_texts_are_bounded_and_clean():
    assert objects.encoded("a\0b\udc80") == b"a\\0b\\udc80"
    long = objects.encoded("\u20ac" * 100000)
    assert len(long) <= objects.TEXT_MAX
    assert b"... cut ..." in long
    long.decode()


def test_a_large_exception_is_replaced_by_its_text():
    data = objects.explain(objects.EXCEPTION, ValueError("x" * 100000), b"", 90000, 0)[1]
    assert type(pickle.loads(data)) is RuntimeError and len(data) <= 90000
    assert objects.explain(objects.EXCEPTION, ValueError("x" * 100), b"", 10, 0)[1] == b""


def test_memory_errors_have_their_own_reason():
    for stage in (objects.UNDECODABLE, objects.EXCEPTION, objects.UNSERIALISABLE):
        assert objects.explain(stage, MemoryError(), b"", 1000, 0)[0] == objects.MEMORY


def test_the_runner_needs_nothing_but_the_standard_library():
    modules = ["runner_child", "runner_modules", "runner_objects", "runner_surroundings"]
    for name in ["runner", *modules]:
        tree = ast.parse((PYTHON_FOLDER / "farhand" / f"{name}.py").read_text())
        for node in tree.body:
            if isinstance(node, ast.Import):
                assert not {alias.name for alias in node.names} & {"dill", "cloudpickle", "farhand"}
            if isinstance(node, ast.ImportFrom):
                ours = node.level == 1 and node.module in modules
                assert ours or (node.level == 0 and node.module == "importlib")
