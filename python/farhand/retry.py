"""When a request that did not get through is tried again."""

from __future__ import annotations

import random
import time
from typing import Callable, Optional, TypeVar

from .errors import Overloaded, QueueFull, ServerUnavailable, WrongServer

_T = TypeVar("_T")

FIRST_S, LONGEST_S = 0.05, 2.0


class Retry:
    """Repeats what failed because the server was away or asked for a pause.

    The pause is a random part of a bound that doubles (full jitter), behind what the server said in
    Retry-After. After `limit_s` seconds without success the last exception is raised; None: never.
    With `full_ends`, QueueFull is raised at once, if it is certain that nothing was accepted.
    """

    def __init__(
        self,
        limit_s: Optional[float],
        pause: Callable[[float], object] = time.sleep,
        full_ends: bool = False,
    ) -> None:
        self.limit_s = limit_s
        self.pause = pause
        self.full_ends = full_ends

    def __call__(self, attempt: Callable[[], _T]) -> _T:
        """The result of the first attempt that succeeds."""
        bound = FIRST_S
        began = time.monotonic()
        unsure = False  # whether an attempt before was accepted
        while True:
            try:
                return attempt()
            except WrongServer:
                raise
            except (ServerUnavailable, Overloaded) as error:
                unsure = unsure or isinstance(error, ServerUnavailable)
                if self.full_ends and not unsure and isinstance(error, QueueFull):
                    raise
                delay = random.uniform(0, bound)
                if isinstance(error, Overloaded) and error.retry_after is not None:
                    delay += error.retry_after
                if self.limit_s is not None:
                    left = began + self.limit_s - time.monotonic()
                    if left <= 0:
                        raise
                    delay = min(delay, left)
            bound = min(2 * bound, LONGEST_S)
            self.pause(delay)
