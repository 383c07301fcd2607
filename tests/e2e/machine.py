"""What tests take from the machine, and how they look at what runs on it."""

import contextlib
import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path
from typing import List


class Port:
    """A port that nobody else has while this object lives, although no process listens on it:
    servers are started again on it. It lies below the range from which connections take theirs, so
    that a client that knocks while the server is down cannot end up talking to itself."""

    def __init__(self) -> None:
        folder = Path(tempfile.gettempdir()) / f"farhand-ports-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        for number in random.SystemRandom().sample(range(12000, 32000), 1000):
            lock = os.open(folder / str(number), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.closing(socket.socket()) as probe:
                    probe.bind(("127.0.0.1", number))
            except OSError:
                os.close(lock)
                continue
            self.number, self._lock = number, lock
            return
        raise RuntimeError("no free port")

    def release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1


def marked(mark: str) -> List[int]:
    """All living processes that were started with this mark in their environment."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as environ:
                if mark.encode() not in environ.read():
                    continue
        except OSError:
            continue  # it has ended, or is not ours to look at
        if state_of(int(name)) not in "ZX":
            found.append(int(name))
    return found


def state_of(pid: int) -> str:
    """The letter of /proc/PID/stat; X: it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""
