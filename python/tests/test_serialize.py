"""By reference or by value: what travels, what is asked, what is refused."""

import importlib
import pickle
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import functions_here as here
from farhand import Executor, NoWorker, SerializationError, VersionMismatch, modules, serialize
from farhand.serialize import CLOUDPICKLE, DILL, PICKLE, Serializer

cloudpickle = pytest.importorskip("cloudpickle")


class Peer:
    """A server that has these modules of the user's, and no others."""

    def __init__(self, *names, strict=True):
        self.names, self.strict, self.asked, self.warnings = names, strict, [], 0

    def has(self, name):
        self.asked.append(name)
        return name not in modules.MAIN and (name in self.names or not modules.is_users_own(name))

    def warn_of_version(self):
        self.warnings += 1


def without(monkeypatch, *names):
    whole = serialize._importable
    monkeypatch.setattr(serialize, "_importable", lambda name: name not in names and whole(name))


def elsewhere(payload, expression="obj"):
    """What the payload is in a process that has none of our modules."""
    code = "import pickle, sys; obj = pickle.loads(sys.stdin.buffer.read()); print(%s)" % expression
    done = subprocess.run([sys.executable, "-c", code], input=payload, capture_output=True,
                          cwd="/", timeout=30)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().strip()


@pytest.fixture
def own_modules(tmp_path, monkeypatch):
    """Two modules and a package of the user's own; one uses another."""
    (tmp_path / "own_pack").mkdir()
    files = {
        "own_low.py": "CONSTANT = 40\ndef low(x):\n    return x + CONSTANT\n"
                      "class Low:\n    n = 3\n",
        "own_high.py": "import own_low\nfrom own_pack.part import part\nimport json\n"
                       "def high(x):\n    return part(own_low.low(x)), json.dumps([x])\n"
                       "class High(own_low.Low):\n    pass\n",
        "own_pack/__init__.py": "",
        "own_pack/part.py": "def part(x):\n    return x * 2\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.syspath_prepend(str(tmp_path))
    names = ("own_low", "own_high", "own_pack", "own_pack.part")
    yield importlib.import_module("own_high")
    for name in names:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("value", [1, "text", b"\x93" * 10, [0.1 * n for n in range(1000)],
                                   {"k": (1, 2)}, list(range(10_000))])
def test_plain_arguments_are_one_pickle_and_no_question(value):
    peer = Peer()
    payload = Serializer(peer).dump_call((value,), {"x": value})
    assert payload == (pickle.dumps(((value,), {"x": value}), 5), PICKLE)
    assert not set(peer.asked) - {"builtins"}


def test_the_standard_library_and_installed_packages_go_by_reference(monkeypatch):
    import decimal
    import fractions
    value = [decimal.Decimal(1), fractions.Fraction(1, 2), pytest.approx, cloudpickle.CloudPickler]
    assert not any(modules.is_users_own(name) for name in (
        "decimal", "json.decoder", "pytest", "_pytest.python_api", "sys", "_pickle", "no_such"))
    payload, _ = Serializer(Peer()).dump_call((value,), {})
    assert payload == pickle.dumps(((value,), {}), 5)


def test_the_users_own():
    assert modules.is_users_own("functions_here") and modules.is_users_own("fake_server")
    assert not modules.is_users_own("__no__")


def test_a_module_that_the_server_has_goes_by_reference(own_modules):
    peer = Peer("own_high", "own_low")
    payload, name = Serializer(peer).dump_function(own_modules.high)
    assert (payload, name) == (pickle.dumps(own_modules.high, 5), PICKLE)
    assert Serializer(peer).dump_call((own_modules.High(),), {})[0] == pickle.dumps(
        ((own_modules.High(),), {}), 5)


def test_a_module_that_the_server_lacks_goes_by_value_with_what_it_needs(own_modules):
    payload, name = Serializer(Peer()).dump_function(own_modules.high)
    assert name == CLOUDPICKLE
    assert elsewhere(payload, "obj(2)") == "(84, '[2]')"
    payload, _ = Serializer(Peer()).dump_call((own_modules.High(),), {})
    assert elsewhere(payload, "obj[0][0].n, type(obj[0][0]).__module__") == "3 own_high"
    assert cloudpickle.list_registry_pickle_by_value() == set()


def test_what_a_lambda_uses_is_looked_at_too(own_modules):
    high = own_modules.high
    payload, name = Serializer(Peer()).dump_function(lambda x: high(x))
    assert name == CLOUDPICKLE and elsewhere(payload, "obj(2)") == "(84, '[2]')"
    peer = Peer("own_high", "own_low", "own_pack.part", "test_serialize")
    payload, _ = Serializer(peer).dump_function(lambda x: high(x))
    assert b"own_high" in payload and b"CONSTANT" not in payload


def test_code_that_goes_by_value_keeps_the_name_of_its_file(own_modules):
    payload, _ = Serializer(Peer()).dump_function(own_modules.high)
    file = own_modules.high.__code__.co_filename
    assert elsewhere(payload, "obj.__code__.co_filename") == file


def test_main_goes_by_value():
    """In a script of its own, where functions and classes are __main__'s."""
    script = textwrap.dedent("""
        import sys
        from farhand.serialize import Serializer
        class Point:
            def __init__(self, x): self.x = x
        def double(point): return point.x * 2
        if sys.argv[3]: double.__module__ = None  # as some decorators leave it
        serializer = Serializer(forced=sys.argv[1])
        payload, name = serializer.dump_function(double)
        assert name == sys.argv[2], name
        sys.stdout.buffer.write(payload + serializer.dump_call((Point(4),), {})[0])
    """)
    for forced, name, of_no_module in (("auto", CLOUDPICKLE, ""), ("auto", CLOUDPICKLE, "yes"),
                                       (DILL, DILL, "")):
        if name == DILL:
            pytest.importorskip("dill")
        done = subprocess.run(
            [sys.executable, "-c", script, forced, name, of_no_module],
            capture_output=True, timeout=30,
            env={"PYTHONPATH": str(Path(serialize.__file__).parent.parent), "PATH": ""})
        assert done.returncode == 0, done.stderr.decode()
        load = f"__import__('{DILL if name == DILL else PICKLE}').load(f)"
        code = f"(lambda f: {load}(*{load}[0]))(__import__('io').BytesIO(obj))"
        assert elsewhere(pickle.dumps(done.stdout), code) == "8"


def test_the_runner_is_told_where_a_class_is(own_modules):
    payload, _ = Serializer(Peer()).dump_call((own_modules.High(),), {})
    assert elsewhere(payload, "type(obj[0][0]).__farhand_path__") == "High"
    assert not hasattr(own_modules.High, "__farhand_path__")

    class Local:
        pass

    payload, _ = Serializer(Peer("test_serialize")).dump_call((Local(),), {})
    assert elsewhere(payload, "hasattr(type(obj[0][0]), '__farhand_path__')") == "False"


def test_dill_where_there_is_no_cloudpickle(monkeypatch):
    pytest.importorskip("dill")
    without(monkeypatch, CLOUDPICKLE)
    payload, name = Serializer(Peer("test_serialize")).dump_function(lambda x: x + 1)
    assert name == DILL and elsewhere(payload, "obj(1)") == "2"


def test_dill_cannot_send_a_module_by_value(monkeypatch, own_modules):
    without(monkeypatch, CLOUDPICKLE)
    with pytest.raises(SerializationError, match="no module own_high.*pip install cloudpickle"):
        Serializer(Peer()).dump_function(own_modules.high)


def test_neither_is_there(monkeypatch):
    without(monkeypatch, CLOUDPICKLE, DILL)
    serializer = Serializer(Peer("test_serialize"))
    with pytest.raises(SerializationError, match="pip install cloudpickle") as caught:
        serializer.dump_function(lambda: 1)
    assert "lambda" in str(caught.value) and caught.value.__cause__ is not None
    with pytest.raises(SerializationError, match="arguments"):
        serializer.dump_call((lambda: 1,), {})
    assert serializer.dump_function(abs)[1] == PICKLE


@pytest.mark.parametrize("forced", [None, "auto", PICKLE, CLOUDPICKLE, DILL])
def test_what_nobody_can_serialise(forced):
    if forced == DILL:
        pytest.importorskip("dill")
    thing = sys._getframe()
    with pytest.raises(SerializationError, match="the arguments cannot be serialised") as caught:
        Serializer(Peer(), forced).dump_call((thing,), {})
    assert caught.value.__cause__ is not None


def test_an_error_in_the_users_own_reduce():
    class Bad:
        def __reduce__(self):
            raise ZeroDivisionError("own")

    with pytest.raises(SerializationError, match="own"):
        Serializer(Peer()).dump_call((Bad(),), {})


def test_an_endless_structure():
    nested = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(SerializationError, match="recursion"):
        Serializer(Peer()).dump_call((nested,), {})
    while nested:
        nested = nested[0]


def test_forced():
    payload, name = Serializer(None, CLOUDPICKLE).dump_function(here.add)
    assert name == CLOUDPICKLE
    with pytest.raises(SerializationError):
        Serializer(None, PICKLE).dump_function(lambda: 1)
    with pytest.raises(ValueError, match="no such serializer"):
        Serializer(None, "json")


class Plain:
    number = 3


class Coded:
    def method(self):
        return 4


@pytest.mark.parametrize("forced", [None, CLOUDPICKLE, DILL])
def test_byte_code_is_tied_to_this_python(forced):
    pytest.importorskip(forced or CLOUDPICKLE)
    peer = Peer("test_serialize", "functions_here")
    serializer = Serializer(peer, forced)

    def runtime(dump, *args):
        return serializer.runtime_of(*dump(*args))

    ours = modules.runtime_name()
    local = type("Local", (), {"method": lambda self: 4})
    assert runtime(serializer.dump_function, lambda: 1) == ours
    assert runtime(serializer.dump_call, (lambda: 1,), {}) == ours
    assert runtime(serializer.dump_call, (local(),), {}) == ours
    assert peer.warnings == (0 if forced else 3)
    assert runtime(serializer.dump_function, here.add) is None
    assert runtime(serializer.dump_call, (Plain(), Coded()), {}) is None
    assert runtime(serializer.dump_function, pow) is None
    for lax in (Serializer(Peer(strict=False), forced), Serializer(Peer(strict=False))):
        assert lax.runtime_of(*lax.dump_function(lambda: 1)) is None
    alone = Serializer(None, forced)
    assert alone.runtime_of(*alone.dump_function(lambda: 1)) == ours


def test_a_module_by_value_is_tied_too(own_modules):
    serializer = Serializer(Peer())
    assert serializer.runtime_of(*serializer.dump_function(own_modules.high)) is not None
    serializer = Serializer(Peer("own_high", "own_low", "own_pack.part"))
    assert serializer.runtime_of(*serializer.dump_function(own_modules.high)) is None


def test_the_runner_has_the_same_name_for_it():
    source = "from farhand import runner; print(runner.runtime_name())"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True,
                          cwd=Path(modules.__file__).parent.parent, timeout=30)
    assert done.stdout.strip() == modules.runtime_name()


# ---- the questions, against a server -----------------------------------------------------------


def questions(fake):
    return sum("farhand" in task["fields"].get("tags", {}) for task in fake.tasks.values())


def test_each_module_is_asked_for_once(fake, far):
    results = [far.submit(here.add, n) for n in range(20)]
    results += [far.submit(here.Counter, n) for n in range(20)]
    assert [f.result(20) for f in results[:20]] == [10 + n for n in range(20)]
    assert questions(fake) == 1


def test_a_module_with_another_source_is_another_module(fake, far, own_modules):
    """The server's module of the same name is not the one that is meant."""
    path = Path(own_modules.__file__)
    assert far._shared.peer.has("own_high")
    far._shared.peer._has.clear()
    module = sys.modules["own_high"]
    text = path.read_text()
    other = type(sys)("own_high")
    other.__file__ = str(path.with_name("other.py"))
    Path(other.__file__).write_text(text + "# newer\n")
    sys.modules["own_high"] = other
    try:
        peer = far._shared.peer
        ask = peer._ask

        def remote(function, *args):
            sys.modules["own_high"] = module
            try:
                return ask(function, *args)
            finally:
                sys.modules["own_high"] = other

        peer._ask = remote
        assert not peer.has("own_high")
    finally:
        sys.modules["own_high"] = module


def test_a_busy_pool_is_asked_once(fake, monkeypatch):
    monkeypatch.setattr(modules, "ANSWER_S", 0.1)
    fake.hold()
    with Executor(url=fake.url) as far:
        futures = [far.submit(here.add, 1), far.submit(lambda: 2)]
        assert questions(fake) == 1
        assert all(f["serializer"] == CLOUDPICKLE for f in fake.functions.values()
                   if "add" in f["name"] or "lambda" in f["name"])
        fake.release()
        assert [future.result(20) for future in futures] == [11, 2]


@pytest.fixture
def elder(fake, monkeypatch):
    """The server's Python is another one."""
    whole = fake.answer

    def answer(method, path, query, headers, body):
        status, reply = whole(method, path, query, headers, body)
        if path.endswith("/result") and b"." in (pickled := reply_pickle(reply)):
            value = pickle.loads(pickled)
            if isinstance(value, str) and value.count(".") == 2:
                reply["result"] = text_of("3.4.9")
        return status, reply

    monkeypatch.setattr(fake, "answer", answer)
    fake.runtime = "cp34"
    return fake


def test_code_goes_to_its_own_python_or_nowhere(elder):
    with Executor(url=elder.url) as far:
        future = far.submit(lambda: 1)
        with pytest.raises(VersionMismatch, match=r"no worker has cp3.*cp34 x 1\. Start one\."):
            future.result(20)
        with pytest.raises(NoWorker):
            far.submit(map, lambda: 1, ()).result(20)  # among the arguments
        assert far.submit(pow, 2, 2).result(20) == 4
        elder.runtime = None
        assert far.submit(lambda: 1).result(20) == 1
        other = far.with_options(runtime="cp34")
        future = other.submit(callable, lambda: 1)
        assert future.result(20) is True
        assert elder.tasks[future.task_id]["fields"] == {"runtime": "cp34"}
        assert questions(elder) == 0


def test_code_may_be_tried_anywhere(elder):
    with Executor(url=elder.url, on_mismatch="ignore") as far:
        assert far.submit(lambda: 1).result(20) == 1
        assert questions(elder) == 0
    with Executor(url=elder.url, on_mismatch="warn") as far:
        with pytest.warns(UserWarning, match=r"3\.4\.9"):
            future = far.submit(lambda: 1)
        assert future.result(20) == 1
        assert far.submit(lambda: 2).result(20) == 2
        assert questions(elder) == 1
    with pytest.raises(ValueError):
        Executor(url=elder.url, on_mismatch="maybe")


def reply_pickle(reply):
    import base64
    return base64.b64decode(reply["result"]) if reply.get("result") else b""


def text_of(value):
    import base64
    return base64.b64encode(pickle.dumps(value)).decode()
