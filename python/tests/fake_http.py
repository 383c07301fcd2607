"""The HTTP of the fake server: connections, idempotency keys, and faults on demand."""

import json
import re
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

DROP_BEFORE, DROP_AFTER = "drop before", "drop after"  # the request is lost, the answer is lost


class Problem(Exception):
    def __init__(self, status, code, detail="", retry_after=None, **members):
        super().__init__(detail or code)
        self.status, self.code, self.retry_after = status, code, retry_after
        self.body = {"type": "about:blank", "title": code, "status": status, "code": code,
                     "detail": detail or code, **members}


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    block_on_close = False

    def handle_error(self, request, client_address):
        pass  # connections are cut on purpose


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1

    def setup(self):
        super().setup()
        with self.fake.lock:
            self.fake.sockets.add(self.connection)

    def finish(self):
        with self.fake.lock:
            self.fake.sockets.discard(self.connection)
        super().finish()

    def log_message(self, *args):
        pass

    def serve(self):
        fake = self.fake
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        with fake.lock:
            fake.requests.append((self.command, parts.path, headers, len(body)))
            gates = [gate for pattern, gate in fake.delays if re.fullmatch(pattern, parts.path)]
            fault = next((f for f in fake.faults if re.fullmatch(f[0], parts.path)), None)
            if fault:
                fake.faults.remove(fault)
            fake.changed.notify_all()
        for gate in gates:
            gate.wait(20)
        if fault and fault[1] == DROP_BEFORE:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        key = headers.get("idempotency-key")
        try:
            with fake.lock:
                if fault and isinstance(fault[1], Problem):
                    raise fault[1]
                known = fake.answers.get(key) if key else None
                status, answer = known or fake.answer(
                    self.command, parts.path, dict(parse_qsl(parts.query)), headers, body)
                if key:
                    fake.answers[key] = status, answer
            kind = "application/json"
            more = {}
        except Problem as problem:
            status, answer, kind = problem.status, problem.body, "application/problem+json"
            more = {} if problem.retry_after is None else {"Retry-After": problem.retry_after}
        if fault and fault[1] == DROP_AFTER:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        if isinstance(answer, bytes):
            kind = "application/octet-stream"
        else:
            answer = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(answer)))
        for name, value in more.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(answer)
        self.wfile.flush()

    do_GET = do_POST = serve
