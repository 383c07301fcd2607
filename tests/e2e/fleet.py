"""Servers whose slots are all of one kind: those of the pool in their own process, or of workers
that dial in. So one test shows what holds wherever a function runs: with `@everywhere` the fixtures
`make_server` and `server` give each kind in turn."""

from pathlib import Path
from typing import Any, Callable, List

import pytest

from harness import PYTHONS, Client, Server, Worker, wait_until
import workload  # harness.py has put it on the path

KINDS = ("local", "push", "pull")

def _for_each(*kinds: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("kind", kinds, indirect=True, scope="module")


everywhere = _for_each(*KINDS)
# Also under sanitizers, for which push and pull are the same code.
everywhere_smoke = _for_each(*(pytest.param(kind, marks=pytest.mark.smoke)
                               for kind in KINDS[:2]), "pull")


class Fleet(Server):
    """`hire(url, mode=, slots=, python=)` starts a worker, and sees to it that it ends."""

    def __init__(self, folder: Path, *args: str, kind: str, hire: Callable[..., Worker],
                 slots: int = 2, python: str = PYTHONS[0], **options: Any) -> None:
        self.kind, self.slots, self.python, self._hire = kind, slots, python, hire
        self.workers: List[Worker] = []
        local = slots if kind == "local" else 0
        options.setdefault("bind", kind != "local")
        super().__init__(folder, *args, slots=local, python=python, **options)

    def start(self) -> "Fleet":
        super().start()
        if self.kind != "local" and self.slots and not self.workers:
            self.add_worker()
        return self

    def add_worker(self) -> None:
        self.workers.append(self._hire(self.url, mode=self.kind, slots=self.slots,
                                       python=self.python))

    def add_slots(self, slots: int) -> None:
        """To a server that has none; the pool of its own needs a new start for that."""
        assert not self.slots
        self.slots = slots
        if self.kind == "local":
            self.args += ["--local", str(slots)]
            self.restart()
        else:
            self.add_worker()

    def lose_slots(self) -> None:
        """All that runs is lost, by kill -9, and there are as many slots as before."""
        if self.kind == "local":
            self.restart()
            return
        for worker in self.workers:
            worker.kill9()
            worker.start()

    # -- looking

    def children(self) -> List[int]:
        return [*super().children(), *(pid for worker in self.workers for pid in worker.children())]

    def template(self) -> int:
        return self.workers[0].template() if self.workers else super().template()

    def expect_slots(self, slots: int) -> None:
        wait_until(lambda: self.client.stats()["slots"] == slots, f"it has {slots} slots")


class Held:
    """A task that occupies a slot until release()."""

    def __init__(self, client: Client, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.client = folder, client
        self.task = client.submit(client.register(workload.hold), str(folder), "held")
        client.started(self.task)

    def release(self) -> None:
        (self.folder / "go").touch()
        assert self.client.value(self.task) == "held"
