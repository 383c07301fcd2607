"""A function with the options of its tasks, written once as JSON and used for each of them."""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping

from .options import Options


class Spec:
    """What many tasks share: all of a task but its group and its payload."""

    __slots__ = ("alone", "fields", "function_id", "shared")

    def __init__(self, function_id: str, options: Options) -> None:
        self.function_id = function_id
        self.fields: Mapping[str, Any] = options.now()
        # The beginning of a task object: for a batch with this spec alone, and for a mixed one.
        self.alone = b'{"payload":"'
        own: Dict[str, Any] = {"function_id": function_id, **self.fields}
        self.shared = _json(own)[:-1] + b',"payload":"'

    def head(self, group_id: str) -> bytes:
        """The beginning of a batch in which all tasks have this spec."""
        body = {
            "function_id": self.function_id,
            "group_id": group_id,
            "defaults": dict(self.fields),
        }
        return _json(body)[:-1] + b',"tasks":['


def mixed_head(group_id: str) -> bytes:
    """The beginning of a batch in which each task names its function and options."""
    return _json({"group_id": group_id})[:-1] + b',"tasks":['


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()
