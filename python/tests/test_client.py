"""Client: each call, and what each error becomes."""

import pickle
import threading
import uuid

import pytest

import functions_here as here
from fake_http import DROP_AFTER, DROP_BEFORE, Problem
from farhand import (
    AccessDenied,
    ApiError,
    BadRequest,
    Client,
    Conflict,
    Gone,
    NotFound,
    NoWorker,
    Overloaded,
    PayloadTooLarge,
    QueueFull,
    RemoteTraceback,
    ServerFault,
    ServerUnavailable,
    TaskPending,
    VersionMismatch,
)
from farhand.modules import runtime_name

NOWHERE = str(uuid.uuid4())


def test_functions(fake, client):
    function_id = client.register_function(here.add)
    assert client.register_function(here.add) == function_id
    assert client.register_function(here.add, "another name", description="adds") != function_id
    names = {function["name"] for function in fake.functions.values()}
    assert names == {"add", "another name"}


def test_run_and_results(client):
    function_id = client.register_function(here.add)
    task_id = client.run(1, function_id=function_id, endpoint_id="ignored", c=5)
    assert client.get_result(task_id, wait=20) == 16
    task_id = client.submit(function_id, (1, 2), {"c": 3}, options={"priority": 3})
    task = client.get_task(task_id, wait=20)
    assert (task["id"], task["state"], task["function_id"]) == (task_id, "COMPLETED", function_id)
    assert pickle.loads(client.get_result_bytes(task_id)) == 6


@pytest.mark.parametrize("size", [10, 200_000])
def test_options_and_sizes(fake, client, size):
    fake.hold()
    function_id = client.register_function(len)
    task_id = client.submit(function_id, (bytes(size),), options={"retries": 3, "mem": "1G"})
    fields = fake.tasks[task_id]["fields"]
    assert fields in ({"retries": 3, "resources": {"mem": 1 << 30}},
                      {"retries": "3", "resources": '{"mem":1073741824}'})
    fake.release()
    assert client.get_result(task_id, wait=20) == size
    with pytest.raises(TypeError, match="no such option"):
        client.submit(function_id, (), options={"retry": 3})


def test_pending(fake, client):
    fake.hold()
    task_id = client.submit(client.register_function(abs), (-1,))
    for call in (client.get_result, client.get_result_bytes):
        with pytest.raises(TaskPending) as caught:
            call(task_id)
        assert (caught.value.task_id, caught.value.state) == (task_id, "QUEUED")
    fake.finish(task_id, 1)
    assert client.get_result(task_id) == 1


def test_failures(client):
    task_id = client.submit(client.register_function(here.trouble), (1,))
    with pytest.raises(here.Trouble) as caught:
        client.get_result(task_id, wait=20)
    assert isinstance(caught.value.__cause__, RemoteTraceback)


def test_batches(fake, client):
    function_id = client.register_function(divmod)
    batch = client.submit_batch(function_id, [((n, 3), {}) for n in range(20)],
                                options={"tags": {"a": "b"}})
    assert len(batch.task_ids) == 20
    assert [client.get_result(i, wait=20) for i in batch.task_ids] == [
        divmod(n, 3) for n in range(20)]
    again = client.submit_batch(function_id, [((1, 3), {})], group_id=batch.group_id)
    assert again.group_id == batch.group_id
    assert client.get_group(batch.group_id)["total"] == 21
    assert fake.tasks[batch.task_ids[3]]["fields"] == {"tags": {"a": "b"}}
    with pytest.raises(NotFound):
        client.submit_batch(NOWHERE, [((), {})])


def test_code_is_tied_to_this_python(fake, client):
    ours = runtime_name()
    by_value = client.register_function(lambda f: f)
    assert fake.functions[by_value]["runtime"] == ours
    assert fake.functions[client.register_function(abs)]["runtime"] is None
    other = client.register_function(abs, runtime="cp34")
    assert fake.functions[other]["runtime"] == "cp34"
    plain, coded = ((1,), {}), ((lambda: 1,), {})

    def fields(task_id):
        return fake.tasks[task_id]["fields"]

    assert fields(client.submit(by_value, *plain)) == {}
    assert fields(client.submit(by_value, *coded)) == {"runtime": ours}
    assert fields(client.submit(by_value, *coded, options={"runtime": "cp34"})) == {
        "runtime": "cp34"}
    batch = client.submit_batch(by_value, [plain, coded])
    assert [fields(task_id) for task_id in batch.task_ids] == [{}, {"runtime": ours}]
    options = {"runtime": "cp34", "labels": {"site": "x"}, "wait_for_worker": True}
    batch = client.submit_batch(by_value, [plain, coded], options=options)
    assert [fields(task_id) for task_id in batch.task_ids] == [options, options]


def test_no_worker(fake, client):
    function_id = client.register_function(lambda: 1)
    fake.runtime = "cp34"
    for call in (lambda: client.submit(function_id),
                 lambda: client.submit_batch(function_id, [((), {})])):
        with pytest.raises(VersionMismatch, match="cp34 x 1.*Start one") as caught:
            call()
        assert isinstance(caught.value, NoWorker) and isinstance(caught.value, RuntimeError)
    assert client.get_result(client.submit(function_id, options={"wait_for_worker": True}),
                             wait=20) == 1


def test_a_batch_of_which_some_are_refused(fake, client):
    function_id = client.register_function(callable)
    fake.runtime = "cp34"
    plain, coded = ((1,), {}), ((lambda: 1,), {})
    with pytest.raises(VersionMismatch, match="2 of 4 calls were refused") as caught:
        client.submit_batch(function_id, [plain, coded, plain, coded])
    error = caught.value
    assert list(error.refused) == [1, 3] and error.refused[1] is error
    assert type(error.refused[3]) is VersionMismatch and error.refused[3].advice
    assert sorted(error.batch.task_ids) == sorted(fake.tasks)
    assert client.get_group(error.batch.group_id)["total"] == 2
    assert [client.get_result(task, wait=20) for task in error.batch.task_ids] == [False, False]
    with pytest.raises(VersionMismatch) as caught:
        client.submit_batch(function_id, [coded])
    assert caught.value.batch is None and list(caught.value.refused) == [0]
    assert "accepted" not in str(caught.value)


def test_waiting(fake, client):
    fake.hold()
    batch = client.submit_batch(client.register_function(abs), [((n,), {}) for n in range(5)])
    reply = client.wait(group_id=batch.group_id, wait_s=0)
    assert (reply["done"], reply["pending_count"]) == ([], 5)
    fake.finish(batch.task_ids[2], 22)
    reply = client.wait(group_id=batch.group_id, since_cursor=reply["cursor"],
                        include_results=True, max_bytes=1000)
    assert [task["id"] for task in reply["done"]] == [batch.task_ids[2]]
    assert reply["done"][0]["result"] and reply["pending_count"] == 4
    reply = client.wait(group_id=batch.group_id, since_cursor=reply["cursor"], wait_s=0)
    assert reply["done"] == []
    fake.release()
    reply = client.wait(batch.task_ids, mode="all", fields=["id", "state"])
    assert reply["pending_count"] == 0
    assert all(set(task) == {"id", "state"} for task in reply["done"])
    for wrong in ({}, {"task_ids": [NOWHERE], "group_id": NOWHERE}):
        with pytest.raises(ValueError):
            client.wait(**wrong)


def test_cancelling(fake, client):
    fake.hold()
    function_id = client.register_function(abs)
    task_id = client.submit(function_id, (1,))
    assert client.cancel(task_id)
    with pytest.raises(Conflict) as caught:
        client.cancel(task_id)
    assert caught.value.code == "final"
    with pytest.raises(NotFound):
        client.cancel(NOWHERE)
    task_id = client.submit(function_id, (1,))
    with fake.lock:
        fake.tasks[task_id]["state"] = "RUNNING"
    assert not client.cancel(task_id)
    assert client.cancel(task_id, force=True)


def test_the_rest(fake, client):
    group = client.create_group("name", {"k": "v"})
    assert client.get_group(group["id"])["tags"] == {"k": "v"}
    assert client.create_group()["name"] is None
    assert client.stats()["slots"] == fake.slots and "version" in client.version()
    task_id = client.submit(client.register_function(abs), (1,))
    assert client.get_result(task_id, wait=20) == 1
    logs = client.logs(task_id)
    assert (logs.stdout, logs.stderr, logs.stdout_truncated) == ("", "", False)
    assert fake.url in repr(client)


@pytest.mark.parametrize("status, code, kind", [
    (400, "bad_request", BadRequest), (401, "x", AccessDenied), (403, "x", AccessDenied),
    (404, "not_found", NotFound), (405, "x", BadRequest), (409, "final", Conflict),
    (410, "gone", Gone), (413, "too_large", PayloadTooLarge), (415, "x", BadRequest),
    (422, "invalid_request", BadRequest), (429, "x", Overloaded), (503, "queue_full", QueueFull),
    (503, "busy", Overloaded), (500, "internal", ServerFault), (501, "x", ServerFault),
])
def test_errors(fake, status, code, kind):
    problem = Problem(status, code, "so it is", retry_after=0)
    problem.body.update(request_id="r1", errors=[{"pointer": "/a", "detail": "is wrong"}])
    fake.faults += [("/v1/stats", problem)] * 9
    with Client(fake.url, retry_for=0.1) as client, pytest.raises(kind) as caught:
        client.stats()
    error = caught.value
    assert type(error) is kind and isinstance(error, ApiError)
    assert (error.status, error.code, error.detail) == (status, code, "so it is")
    assert str(error) == "so it is; /a: is wrong" and error.request_id == "r1"
    assert error.retry_after == 0 and error.errors[0]["pointer"] == "/a"
    assert type(pickle.loads(pickle.dumps(error))) is kind


@pytest.mark.parametrize("status", [502, 504])
def test_a_gateway_between(fake, status):
    fake.faults += [("/v1/stats", Problem(status, "x"))] * 9
    with Client(fake.url, retry_for=0.1) as client, pytest.raises(ServerUnavailable):
        client.stats()
    fake.faults.clear()


def test_repetition(fake, client):
    fake.faults += [("/v1/.*", DROP_BEFORE), ("/v1/.*", DROP_AFTER), ("/v1/.*", Problem(503, "x"))]
    group = client.create_group("g")
    assert list(fake.groups) == [group["id"]]
    assert len({headers["idempotency-key"] for headers in fake.headers("/v1/groups")}) == 1


def test_no_server():
    with Client("http://127.0.0.1:1", retry_for=0) as client, pytest.raises(
            ServerUnavailable, match="127.0.0.1:1.*refused"):
        client.version()


def test_the_server_does_not_answer(fake):
    gate = threading.Event()
    fake.delays.append(("/v1/stats", gate))
    with Client(fake.url, timeout=0.05, retry_for=0) as client:
        with pytest.raises(ServerUnavailable, match="no answer within 0.05 s"):
            client.stats()
        gate.set()
        assert "version" in client.version()


def test_what_is_no_farhand(fake, client):
    fake.answer = lambda *a: (200, b"<html>")
    for call in (client.version, lambda: client.create_group("x"),
                 lambda: client.register_function(abs), lambda: client.get_result("x")):
        with pytest.raises(ServerFault):
            call()
    fake.answer = lambda *a: (200, {"something": 1})
    for call in (lambda: client.create_group("x"), lambda: client.register_function(abs)):
        with pytest.raises(ServerFault, match="is this a Farhand server"):
            call()


def test_who_and_where(fake, monkeypatch):
    monkeypatch.setenv("FARHAND_URL", fake.url)
    monkeypatch.setenv("FARHAND_KEY", "fh_env")
    Client().version()
    Client(key="fh_own").version()
    keys = [headers["authorization"] for headers in fake.headers("/version")]
    assert keys == ["Bearer fh_env", "Bearer fh_own"]
    assert all(h["user-agent"].startswith("farhand-python/") for h in fake.headers("/version"))
    for wrong in ("a\r\nb", "ä", "a\0"):
        with pytest.raises(ValueError):
            Client(key=wrong)
    monkeypatch.delenv("FARHAND_URL")
    assert Client().url == "http://127.0.0.1:8000"


def test_an_id_cannot_leave_its_place_in_the_path(fake, client):
    with pytest.raises(ApiError):
        client.get_task("../stats")
    assert fake.requests[-1][1] == "/v1/tasks/..%2Fstats"


def test_many_threads(fake, client):
    function_id = client.register_function(abs)
    results = {}

    def run(k):
        ids = [client.submit(function_id, (-n,)) for n in range(20)]
        results[k] = [client.get_result(i, wait=20) for i in ids]

    threads = [threading.Thread(target=run, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {k: list(range(20)) for k in range(6)}
    assert len(fake.sockets) <= 8


def test_a_closed_client_is_usable(fake, client):
    client.version()
    client.close()
    client.version()
    assert fake.count("/version", "GET") == 2
