"""Fixtures of the SDK's tests: a server in this process, and an Executor on it."""

import sys
import threading
import time
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

from farhand import Client, Executor  # noqa: E402
from fake_server import FakeServer  # noqa: E402


def our_threads():
    return {t for t in threading.enumerate() if t.name.startswith("farhand-")}


@pytest.fixture
def fake():
    """Whatever a test does with it, no thread of ours is left in the end."""
    before = our_threads()
    server = FakeServer()
    yield server
    try:
        end = time.monotonic() + 10
        while time.monotonic() < end:
            left = our_threads() - before
            if not left:
                break
            left.pop().join(1)
        assert not our_threads() - before
    finally:
        server.stop()


@pytest.fixture
def far(fake):
    executor = Executor(url=fake.url)
    yield executor
    fake.release()
    executor.shutdown(wait=False)  # `fake` waits for its end, not for ever


@pytest.fixture
def client(fake):
    with Client(fake.url) as client:
        yield client
