"""How clients wait, group and repeat: each promise of the interface over a real server."""

import socket
import threading
from pathlib import Path
from typing import Any, Dict, List

import pytest
import workload
from conftest import ServerMaker
from fleet import Held
from harness import Client, Server, call, wait_until

MANY_PARKED = 1000


# ---- groups ---------------------------------------------------------------------------------


@pytest.mark.smoke
def test_a_group_counts_its_tasks(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server(slots=1)
    client = server.client
    group = client.good("POST", "/v1/groups", {"name": "mine", "tags": {"a": "b"}})["id"]
    function = client.register(workload.add)
    assert client.good("GET", f"/v1/groups/{group}")["total"] == 0
    same, ids = client.batch(function, [(n, 1) for n in range(3)], group_id=group)
    assert same == group
    failing = client.submit(client.register(workload.fail), "x", group_id=group)
    assert {task["id"] for task in client.collect(group)} == {*ids, failing}
    running = client.submit(client.register(workload.hold), str(tmp_path), 1, group_id=group)
    client.started(running)
    cancelled = client.submit(function, 1, 1, group_id=group)
    assert client.delete(f"/v1/tasks/{cancelled}").status == 200
    client.submit(function, 1, 1, group_id=group)
    for _ in range(2):
        found = client.good("GET", f"/v1/groups/{group}")
        assert (found["name"], found["tags"], found["total"]) == ("mine", {"a": "b"}, 7)
        assert found["counts"] == {"QUEUED": 1, "RUNNING": 1, "COMPLETED": 3, "FAILED": 1,
                                   "CANCELLED": 1}
        server.restart()
        client = server.client
        client.started(running)
    (tmp_path / "go").touch()


# ---- waiting --------------------------------------------------------------------------------


def wait_for(client: Client, **body: Any) -> Dict[str, Any]:
    return client.good("POST", "/v1/tasks:wait", body)


@pytest.mark.smoke
def test_wait_any_answers_with_the_first_and_goes_on_by_cursor(make_server: ServerMaker,
                                                               tmp_path: Path) -> None:
    client = make_server(slots=2).client
    held = Held(client, tmp_path / "held")
    function = client.register(workload.hold)
    folders = [tmp_path / str(n) for n in range(3)]
    for folder in folders:
        folder.mkdir()
    group, ids = client.batch(function, [(str(folder), "x") for folder in folders])
    assert wait_for(client, group_id=group, wait_s=0)["done"] == []
    cursor: Any = None
    for n, folder in enumerate(folders):
        (folder / "go").touch()
        since = {} if cursor is None else {"since_cursor": cursor}
        page = wait_for(client, group_id=group, mode="any", wait_s=60, **since)
        assert [task["id"] for task in page["done"]] == [ids[n]]
        assert page["pending_count"] == 2 - n
        cursor = page["cursor"]
    page = wait_for(client, group_id=group, mode="any", wait_s=60, since_cursor=cursor)
    assert page["done"] == [] and page["pending_count"] == 0, "with nothing pending: at once"
    again = wait_for(client, group_id=group, wait_s=0)
    assert [task["id"] for task in again["done"]] == ids, "in the order of finishing"
    held.release()


@pytest.mark.parametrize("by", ["group", "ids"])
def test_wait_all_answers_when_none_is_pending(make_server: ServerMaker, tmp_path: Path,
                                               by: str) -> None:
    server = make_server(slots=1)
    client = server.client
    fast, slow = client.register(workload.add), client.register(workload.hold)
    group, ids = client.batch(fast, [(n, 1) for n in range(5)])
    ids.append(client.submit(slow, str(tmp_path), "x", group_id=group))
    client.started(ids[-1])
    for fast_one in ids[:-1]:
        client.finished(fast_one)
    of = {"group_id": group} if by == "group" else {"ids": ids}
    assert wait_for(client, mode="all", wait_s=0.1, **of)["done"] == []
    page = wait_for(client, mode="any", wait_s=0.1, **of)
    assert len(page["done"]) == 5 and page["pending_count"] == 1
    answers: List[Dict[str, Any]] = []
    waiter = threading.Thread(target=lambda: answers.append(
        wait_for(server.connect(), mode="all", wait_s=60, include_results=True, **of)))
    waiter.start()
    wait_until(lambda: client.stats()["waiting_calls"] == 1, "it is parked")
    (tmp_path / "go").touch()
    waiter.join()
    assert [task["id"] for task in answers[0]["done"]] == ids
    assert answers[0]["pending_count"] == 0
    assert all(task["result"] for task in answers[0]["done"])


def test_a_wait_by_ids_names_what_is_unknown(server: Server) -> None:
    client = server.client
    known = client.submit(client.register(workload.add), 1, 1)
    unknown = "01890000-0000-7000-8000-000000000000"
    answer = client.post("/v1/tasks:wait", {"ids": [known, unknown], "wait_s": 1})
    assert answer.status == 404 and unknown in answer.json["detail"]
    answer = client.post("/v1/tasks:wait", {"group_id": unknown, "wait_s": 1})
    assert answer.status == 404


@pytest.mark.parametrize("by", ["group", "ids"])
@pytest.mark.parametrize("restarted", [False, True])
def test_results_come_in_pages_of_max_bytes(make_server: ServerMaker, by: str,
                                            restarted: bool) -> None:
    server = make_server(slots=2)
    client = server.client
    group, ids = client.batch(client.register(workload.echo), [("x" * 100_000,)] * 30)
    client.collect(group)
    if restarted:  # from the store instead of from memory
        server.restart()
        client = server.client
    of = {"group_id": group} if by == "group" else {"ids": ids}
    seen: List[str] = []
    since: Dict[str, Any] = {}
    pages = 0
    while len(seen) < 30:
        page = wait_for(client, wait_s=5, include_results=True, max_bytes=250_000, **of, **since)
        assert 1 <= len(page["done"]) <= 2, "so many fit"
        assert all(len(task["result"]) > 100_000 for task in page["done"])
        seen += [task["id"] for task in page["done"]]
        since = {"since_cursor": page["cursor"]}
        pages += 1
    assert sorted(seen) == sorted(ids) and pages == 15
    page = wait_for(client, wait_s=5, include_results=True, max_bytes=1, **of)
    assert len(page["done"]) == 1, "one at least, however large"


def test_an_answer_holds_ten_thousand_at_most(make_server: ServerMaker) -> None:
    client = make_server(slots=2).client
    function = client.register(workload.add)
    group, ids = client.batch(function, [(n, 1) for n in range(10_000)])
    client.batch(function, [(n, 1) for n in range(2_000)], group_id=group)
    deadline_page = wait_for(client, group_id=group, mode="all", wait_s=60)
    assert len(deadline_page["done"]) == 10_000
    rest = wait_for(client, group_id=group, wait_s=0, since_cursor=deadline_page["cursor"])
    assert len(rest["done"]) == 2_000 and rest["pending_count"] == 0
    assert len(wait_for(client, ids=ids, mode="all", wait_s=60)["done"]) == 10_000


# ---- idempotency keys -----------------------------------------------------------------------


def ways_to_store(client: Client) -> Dict[str, Any]:
    function = client.register(workload.add)
    task = {"function_id": function, "payload": call(1, 2)}
    return {"/v1/tasks": task, "/v1/tasks:batch": {"function_id": function, "tasks": [task] * 3},
            "/v1/groups": {"name": "g"}}


@pytest.mark.smoke
@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/tasks:batch", "/v1/groups"])
def test_a_key_gives_the_same_answer_again(make_server: ServerMaker, path: str) -> None:
    server = make_server(slots=1)
    client = server.client
    body = ways_to_store(client)[path]
    first = client.post(path, body, Idempotency_Key="a-key")
    assert first.status in (200, 201) and "idempotency-replayed" not in first.headers
    for _ in range(2):
        again = client.post(path, body, Idempotency_Key="a-key")
        assert again.headers["idempotency-replayed"] == "true"
        assert (again.status, again.json) == (first.status, first.json)
        assert again.headers.get("location") == first.headers.get("location")
        server.restart()
        client = server.client
    changed = {**body, "name": "other"} if path.endswith("groups") else \
        {**body, "function_id": client.register(workload.echo)}
    other = client.post(path, changed, Idempotency_Key="a-key")
    assert other.status == 422 and other.code == "idempotency_key_reused"
    fresh = client.post(path, body, Idempotency_Key="another-key")
    assert fresh.json != first.json and "idempotency-replayed" not in fresh.headers


@pytest.mark.parametrize("path", ["/v1/tasks", "/v1/tasks:batch", "/v1/groups"])
def test_one_key_at_the_same_time_stores_once(server: Server, path: str) -> None:
    client = server.client
    body = ways_to_store(client)[path]
    before = sum(client.counts().values())
    answers: List[Any] = []
    gate = threading.Barrier(8)

    def ask() -> None:
        mine = server.connect()
        mine.get("/livez")
        gate.wait()
        answers.append(mine.post(path, body, Idempotency_Key=f"at-once-{path}"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8 and all(a.status // 100 == 2 for a in answers), answers
    assert len({a.body for a in answers}) == 1
    assert sum("idempotency-replayed" in a.headers for a in answers) == 7
    stored = {"/v1/tasks": 1, "/v1/tasks:batch": 3, "/v1/groups": 0}[path]
    assert sum(client.counts().values()) == before + stored


# ---- many at once ---------------------------------------------------------------------------


def knock(server: Server, *requests: str) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port.number), timeout=60)
    connection.sendall("".join(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
                               for path in requests).encode())
    return connection


def read_answer(stream: Any) -> bytes:
    """Status line and body of one answer."""
    status, length = stream.readline(), 0
    while True:
        line = stream.readline()
        if line in (b"\r\n", b""):
            return status + stream.read(length)
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])


def parked(client: Client) -> int:
    return client.stats()["waiting_calls"]


def test_a_thousand_parked_polls_are_answered(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server(slots=1)
    client = server.client
    task = client.submit(client.register(workload.hold), str(tmp_path), "x")
    path = f"/v1/tasks/{task}?wait=60"
    connections = [knock(server, path) for _ in range(MANY_PARKED)]
    wait_until(lambda: parked(client) == MANY_PARKED, "all of them are parked")
    (tmp_path / "go").touch()
    for connection in connections:
        with connection, connection.makefile("rb") as stream:
            answer = read_answer(stream)
        assert answer.startswith(b"HTTP/1.1 200 ") and b'"COMPLETED"' in answer
    assert parked(client) == 0


@pytest.mark.smoke
def test_clients_that_leave_are_forgotten(make_server: ServerMaker) -> None:
    server = make_server(slots=0)
    client = server.client
    task = client.submit(client.register(workload.add), 1, 1)
    group, _ = client.batch(client.register(workload.add), [(1, 1)])
    connections = [knock(server, f"/v1/tasks/{task}?wait=60") for _ in range(50)]
    wait_until(lambda: parked(client) == 50, "all of them are parked")
    for connection in connections:
        connection.close()
    wait_until(lambda: parked(client) == 0, "none is parked any more")
    assert client.task(task)["state"] == "QUEUED"


@pytest.mark.smoke
def test_a_request_behind_a_parked_poll_is_served_after_it(make_server: ServerMaker,
                                                           tmp_path: Path) -> None:
    server = make_server(slots=1)
    client = server.client
    task = client.submit(client.register(workload.hold), str(tmp_path), "x")
    client.started(task)
    with knock(server, f"/v1/tasks/{task}?wait=60", "/version", f"/v1/tasks/{task}?wait=60",
               "/livez") as connection, connection.makefile("rb") as stream:
        wait_until(lambda: parked(client) == 1, "the first one is parked")
        connection.sendall(b"GET /version HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.get("/livez").status == 200, "the server is alive"
        (tmp_path / "go").touch()
        assert b'"COMPLETED"' in read_answer(stream)
        assert b'"version"' in read_answer(stream)
        assert b'"COMPLETED"' in read_answer(stream)
        assert read_answer(stream).startswith(b"HTTP/1.1 200 ")
        assert b'"version"' in read_answer(stream)
