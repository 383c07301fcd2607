"""The way to the server: batches, repetition, pressure, what is refused."""

import threading
import uuid

import pytest

from fake_http import DROP_AFTER, DROP_BEFORE, Problem
from farhand import (
    BadRequest,
    Executor,
    NotFound,
    NoWorker,
    PayloadTooLarge,
    ServerFault,
    ServerUnavailable,
    VersionMismatch,
)
from farhand import engine as engine_module

BATCH, RAW, WAIT = "/v1/tasks:batch", "/v1/tasks", "/v1/tasks:wait"


def test_what_arrives_while_a_request_is_in_flight_is_the_next_batch(fake, far):
    far.register_function(abs)
    gate = threading.Event()
    fake.delays.append((BATCH, gate))
    first = far.submit(abs, -1)
    fake.wait_until(lambda: any(path == BATCH for _, path, _, _ in fake.requests))
    rest = [far.submit(abs, -n) for n in range(500)]
    assert fake.count(BATCH) == 1
    gate.set()
    assert first.result(20) == 1
    assert [future.result(20) for future in rest] == list(range(500))
    assert fake.count(BATCH) == 2


def test_a_batch_is_bounded(fake, far):
    far.register_function(abs)
    gate = threading.Event()
    fake.delays.append((BATCH, gate))
    futures = [far.submit(abs, -n) for n in range(5001)]
    gate.set()
    assert [future.result(20) for future in futures] == list(range(5001))
    assert fake.count(BATCH) in (3, 4)


def test_different_functions_and_options_share_a_batch(fake, far):
    far.register_function(abs)
    far.register_function(divmod)
    other = far.with_options(priority=5)
    gate = threading.Event()
    fake.delays.append((BATCH, gate))
    first = far.submit(abs, 0)
    fake.wait_until(lambda: any(path == BATCH for _, path, _, _ in fake.requests))
    futures = [far.submit(abs, -1), far.submit(divmod, 7, 2), other.submit(abs, -3)]
    gate.set()
    assert [future.result(20) for future in futures] == [1, (3, 1), 3]
    assert first.result(20) == 0 and fake.count(BATCH) == 2
    assert fake.tasks[futures[2].task_id]["fields"] == {"priority": 5}
    assert fake.tasks[futures[0].task_id]["fields"] == {}


def test_one_wrong_option_does_not_harm_its_neighbours(fake, far):
    far.register_function(abs)
    wrong = far.with_options(priority=99)
    gate = threading.Event()
    fake.delays.append((BATCH, gate))
    first = far.submit(abs, 0)
    fake.wait_until(lambda: any(path == BATCH for _, path, _, _ in fake.requests))
    futures = [far.submit(abs, -1), wrong.submit(abs, -2), far.submit(abs, -3)]
    gate.set()
    assert first.result(20) == 0
    assert futures[0].result(20) == 1 and futures[2].result(20) == 3
    error = futures[1].exception(20)
    assert isinstance(error, BadRequest) and error.status == 422 and futures[1].task_id is None


@pytest.mark.parametrize("whole_batch", [False, True])
def test_what_no_worker_can_run_does_not_harm_its_neighbours(fake, far, whole_batch):
    """Whether the server refuses it alone or with its batch."""
    far.register_function(abs)
    fake.whole_batch = whole_batch
    gate = threading.Event()
    fake.delays.append((BATCH, gate))
    unfit = far.with_options(labels={"gpu": None}, cpus=4)
    futures = [far.submit(abs, 0), far.submit(abs, -1), unfit.submit(abs, -2), far.submit(abs, -3),
               unfit.with_options(wait_for_worker=True).submit(abs, -4)]
    gate.set()
    assert [futures[n].result(20) for n in (0, 1, 3, 4)] == [0, 1, 3, 4]
    error = futures[2].exception(20)
    assert isinstance(error, NoWorker) and isinstance(error, RuntimeError)
    assert not isinstance(error, VersionMismatch)
    assert str(error) == "no worker has label gpu. Start one."
    assert (error.status, error.code, error.advice) == (409, "no_worker", "Start one.")
    assert futures[2].task_id is None
    assert fake.tasks[futures[4].task_id]["fields"] == {
        "labels": {"gpu": None}, "resources": {"cpus": 4}, "wait_for_worker": True}


def test_a_large_task_that_no_worker_can_run(fake, far):
    unfit = far.with_options(labels={"gpu": "1"})
    with pytest.raises(NoWorker, match="label gpu"):
        unfit.submit(len, bytes(100_000)).result(20)
    waits = unfit.with_options(wait_for_worker=True)
    assert waits.submit(len, bytes(100_000)).result(20) == 100_000


def test_one_unknown_function_does_not_harm_its_neighbours(fake, far):
    far.register_function(abs)
    futures = [far.submit(abs, -1), far.submit_to_registered_function(str(uuid.uuid4()), [1]),
               far.submit(abs, -3)]
    assert futures[0].result(20) == 1 and futures[2].result(20) == 3
    assert isinstance(futures[1].exception(20), NotFound)


@pytest.mark.parametrize("path, size", [(BATCH, 1), (RAW, 100_000)])
@pytest.mark.parametrize("fault", [DROP_BEFORE, DROP_AFTER, Problem(503, "busy"), Problem(429, "x"),
                                   Problem(502, "x"), Problem(504, "x")])
def test_a_request_is_repeated_under_its_key(fake, far, path, size, fault):
    far.register_function(len)
    fake.faults += [(path, fault)] * 3
    assert far.submit(len, bytes(size)).result(20) == size
    keys = [headers["idempotency-key"] for headers in fake.headers(path)]
    assert len(keys) == 4 and len(set(keys)) == 1
    assert len(fake.tasks) == 1


def test_each_request_has_a_key_of_its_own(fake, far):
    for n in range(3):
        far.submit(abs, n).result(20)
    keys = [headers["idempotency-key"] for headers in fake.headers(BATCH)]
    assert len(keys) == 3 and len(set(keys)) == 3


def test_retry_after_is_honoured(fake, far):
    pauses = []
    far.register_function(abs)
    far._engine.retry.pause = far._engine.pause = pauses.append
    fake.faults += [(BATCH, Problem(503, "queue_full", retry_after=7))] * 2
    assert far.submit(abs, -1).result(20) == 1
    gate = threading.Event()
    fake.delays.append((BATCH, gate))
    futures = [far.submit(abs, -n) for n in range(10)]
    fake.faults += [(BATCH, Problem(503, "queue_full", retry_after=7))] * 3
    gate.set()
    assert [future.result(20) for future in futures] == list(range(10))
    assert len(pauses) == 5 and all(7 <= seconds <= 9 for seconds in pauses)


def test_a_full_queue_is_waited_for(fake, far):
    fake.hold()
    fake.queue_max = 10
    futures = [far.submit(abs, -n) for n in range(100)]
    fake.wait_until(lambda: sum(path == BATCH for _, path, _, _ in fake.requests) > 8)
    fake.release()  # the whole never fits
    assert [future.result(20) for future in futures] == list(range(100))
    assert len(fake.tasks) == 100


def test_a_full_queue_after_a_lost_answer(fake, far):
    """What may have been accepted is asked for under its key, however full the queue is."""
    far.register_function(abs)
    fake.hold()
    gate = threading.Event()
    fake.delays.append((BATCH, gate))
    futures = [far.submit(abs, -n) for n in range(10)]
    fake.faults += [(BATCH, DROP_AFTER), *[(BATCH, Problem(503, "queue_full"))] * 3]
    gate.set()
    assert all(future.task_id for future in futures)
    fake.release()
    assert [future.result(20) for future in futures] == list(range(10))
    assert len(fake.tasks) == 10


def test_the_server_is_gone_for_a_while(fake, far):
    assert far.submit(abs, -1).result(20) == 1
    fake.unlisten()
    futures = [far.submit(abs, -n) for n in range(100)]
    large = far.submit(len, bytes(100_000)) if far._shared.functions.get(len) else None
    fake.listen()
    assert [future.result(20) for future in futures] == list(range(100))
    assert large is None and len(fake.tasks) == 101


def test_giving_up(fake):
    with Executor(url=fake.url, give_up=0.2) as far:
        assert far.submit(abs, -1).result(20) == 1
        fake.unlisten()
        future = far.submit(abs, -2)
        assert isinstance(future.exception(20), ServerUnavailable)
        fake.listen()
        assert far.submit(abs, -3).result(20) == 3


def test_there_is_no_server(fake):
    url = fake.url
    fake.unlisten()
    far = Executor(url=url, connect_timeout=0.2)
    for _ in range(2):
        with pytest.raises(ServerUnavailable) as caught:
            far.submit(abs, -1)
        assert url in str(caught.value) and isinstance(caught.value, ConnectionError)
    fake.listen()
    assert far.submit(abs, -1).result(20) == 1
    far.shutdown()


def test_it_is_another_server(fake):
    fake.faults.append(("/version", Problem(404, "not_found", "no such page")))
    with Executor(url=fake.url) as far, pytest.raises(NotFound, match="no such page"):
        far.submit(abs, -1)


@pytest.mark.parametrize("value", ["ftp://x", "http://", "http://h:1/?x=1", "http://me@host"])
def test_that_is_no_url(value):
    with pytest.raises(ValueError):
        Executor(url=value)


def test_a_batch_is_refused(fake, far):
    far.register_function(abs)
    fake.faults.append((BATCH, Problem(413, "too_large", "over 8 MiB")))
    error = far.submit(abs, -1).exception(20)
    assert isinstance(error, PayloadTooLarge) and error.code == "too_large"
    assert far.submit(abs, -1).result(20) == 1


def test_a_large_payload_is_refused(fake, far):
    far.register_function(len)
    fake.faults.append((RAW, Problem(413, "too_large", "over 10 MiB")))
    future = far.submit(len, bytes(100_000))
    assert isinstance(future.exception(20), PayloadTooLarge) and future.task_id is None


def test_an_answer_that_makes_no_sense(fake, far):
    far.register_function(abs)
    fake.answer = (lambda whole: lambda method, path, *rest: (
        (200, {"tasks": []}) if path == BATCH else whole(method, path, *rest)))(fake.answer)
    assert isinstance(far.submit(abs, -1).exception(20), ServerFault)


@pytest.mark.parametrize("limit, value, size", [("UNSENT_MAX", 100, 1),
                                                ("UNSENT_BYTES_MAX", 10_000, 100)])
def test_submit_blocks_while_too_much_is_unsent(fake, far, monkeypatch, limit, value, size):
    monkeypatch.setattr(engine_module, limit, value)
    far.register_function(len)
    gate = threading.Event()
    fake.delays.append((BATCH, gate))
    futures, past = [], threading.Event()

    def submit():
        for _ in range(300):
            futures.append(far.submit(len, bytes(size)))
        past.set()

    thread = threading.Thread(target=submit)
    thread.start()
    engine = far._engine
    with engine.lock:
        assert engine.changed.wait_for(lambda: engine.unsent >= 1, 20)
    while not (engine.unsent >= engine_module.UNSENT_MAX
               or engine.unsent_bytes >= engine_module.UNSENT_BYTES_MAX):
        assert not past.is_set()
    assert len(futures) <= 101 and not past.is_set()
    gate.set()
    assert past.wait(20)
    thread.join()
    assert [future.result(20) for future in futures] == [size] * 300
    assert engine.unsent == engine.unsent_bytes == 0


def test_submit_that_blocks_ends_with_shutdown(fake, far, monkeypatch):
    monkeypatch.setattr(engine_module, "UNSENT_MAX", 1)
    far.register_function(abs)
    gate = threading.Event()
    fake.delays.append((BATCH, gate))
    first = far.submit(abs, -1)
    caught = []

    def submit():
        try:
            far.submit(abs, -2)
        except RuntimeError as error:
            caught.append(error)

    thread = threading.Thread(target=submit)
    thread.start()
    while not far._engine.room._waiters:
        assert thread.is_alive()
    far.shutdown(wait=False)
    thread.join(20)
    assert len(caught) == 1
    gate.set()
    assert first.result(20) == 1


def test_many_threads_submit(fake, far):
    results = {}

    def submit(k):
        futures = [far.submit(divmod, k, n) for n in range(1, 200)]
        results[k] = [future.result(20) for future in futures]

    threads = [threading.Thread(target=submit, args=(k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {k: [divmod(k, n) for n in range(1, 200)] for k in range(8)}
    assert fake.count("/v1/functions") == 1
