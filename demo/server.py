"""A farhand server in a folder of its own. The demo and the bench start theirs with it."""

from pathlib import Path
from typing import List

from process import Process


class Server(Process):
    """One `farhand serve` on a free port of this machine; `options` are further flags of it.

    With the option `--bind tcp://127.0.0.1:0` workers dial in at `workers_url`.
    """

    def __init__(self, executable: Path, folder: Path, *options: object) -> None:
        super().__init__("server", "local", executable, folder)
        self.options = options
        self.url = self.workers_url = ""

    def arguments(self) -> List[object]:
        # The first start picks the ports, the next ones keep them: the last of two flags counts.
        bind = ["--bind", self.workers_url] if self.workers_url else []
        return ["serve", "--listen", self.url.split("://")[-1] or "127.0.0.1:0",
                "--data", self.folder / "data", *self.options, *bind]

    def is_ready(self, addresses: List[str]) -> None:
        self.url = addresses[0].rstrip("/")
        self.workers_url = addresses[1] if len(addresses) > 1 else ""
