"""Fixtures: servers and workers that end with their tests, and whose logs are shown when one
fails."""

import contextlib
import functools
import itertools
from pathlib import Path
from typing import Callable, Iterator, List, TypeVar

import pytest

from fleet import Fleet
from harness import PYTHONS, Program, Server, Worker

Some = TypeVar("Some", bound=Program)
ServerMaker = Callable[..., Fleet]
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
def programs(make_one: Callable[..., Some],
             folder_of: Callable[[], Path]) -> Iterator[Callable[..., Some]]:
    """A maker of programs, each in a folder of its own; at the end all of them stop in order."""
    made: List[Some] = []

    def make(*args: str, start: bool = True, **options: object) -> Some:
        program = make_one(folder_of(), *args, **options)
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


@contextlib.contextmanager
def fleets(kind: str, folder_of: Callable[[str], Path]) -> Iterator[ServerMaker]:
    """A maker of servers whose slots are of that kind. Workers stop before them."""
    def hire(*args: str, **options: object) -> Worker:
        return workers(*args, **options)

    make_one = functools.partial(Fleet, kind=kind, hire=hire)
    with programs(make_one, lambda: folder_of("server")) as maker, \
            programs(Worker, lambda: folder_of("worker")) as workers:
        yield maker


def folders(parent: Path) -> Callable[[str], Path]:
    numbers = itertools.count(1)

    def folder(name: str) -> Path:
        path = parent / f"{name}-{next(numbers)}"
        path.mkdir()
        return path

    return folder


@pytest.fixture(scope="module")
def kind(request: pytest.FixtureRequest) -> str:
    """Where functions run: see fleet.py."""
    return getattr(request, "param", "local")


@pytest.fixture
def make_server(kind: str, tmp_path: Path) -> Iterator[ServerMaker]:
    """make_server(*flags, slots=2, ...) -> a server that is ready; see Fleet and Server for the
    rest."""
    with fleets(kind, folders(tmp_path)) as maker:
        yield maker


@pytest.fixture
def make_worker(make_server: ServerMaker, tmp_path: Path) -> Iterator[WorkerMaker]:
    """make_worker(url, *flags, mode="push", slots=2, ...) -> a Worker that is welcome. Workers stop
    before their servers."""
    folder = folders(tmp_path)
    with programs(Worker, lambda: folder("hired")) as maker:
        yield maker


@pytest.fixture(scope="module", params=PYTHONS)
def server(request: pytest.FixtureRequest, kind: str,
           tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server of two slots for all tests of a file, once for each Python."""
    with fleets(kind, tmp_path_factory.mktemp) as maker:
        yield maker(python=request.param)
