"""Options of a task: what is taken, what is refused, how it is written."""

import datetime
import json

import pytest

from farhand import Backoff, Executor
from farhand.options import DEFAULT, as_query, parse_bytes
from farhand.spec import Spec, mixed_head

UTC = datetime.timezone.utc


class Own(Exception):
    pass


@pytest.mark.parametrize("option, value, fields", [
    ("retries", 3, {"retries": 3}),
    ("retry_on", OSError, {"retry_on": ("builtins.OSError",)}),
    ("retry_on", (Own, "crash", "a.b"), {"retry_on": ("test_options.Own", "crash", "a.b")}),
    ("retry_on", "timeout", {"retry_on": ("timeout",)}),
    ("backoff", Backoff(0.5), {"backoff": {"initial_s": 0.5, "factor": 2.0, "max_s": 60.0}}),
    ("backoff", {"initial_s": 2, "max_s": 2}, {
        "backoff": {"initial_s": 2, "factor": 2.0, "max_s": 2}}),
    ("timeout", 5, {"timeout_s": 5.0}),
    ("timeout", datetime.timedelta(minutes=1), {"timeout_s": 60.0}),
    ("priority", -100, {"priority": -100}),
    ("mem", "1.5G", {"resources": {"mem": 3 << 29}}),
    ("cpus", 4, {"resources": {"cpus": 4}}),
    ("runtime", "cp313t", {"runtime": "cp313t"}),
    ("labels", {"gpu": "1", "site": None, "n": 2, "x": 0.5, "fast": True},
     {"labels": {"gpu": "1", "site": None, "n": 2, "x": 0.5, "fast": True}}),
    ("wait_for_worker", True, {"wait_for_worker": True}),
    ("tags", {"a": "b"}, {"tags": {"a": "b"}}),
    ("at_most_once", True, {"at_most_once": True}),
    ("not_before", "2030-01-01T00:00:00Z", {"not_before": "2030-01-01T00:00:00Z"}),
    ("not_before", 0, {"not_before": "1970-01-01T00:00:00.000Z"}),
    ("not_before", datetime.datetime(2030, 1, 1, 2, 3, 4, 567000, UTC),
     {"not_before": "2030-01-01T02:03:04.567Z"}),
    ("expires_in", 60, {"expires_in": 60.0}),
])
def test_taken(option, value, fields):
    assert DEFAULT.replace(**{option: value}).now() == fields
    assert DEFAULT.replace(**{option: value}).replace(**{option: None}).now() == {}
    assert DEFAULT.fields == {}
    json.dumps(fields)


@pytest.mark.parametrize("option, value", [
    ("retries", -1), ("retries", 1.0), ("retries", True), ("retries", 5000), ("retry_on", ()),
    ("retry_on", "sometimes"), ("retry_on", int), ("retry_on", 3), ("retry_on", "a.<locals>.b"),
    ("backoff", 3), ("backoff", {"first": 1}), ("backoff", (0, 1, 2)), ("backoff", (2, 1, 1)),
    ("backoff", ("a", 1, 1)), ("timeout", 0), ("timeout", -1), ("timeout", "5"), ("timeout", True),
    ("timeout", float("nan")), ("priority", 101), ("mem", 0), ("mem", "much"), ("mem", 1.5),
    ("tags", {"a": 1}), ("tags", "a"), ("at_most_once", 1), ("not_before", None.__class__),
    ("delay", -1), ("expires_in", 0), ("cpus", 0), ("cpus", 1.5), ("cpus", True),
    ("runtime", "3.11"), ("runtime", 311), ("runtime", "cp311 "), ("labels", "gpu"),
    ("labels", {"gpu": False}), ("labels", {1: "1"}), ("labels", {"gpu": [1]}),
    ("wait_for_worker", 1),
])
def test_refused(option, value):
    with pytest.raises(ValueError, match=option):
        DEFAULT.replace(**{option: value})


def test_unknown():
    with pytest.raises(TypeError, match="no such option: gpus.*priority"):
        DEFAULT.replace(gpus=4)
    with pytest.raises(TypeError):
        Executor().with_options(retry=1)


def test_a_delay_begins_when_the_task_is_submitted():
    options = DEFAULT.replace(delay=3600)
    due = datetime.datetime.strptime(options.now()["not_before"], "%Y-%m-%dT%H:%M:%S.%fZ")
    seconds = (due.replace(tzinfo=UTC) - datetime.datetime.now(UTC)).total_seconds()
    assert 3500 < seconds < 3601
    assert options.replace(not_before=0).now() == {"not_before": "1970-01-01T00:00:00.000Z"}
    assert DEFAULT.replace(not_before=0).replace(delay=5).now()["not_before"] > "2020"
    assert options.replace(delay=None).now() == {}


def test_resources_are_told_apart():
    both = DEFAULT.replace(mem=5, cpus=2)
    assert both.now() == {"resources": {"mem": 5, "cpus": 2}}
    assert both.replace(cpus=3).now() == {"resources": {"mem": 5, "cpus": 3}}
    assert both.replace(mem=None).now() == {"resources": {"cpus": 2}}
    assert both.now() == {"resources": {"mem": 5, "cpus": 2}}


@pytest.mark.parametrize("text, number", [
    ("1", 1), ("1k", 1 << 10), ("1K", 1 << 10), ("2 MiB", 2 << 20), ("3mb", 3 << 20),
    ("0.5G", 1 << 29), ("1T", 1 << 40), (77, 77),
])
def test_bytes(text, number):
    assert parse_bytes("mem", text) == number


def test_query():
    assert as_query({"a": 1, "b": [1, "x"], "c": "text", "d": True}) == {
        "a": "1", "b": '[1,"x"]', "c": "text", "d": "true"}


def test_bodies():
    spec = Spec("f1", DEFAULT.replace(priority=3))
    whole = json.loads(spec.head("g1") + b'{"payload":"p"}]}')
    assert whole == {"function_id": "f1", "group_id": "g1", "defaults": {"priority": 3},
                     "tasks": [{"payload": "p"}]}
    mixed = json.loads(mixed_head("g1") + spec.shared + b'p"}]}')
    assert mixed == {"group_id": "g1",
                     "tasks": [{"function_id": "f1", "priority": 3, "payload": "p"}]}


def test_copies(fake, far):
    other = far.with_options(priority=5).with_options(timeout=3)
    assert other.submit(abs, -1).result(20) == 1
    assert far.submit(abs, -1).result(20) == 1
    assert sorted(len(task["fields"]) for task in fake.tasks.values()) == [0, 2]
    assert other.task_group_id == far.task_group_id
    other.shutdown()
    with pytest.raises(RuntimeError):
        far.submit(abs, -1)
