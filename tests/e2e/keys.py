"""Keys of workers, as `farhand worker-key` makes them."""

import shlex
from pathlib import Path
from typing import List, Tuple

from harness import run_farhand


def worker_key(server_data: Path, *args: str, cwd: Path) -> Tuple[int, str, str]:
    done = run_farhand("worker-key", *args, "--data", str(server_data), cwd=cwd)
    return done.returncode, done.stdout, done.stderr


def new_key(data: Path, name: str, cwd: Path) -> List[str]:
    """Makes one; the flags for the worker, as printed, but with the whole path of its file."""
    status, out, err = worker_key(data, "new", name, cwd=cwd)
    assert status == 0, err
    words = shlex.split(out)
    assert words[:3] == ["farhand", "worker", "--server-key"] and words[-1] == "HOST:PORT"
    assert words[4:6] == ["--key-file", f"{name}.key"]
    return [*words[2:4], "--key-file", str(cwd / words[5])]
