"""submit(): functions, arguments, results, exceptions."""

import functools
import math
import sys
import threading
from concurrent.futures import CancelledError

import pytest

import functions_here as here
from farhand import (
    DeserializationError,
    Executor,
    MaxResultSizeExceeded,
    RemoteError,
    RemoteTraceback,
    SerializationError,
    TaskExecutionFailed,
    TaskExpired,
    TaskMemoryError,
    TaskTimeout,
    WorkerCrashed,
    WorkerLost,
)


def test_a_call(far):
    future = far.submit(pow, 2, 100)
    assert future.result(20) == 2**100
    assert future.exception() is None
    assert future.done() and not future.cancelled() and not future.running()
    assert future.task_id and future.group_id == far.task_group_id
    assert future.traceback_text is None


def test_any_keyword(far):
    assert far.submit(here.named, self=1, fn=2, function_id=3).result(20) == (1, 2, 3)
    assert far.submit(here.add, 1, c=5).result(20) == 16


@pytest.mark.parametrize("value", [None, (), {}, "text", b"\x93", 0.1, float("inf"), {1, 2}, [[]]])
def test_values_come_back(far, value):
    assert far.submit(dict, v=value).result(20) == {"v": value}


def test_the_original_exception(far):
    future = far.submit(here.trouble, 1)
    error = future.exception(20)
    assert type(error) is here.Trouble and (error.one, error.two) == (1, "two")
    assert isinstance(error.__cause__, RemoteTraceback)
    text = error.__cause__.text
    assert "raise Trouble(*args)" in text and str(error.__cause__) == f'\n"""\n{text.rstrip()}\n"""'
    assert future.traceback_text == text
    if sys.version_info >= (3, 11):
        assert error.__notes__ == [f"in task {future.task_id}, attempt 1"]
    with pytest.raises(here.Trouble):
        future.result()


def test_an_exception_that_cannot_be_rebuilt(far):
    error = far.submit(here.unloadable).exception(20)
    assert type(error) is RemoteError
    assert (error.type_name, error.text) == ("functions_here.Unloadable", "one")
    assert "one" in str(error) and "cannot be rebuilt here" in str(error)
    assert "raise Unloadable" in error.__cause__.text


def test_an_exception_that_no_pickle_can_hold(far):
    error = far.submit(here.two_arguments).exception(20)
    assert type(error) is RemoteError
    assert (error.type_name, error.text) == ("functions_here.TwoArguments", "1 and 2")
    assert "cannot be rebuilt" in str(error) and "raise TwoArguments" in error.__cause__.text


def test_a_runtime_error_stays_one(far):
    error = far.submit(here.raise_runtime_error).exception(20)
    assert type(error) is RuntimeError and error.args == ("as it is",)


def test_system_exit_is_an_exception_like_others(far):
    assert isinstance(far.submit(sys.exit, 3).exception(20), SystemExit)
    assert far.submit(pow, 2, 2).result(20) == 4


REASONS = {
    "timeout": (TaskTimeout, TimeoutError),
    "memory": (TaskMemoryError, MemoryError),
    "crash": (WorkerCrashed, RuntimeError),
    "worker_lost": (WorkerLost, RuntimeError),
    "undecodable": (DeserializationError, TaskExecutionFailed),
    "unserialisable": (SerializationError, TaskExecutionFailed),
    "result_too_large": (MaxResultSizeExceeded, TaskExecutionFailed),
    "expired": (TaskExpired, TaskExecutionFailed),
    "a new one": (TaskExecutionFailed, Exception),
}


@pytest.mark.parametrize("reason", REASONS)
def test_reasons(fake, far, reason):
    fake.hold()
    future = far.submit(pow, 1, 1)
    error = {"type": "builtins.OSError", "message": "so it was", "traceback": None}
    fake.finish(future.task_id, state="FAILED", reason=reason, error=error)
    error = future.exception(20)
    assert type(error) is REASONS[reason][0] and isinstance(error, REASONS[reason][1])
    assert (error.reason, error.task_id) == (reason, future.task_id)
    assert "so it was" in str(error) and future.task_id in str(error)


def test_a_cancelled_task(fake, far):
    fake.hold()
    future = far.submit(pow, 1, 1)
    fake.finish(future.task_id, state="CANCELLED", reason="cancelled")
    with pytest.raises(CancelledError):
        future.result(20)
    assert future.cancelled() and future.traceback_text is None


def test_a_result_that_cannot_be_loaded_is_its_own_trouble(far):
    futures = [far.submit(here.opens), far.submit(pow, 2, 3)]
    error = futures[0].exception(20)
    assert type(error) is DeserializationError and "it does not load" in str(error)
    assert error.task_id == futures[0].task_id
    assert futures[1].result(20) == 8


def test_a_broken_record_is_its_own_trouble(fake, far):
    fake.hold()
    futures = [far.submit(pow, 2, n) for n in (1, 2)]
    fake.finish(futures[0].task_id, pickled=b"junk")
    fake.finish(futures[1].task_id, 4)
    assert isinstance(futures[0].exception(20), DeserializationError)
    assert futures[1].result(20) == 4


def test_arguments_that_cannot_be_serialised(far):
    future = far.submit(len, threading.Lock())
    error = future.exception(20)
    assert type(error) is SerializationError and "lock" in str(error)
    assert error.__cause__ is not None and future.task_id is None and not future.cancel()


def test_a_function_that_cannot_be_serialised(far):
    lock = threading.Lock()
    future = far.submit(lambda: lock)
    assert type(future.exception(20)) is SerializationError
    assert far.submit(pow, 2, 2).result(20) == 4


def test_a_result_that_cannot_be_serialised(far):
    assert isinstance(far.submit(here.lock).exception(20), SerializationError)


def test_a_function_is_registered_once(fake, far):
    for future in [far.submit(here.add, n) for n in range(50)]:
        future.result(20)
    own = [f for f in fake.functions.values() if f["name"] == "add"]
    assert len(own) == 1 and own[0]["serializer"] == "pickle"
    posts = fake.count("/v1/functions")
    assert far.submit(here.add, 1).result(20) == 11
    assert fake.count("/v1/functions") == posts


def test_a_function_that_is_defined_anew_is_another_one(far):
    def make(value):
        def function():
            return value
        return function

    assert [far.submit(make(n)).result(20) for n in range(100)] == list(range(100))


def test_closures_in_a_loop_do_not_fill_the_list_of_functions(fake, far):
    futures = [far.submit(lambda n=n: n) for n in range(200)]
    assert [future.result(20) for future in futures] == list(range(200))
    assert len(fake.functions) < 50


def test_what_has_a_state_is_sent_as_it_is_at_each_call(far):
    counter = here.Counter(1)
    bound = counter.get
    partial = functools.partial(here.add, 5)
    results = [far.submit(bound), far.submit(counter, 10), far.submit(partial, c=1)]
    counter.value = 2
    results += [far.submit(bound), far.submit(counter, 10)]
    assert [future.result(20) for future in results] == [1, 11, 16, 2, 12]
    assert far.submit("abc".upper).result(20) == "ABC"


def test_builtins_and_classes(far):
    assert far.submit(math.sqrt, 9).result(20) == 3
    assert far.submit(here.Counter, 7).result(20).value == 7
    assert far.submit(str.upper, "x").result(20) == "X"


@pytest.mark.parametrize("size", [0, 65_000, 66_000, 3_000_000])
def test_sizes(fake, far, size):
    data = bytes(size)
    assert far.submit(bytes, data).result(20) == data
    assert bool(fake.count("/v1/tasks")) == (size > 65_536)


def test_many_large_ones_side_by_side(far):
    futures = [far.submit(bytes, bytes([n]) * 200_000) for n in range(30)]
    assert [future.result(20)[0] for future in futures] == list(range(30))


def test_a_large_exception(far):
    error = far.submit(here.trouble, "x" * 100_000).exception(20)
    assert type(error) is here.Trouble and len(error.one) == 100_000


def test_registered_functions(far, client):
    function_id = far.register_function(here.add)
    with pytest.raises(ValueError):
        far.register_function(here.add)
    assert far.submit_to_registered_function(function_id, (1,), {"c": 2}).result(20) == 13
    assert far.submit_to_registered_function(function_id, args=[1]).result(20) == 11
    assert far.register_function(here.named, function_id) == function_id
    assert far.submit(here.named, 1).result(20) == 11  # it was told that add is that function


def test_output(fake, far):
    fake.hold()
    future = far.submit(pow, 1, 1)
    fake.finish(future.task_id, 1, stdout="hello\n", stderr="oh\n")
    assert future.result(20) == 1
    assert (future.stdout, future.stderr) == ("hello\n", "oh\n")
    assert future.task["state"] == "COMPLETED"


def test_options_are_sent(fake, far):
    fake.hold()
    other = far.with_options(
        retries=2, retry_on=(OSError, "timeout"), timeout=1.5, priority=7, mem="1M",
        tags={"a": "b"}, at_most_once=True, expires_in=60, delay=5, backoff=(1, 2, 3))
    small, large = other.submit(pow, 1, 1), other.submit(bytes, bytes(100_000))
    plain = far.submit(pow, 1, 1)
    fields = fake.tasks[small.task_id]["fields"]
    assert fields.pop("not_before").endswith("Z")
    assert fields == {
        "retries": 2, "retry_on": ["builtins.OSError", "timeout"], "timeout_s": 1.5, "priority": 7,
        "resources": {"mem": 1 << 20}, "tags": {"a": "b"}, "at_most_once": True, "expires_in": 60,
        "backoff": {"initial_s": 1, "factor": 2, "max_s": 3}}
    raw = fake.tasks[large.task_id]["fields"]
    assert raw["retries"] == "2" and raw["timeout_s"] == "1.5" and raw["tags"] == '{"a":"b"}'
    assert fake.tasks[plain.task_id]["fields"] == {}
    assert small.group_id == plain.group_id


def test_max_workers(fake):
    with Executor(url=fake.url) as far:
        assert far._max_workers == fake.slots
    with Executor(url=fake.url, max_workers=3) as far:
        assert far._max_workers == 3
    with pytest.raises(ValueError):
        Executor(url=fake.url, max_workers=0)


def test_names_of_other_executors_are_accepted(fake):
    with Executor(
        "endpoint", None, None, {"mem": "1G"}, {"x": 1}, "label", batch_size=3, amqp_port=443,
        api_burst_limit=1, api_burst_window_s=2, serializer="pickle", result_serializers=["x"],
        url=fake.url, retries=1, timeout=5, priority=1, tags={"k": "v"}, on_mismatch="ignore",
    ) as far:
        future = far.submit(pow, 2, 2)
        assert future.result(20) == 4
        group = fake.groups[future.group_id]
        assert (group["name"], group["tags"]) == ("label", {"k": "v"})
        assert fake.tasks[future.task_id]["fields"] == {
            "retries": 1, "timeout_s": 5.0, "priority": 1, "tags": {"k": "v"},
            "resources": {"mem": 1 << 30}}
        far.resource_specification = {"cpus": 2}
        assert fake.tasks[far.submit(pow, 2, 3).task_id]["fields"]["resources"] == {"cpus": 2}
        far.resource_specification = None
        far.endpoint_id, far.serializer = "other", "auto"
        assert "resources" not in fake.tasks[far.submit(pow, 2, 3).task_id]["fields"]
        with pytest.raises(ValueError):
            far.resource_specification = {"gpus": 1}
