"""Requests to a server: repeated until they are answered, errors as exceptions, answers as JSON."""

from __future__ import annotations

import json
import os
import urllib.parse
import uuid
from typing import Any, Dict, Mapping, Optional, TypeVar, Union

from .connection import Address, Pool, Response
from .errors import ServerFault, api_error
from .retry import Retry
from .version import __version__

JSON = "application/json"
RAW = "application/octet-stream"

_Self = TypeVar("_Self", bound="Requester")


class Requester:
    """What a client is below its calls. Thread-safe; see :class:`farhand.Client`."""

    def __init__(
        self,
        url: Optional[str] = None,
        key: Optional[str] = None,
        *,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
        retry_for: float = 30.0,
    ) -> None:
        address = Address(url or os.environ.get("FARHAND_URL") or "http://127.0.0.1:8000")
        headers = {"User-Agent": f"farhand-python/{__version__}"}
        key = key or os.environ.get("FARHAND_KEY")
        if key:
            if not key.isascii() or not key.isprintable():
                raise ValueError("an access key is one line of ASCII text")
            headers["Authorization"] = f"Bearer {key}"
        self.url = address.url
        self.timeout = timeout
        self.connect_timeout = connect_timeout
        self._retry = Retry(retry_for)
        self._pool = Pool(address, headers, connect_timeout)

    def close(self) -> None:
        """Closes the connections that are idle. The client stays usable."""
        self._pool.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<farhand.{type(self).__name__} {self.url}>"

    def request(
        self,
        method: str,
        path: str,
        body: Union[None, bytes, Mapping[str, Any]] = None,
        *,
        query: Optional[Mapping[str, str]] = None,
        content_type: str = JSON,
        accept: str = JSON,
        idempotent: bool = True,
        timeout: Optional[float] = None,
        retry: Optional[Retry] = None,
    ) -> Response:
        """One request, repeated until it is answered; the answer if it is a success.

        `body` is bytes, or an object to be written as JSON. With ``idempotent=False`` the request
        carries an Idempotency-Key, the same one each time that it is repeated.
        """
        headers = {"Accept": accept}
        if body is not None:
            headers["Content-Type"] = content_type
            if not isinstance(body, bytes):
                body = json.dumps(body, separators=(",", ":")).encode()
        if not idempotent:
            headers["Idempotency-Key"] = uuid.uuid4().hex
        target = f"{path}?{urllib.parse.urlencode(query)}" if query else path
        seconds = self.timeout if timeout is None else timeout
        sent = body

        def attempt() -> Response:
            response = self._pool.exchange(method, target, headers, sent, seconds)
            if 200 <= response.status < 300:
                return response
            raise api_error(response.status, response.headers, response.body)

        return (retry or self._retry)(attempt)

    def call(self, method: str, path: str, body: Any = None, **how: Any) -> Dict[str, Any]:
        """:meth:`request` for an answer that is a JSON object."""
        response = self.request(method, path, body, **how)
        try:
            answer = json.loads(response.body)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise ServerFault(
                f"{self.url}: the answer to {method} {path} is no JSON object; "
                "is this a Farhand server?",
                status=response.status,
            )
        return answer
