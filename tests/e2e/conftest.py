"""Fixtures: servers that end with their tests, and whose logs are shown when one fails."""

import contextlib
from pathlib import Path
from typing import Callable, Iterator, List

import pytest

from harness import PYTHONS, Server

ServerMaker = Callable[..., Server]

LOG_SHOWN = 20000
_alive: List[Server] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "smoke: the part that also runs under sanitizers")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = (yield).get_result()
    if report.failed:
        for server in _alive:
            title = f"log of the server on port {server.port.number}"
            report.sections.append((title, server.log[-LOG_SHOWN:]))


@contextlib.contextmanager
def servers_in(folder_of: Callable[[], Path]) -> Iterator[ServerMaker]:
    """A maker of servers, each in a folder of its own; at the end all of them stop in order."""
    made: List[Server] = []

    def make(*args: str, start: bool = True, **options: object) -> Server:
        server = Server(folder_of(), *args, **options)  # type: ignore[arg-type]
        made.append(server)
        _alive.append(server)
        if start:
            server.start()
        return server

    try:
        yield make
        for server in made:
            if server.process:
                assert server.stop() == 0, "an orderly stop ends with status 0"
            server.assert_sane()
    finally:
        for server in made:
            server.dispose()
            _alive.remove(server)


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[ServerMaker]:
    """make_server(*flags, slots=2, ...) -> a Server that is ready; see Server for the rest."""
    numbers = iter(range(1, 1000))

    def folder() -> Path:
        path = tmp_path / f"server-{next(numbers)}"
        path.mkdir()
        return path

    with servers_in(folder) as maker:
        yield maker


@pytest.fixture(scope="module", params=PYTHONS)
def server(request: pytest.FixtureRequest,
           tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server of two slots for all tests of a file, once for each Python."""
    with servers_in(lambda: tmp_path_factory.mktemp("server")) as maker:
        yield maker(python=request.param)
