"""What a task asks for beside function and arguments: checked here, written as the API has it."""

from __future__ import annotations

import datetime
import json
import re
from typing import (
    Any,
    Dict,
    Iterable,
    Mapping,
    NamedTuple,
    Tuple,
    Type,
    Union,
)

__all__ = ["Backoff", "Options"]

RetryOn = Union[str, Type[BaseException], Iterable[Union[str, Type[BaseException]]]]
Seconds = Union[int, float, datetime.timedelta]
Moment = Union[int, float, str, datetime.datetime]

_CLASS_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)+")
_RUNTIME = re.compile(r"(cp|pp)\d{2,3}t?")
_KINDS = ("exception", "timeout", "memory", "crash")
_UNITS = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}


class Backoff(NamedTuple):
    """The pause before a retry: `initial_s`, then `factor` times longer each, up to `max_s`."""

    initial_s: float = 1.0
    factor: float = 2.0
    max_s: float = 60.0


class Options:
    """A set of options; immutable, made by :meth:`replace` from :data:`DEFAULT`."""

    __slots__ = ("delay_s", "fields")

    def __init__(self, fields: Mapping[str, Any], delay_s: float = 0.0) -> None:
        self.fields = dict(fields)
        self.delay_s = delay_s

    def replace(self, **changes: Any) -> "Options":
        """A copy with these options changed; None sets an option back to the server's default.

        Raises TypeError for an unknown name, ValueError for a wrong value.
        """
        fields, delay_s = dict(self.fields), self.delay_s
        for name, value in changes.items():
            check = _CHECKS.get(name)
            if check is None:
                known = ", ".join(sorted(_CHECKS))
                raise TypeError(f"no such option: {name} (there are {known})")
            key, convert = check
            if name in ("delay", "not_before"):
                delay_s = 0.0
                fields.pop("not_before", None)
            if name == "delay" and value is not None:
                delay_s = _seconds(name, value)
            else:
                _put(fields, key, None if value is None else convert(name, value))
        return Options(fields, delay_s)

    def now(self) -> Dict[str, Any]:
        """The fields for a task that is submitted now: a delay becomes a moment."""
        if not self.delay_s:
            return self.fields
        due = datetime.datetime.now(datetime.timezone.utc)
        due += datetime.timedelta(seconds=self.delay_s)
        return {**self.fields, "not_before": _moment("delay", due)}


def _put(fields: Dict[str, Any], key: str, value: Any) -> None:
    """Sets a field, or one within a field (``resources.mem``); None takes it away."""
    key, _, inner = key.partition(".")
    if inner:
        whole = dict(fields.get(key, {}))
        _put(whole, inner, value)
        value = whole or None
    if value is None:
        fields.pop(key, None)
    else:
        fields[key] = value


def as_query(fields: Mapping[str, Any]) -> Dict[str, str]:
    """The fields as query parameters: text as it is, everything else as JSON."""
    return {
        name: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for name, value in fields.items()
    }


# ---- checks, one for each option ---------------------------------------------------------------


def _integer(low: int, high: int) -> Any:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"{name} is an integer from {low} to {high}, not {value!r}")
        return value

    return check


def _seconds(name: str, value: Any) -> float:
    if isinstance(value, datetime.timedelta):
        value = value.total_seconds()
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e9:
        raise ValueError(f"{name} is a positive number of seconds, not {value!r}")
    return float(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is True or False, not {value!r}")
    return value


def _moment(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = datetime.datetime.fromtimestamp(value, datetime.timezone.utc)
    if not isinstance(value, datetime.datetime):
        raise ValueError(f"{name} is a datetime, Unix seconds or RFC 3339 text, not {value!r}")
    utc = value.astimezone(datetime.timezone.utc)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}Z"


def parse_bytes(name: str, value: Any) -> int:
    """A number of bytes from an integer or a text such as ``"512M"`` or ``"2 GiB"``."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", value.strip().lower())
        if match:
            value = int(float(match[1]) * _UNITS[match[2]])
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise ValueError(f"{name} is a number of bytes, such as 2**30 or '1G', not {value!r}")
    return value


def _runtime(name: str, value: Any) -> str:
    if not isinstance(value, str) or not _RUNTIME.fullmatch(value):
        raise ValueError(f"{name} is a Python such as 'cp311' or 'cp313t', not {value!r}")
    return value


def _labels(name: str, value: Any) -> Dict[str, Any]:
    if not isinstance(value, Mapping) or not all(
        isinstance(k, str) and (v is None or v is True or type(v) in (str, int, float))
        for k, v in value.items()
    ):
        raise ValueError(f"{name} is a dict from text to text, or to None for any, not {value!r}")
    return dict(value)


def _tags(name: str, value: Any) -> Dict[str, str]:
    if not isinstance(value, Mapping) or not all(
        isinstance(k, str) and isinstance(v, str) for k, v in value.items()
    ):
        raise ValueError(f"{name} is a dict from text to text, not {value!r}")
    return dict(value)


def _retry_on(name: str, value: Any) -> Tuple[str, ...]:
    if isinstance(value, (str, type)):
        value = (value,)
    names = []
    for one in value if isinstance(value, Iterable) else [value]:
        if isinstance(one, type) and issubclass(one, BaseException):
            one = f"{one.__module__}.{one.__qualname__}"
        if not isinstance(one, str) or not (one in _KINDS or _CLASS_NAME.fullmatch(one)):
            kinds = ", ".join(_KINDS)
            raise ValueError(f"{name} takes exception classes, their names, or {kinds}: {one!r}")
        names.append(one)
    if not names:
        raise ValueError(f"{name} is empty; use retries=0 for no retry")
    return tuple(names)


def _backoff(name: str, value: Any) -> Dict[str, float]:
    try:
        initial_s, factor, max_s = Backoff(**value) if isinstance(value, Mapping) else value
        good = 0 < initial_s <= max_s and factor >= 1
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ValueError(f"{name} is a farhand.Backoff, not {value!r}")
    return {"initial_s": initial_s, "factor": factor, "max_s": max_s}


_CHECKS = {
    "retries": ("retries", _integer(0, 1000)),
    "retry_on": ("retry_on", _retry_on),
    "backoff": ("backoff", _backoff),
    "timeout": ("timeout_s", _seconds),
    "priority": ("priority", _integer(-100, 100)),
    "mem": ("resources.mem", parse_bytes),
    "cpus": ("resources.cpus", _integer(1, 1_000_000)),
    "runtime": ("runtime", _runtime),
    "labels": ("labels", _labels),
    "wait_for_worker": ("wait_for_worker", _flag),
    "tags": ("tags", _tags),
    "at_most_once": ("at_most_once", _flag),
    "not_before": ("not_before", _moment),
    "delay": ("not_before", _seconds),
    "expires_in": ("expires_in", _seconds),
}

DEFAULT = Options({})
