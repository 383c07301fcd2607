"""The demo on a few tasks, with and without a fleet: it does what it says, and leaves nothing."""

import contextlib
import os
import re
import signal
import subprocess
import uuid
from pathlib import Path
from typing import Iterator, List, Tuple

import pytest

from harness import EXE, HERE, PATIENCE_S, wait_until
from machine import marked

ROOT = HERE.parents[1]
PYTHON = ROOT / ".venv-demo" / "bin" / "python"

pytestmark = pytest.mark.skipif(not PYTHON.exists(), reason="script/test e2e makes .venv-demo")

Started = Tuple["subprocess.Popen[str]", str]


def hear_interrupts() -> None:
    """A background job of a shell is started with them ignored, and so is what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(folder: Path, *args: str) -> Started:
    """A demo of 16 tasks, and the mark in the environment of all that it starts."""
    mark = f"FARHAND_E2E_MARK={uuid.uuid4().hex}"
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    env.update([mark.split("=")])
    command = [PYTHON, ROOT / "demo" / "solar.py", "--farhand", EXE, "--folder", folder,
               "--tasks", "16", *args]
    return subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            env=env, preexec_fn=hear_interrupts), mark


@pytest.fixture
def started() -> Iterator[List[Started]]:
    """What a test has started; it is ended whatever becomes of the test."""
    demos: List[Started] = []
    yield demos
    for process, mark in demos:
        for pid in marked(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()


# Each takes some ten seconds. The plain demo is a fleet of one.
MORE = "KILLS" in os.environ
KINDS = [(("--fleet",), ["server", "pull worker", "push worker"]), ((), ["server"])]
ENDS = [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130), (signal.SIGTERM, 143)]


@pytest.mark.parametrize("args, victims", KINDS if MORE else KINDS[:1])
def test_each_process_is_killed_and_nothing_is_lost(
        args: Tuple[str, ...], victims: List[str], started: List[Started], tmp_path: Path) -> None:
    started.append(start(tmp_path, *args))
    process, mark = started[0]
    said, complaints = process.communicate(timeout=10 * PATIENCE_S)
    assert process.returncode == 0 and not complaints, said + complaints
    assert re.findall(r"kill -9 \d+: the (.*) is gone", said) == victims
    assert "all 16 results are here" in said
    tallies = re.findall(r"^  (local|pull|push) +(\d+) tasks", said, re.MULTILINE)
    assert len(tallies) == len(victims) and sum(int(count) for _, count in tallies) == 16
    assert (tmp_path / "resonances.png").stat().st_size > 0
    assert not marked(mark), "all that it started has ended before it"


@pytest.mark.parametrize("number, status", ENDS if MORE else ENDS[:1])
def test_nothing_is_left_of_one_that_is_interrupted(
        number: int, status: int, started: List[Started], tmp_path: Path) -> None:
    started.append(start(tmp_path, "--fleet"))
    process, mark = started[0]
    while "kill -9" not in (line := process.stdout.readline()):  # then one is being started again
        assert line, process.stderr.read()
    process.send_signal(number)
    said, complaints = process.communicate(timeout=10 * PATIENCE_S)
    assert process.returncode == status and not complaints, said + complaints
    wait_until(lambda: not marked(mark), "all that it started has ended")
