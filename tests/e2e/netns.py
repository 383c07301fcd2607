"""Networks of the test's own: namespaces without names, joined by cables (veth). Nothing is changed
outside of them, and they vanish with the process that holds them, which ends when the test does,
however that ends."""

import ctypes
import os
import socket
import subprocess
from typing import Any, List, Optional, Tuple

CLONE_NEWNET = 0x40000000


class NoNetwork(Exception):
    """This machine does not let us have one; the text says why."""


class Namespace:
    """`enter` is a command that runs another one inside."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise NoNetwork("network namespaces need root")
        try:
            self._holder = subprocess.Popen(
                ["unshare", "--net", "sh", "-c", "echo in && exec cat"], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except OSError as error:
            raise NoNetwork(f"cannot make a network namespace: {error}") from error
        if not self._holder.stdout.readline():
            said = self._holder.communicate()[1].decode().strip()
            raise NoNetwork(f"cannot make a network namespace: {said}")
        self.pid = self._holder.pid
        self.enter = ("nsenter", f"--net=/proc/{self.pid}/ns/net")
        try:
            self.ip("link", "set", "lo", "up")
        except BaseException:
            self.close()
            raise

    def ip(self, *args: str) -> None:
        try:
            done = subprocess.run([*self.enter, "ip", *args], stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
        except OSError as error:
            raise NoNetwork(f"cannot set a network up: {error}") from error
        if done.returncode:
            raise NoNetwork(f"ip {' '.join(args)}: {done.stdout.strip()}")

    def dial(self, address: Tuple[str, int], timeout_s: Optional[float]) -> socket.socket:
        """A connection inside. A socket stays where it was made; this thread does not."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as home, \
                open(f"/proc/{self.pid}/ns/net") as inside:
            if libc.setns(inside.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            try:
                return socket.create_connection(address, timeout_s)
            finally:
                if libc.setns(home.fileno(), CLONE_NEWNET):
                    os.abort()  # in the wrong network nothing means anything

    def close(self) -> None:
        self._holder.kill()
        self._holder.communicate()


class Cable:
    """From a namespace for a worker (`inside`) to that of the server. Up is to the server."""

    def __init__(self, server: Namespace, number: int) -> None:
        self._server, self.inside = server, Namespace()
        self.server_address, self._address = f"10.77.{number}.1", f"10.77.{number}.2"
        self._far, self._near = f"far{number}", "near"
        self._undo: List[Tuple[Namespace, Tuple[str, ...]]] = []
        try:
            server.ip("link", "add", self._far, "type", "veth", "peer", "name", self._near,
                      "netns", str(self.inside.pid))
            server.ip("addr", "add", f"{self.server_address}/30", "dev", self._far)
            server.ip("link", "set", self._far, "up")
            self.inside.ip("addr", "add", f"{self._address}/30", "dev", self._near)
            self.inside.ip("link", "set", self._near, "up")
        except BaseException:
            self.close()
            raise

    # -- faults

    def pull_far(self) -> None:
        """The link is down at the server's side."""
        self._change(self._server, ("link", "set", self._far, "down"),
                     ("link", "set", self._far, "up"))

    def pull_near(self) -> None:
        """The link is down at the worker's side: nothing can be reached from there."""
        self._change(self.inside, ("link", "set", self._near, "down"),
                     ("link", "set", self._near, "up"))

    def lose_up(self) -> None:
        """What the worker sends gets lost, what is sent to it arrives."""
        where = ("blackhole", f"{self.server_address}/32")
        self._change(self.inside, ("route", "add", *where), ("route", "del", *where))

    def lose_down(self) -> None:
        """What is sent to the worker gets lost, what it sends arrives."""
        where = ("blackhole", f"{self._address}/32")
        self._change(self._server, ("route", "add", *where), ("route", "del", *where))

    def lose_address(self) -> None:
        """The worker's machine has another address for a time: its packets are nobody's."""
        where = (f"{self._address}/30", "dev", self._near)
        self._change(self.inside, ("addr", "del", *where), ("addr", "add", *where))

    def heal(self) -> None:
        while self._undo:
            where, command = self._undo.pop()
            where.ip(*command)

    def _change(self, where: Namespace, command: Tuple[str, ...], undo: Tuple[str, ...]) -> None:
        where.ip(*command)
        self._undo.append((where, undo))

    def close(self) -> None:
        self.inside.close()


class Network:
    """The namespace of a server, and a cable for each worker."""

    def __init__(self, cables: int) -> None:
        self.server = Namespace()
        self.cables: List[Cable] = []
        try:
            for number in range(cables):
                self.cables.append(Cable(self.server, number))
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for cable in self.cables:
            cable.close()
        self.server.close()

    def __enter__(self) -> "Network":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
