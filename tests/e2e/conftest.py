"""Fixtures: servers and workers that end with their tests, and whose logs are shown when one
fails."""

import contextlib
from pathlib import Path
from typing import Callable, Iterator, List, TypeVar

import pytest

from harness import PYTHONS, Program, Server, Worker

Kind = TypeVar("Kind", bound=Program)
ServerMaker = Callable[..., Server]
WorkerMaker = Callable[..., Worker]

LOG_SHOWN = 20000
_alive: List[Program] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "smoke: the part that also runs under sanitizers")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = (yield).get_result()
    if report.failed:
        for program in _alive:
            title = f"log of the {program.what} in {program.folder}"
            report.sections.append((title, program.log[-LOG_SHOWN:]))


@contextlib.contextmanager
def programs(kind: Callable[..., Kind],
             folder_of: Callable[[], Path]) -> Iterator[Callable[..., Kind]]:
    """A maker of programs, each in a folder of its own; at the end all of them stop in order."""
    made: List[Kind] = []

    def make(*args: str, start: bool = True, **options: object) -> Kind:
        program = kind(folder_of(), *args, **options)
        made.append(program)
        _alive.append(program)
        if start:
            program.start()
        return program

    try:
        yield make
        for program in made:
            if program.process:
                assert program.stop() == 0, "an orderly stop ends with status 0"
            program.assert_sane()
    finally:
        for program in made:
            program.dispose()
            _alive.remove(program)


def folders(parent: Path, name: str) -> Callable[[], Path]:
    numbers = iter(range(1, 1000))

    def folder() -> Path:
        path = parent / f"{name}-{next(numbers)}"
        path.mkdir()
        return path

    return folder


@pytest.fixture
def make_server(tmp_path: Path) -> Iterator[ServerMaker]:
    """make_server(*flags, slots=2, ...) -> a Server that is ready; see Server for the rest."""
    with programs(Server, folders(tmp_path, "server")) as maker:
        yield maker


@pytest.fixture
def make_worker(make_server: ServerMaker, tmp_path: Path) -> Iterator[WorkerMaker]:
    """make_worker(url, *flags, mode="push", slots=2, ...) -> a Worker that is welcome. Workers stop
    before their servers."""
    with programs(Worker, folders(tmp_path, "worker")) as maker:
        yield maker


@pytest.fixture(scope="module", params=PYTHONS)
def server(request: pytest.FixtureRequest,
           tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server of two slots for all tests of a file, once for each Python."""
    with programs(Server, lambda: tmp_path_factory.mktemp("server")) as maker:
        yield maker(python=request.param)
