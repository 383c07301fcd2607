"""What an Executor has in common with the copies of it."""

from __future__ import annotations

import functools
import threading
import weakref
from typing import Optional

from .engine import Engine
from .functions import Functions
from .modules import Peer


class Shared:
    """What an Executor shares with the copies that with_options() makes."""

    def __init__(self, engine: Engine, peer: Peer) -> None:
        self.engine = engine
        self.peer = peer
        self.functions = Functions(functools.partial(_register, engine))
        self.group_id: Optional[str] = None
        self.opening = threading.Lock()
        self.opened = False
        # When the last copy is gone nobody can submit: the threads end after the last future.
        weakref.finalize(self, engine.close).atexit = False


def _register(
    engine: Engine, name: str, payload: bytes, serializer: str, runtime: Optional[str]
) -> str:
    return engine.client.put_function(
        name, payload, serializer, runtime=runtime, retry=engine.retry
    )
