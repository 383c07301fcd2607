"""A server for tests, in this process: the endpoints that the SDK uses, without durability.

It runs functions in threads of its own, or, while held, not at all; it remembers what it was asked;
and it misbehaves on demand: `faults` is a list of what is to happen to the next requests of a path.
"""

import base64
import json
import pickle
import re
import socket
import threading
import traceback
import uuid

from fake_http import Handler, Listener, Problem

FINAL = ("COMPLETED", "FAILED", "CANCELLED")

class FakeServer:
    def __init__(self, slots=4):
        self.lock = threading.Lock()
        self.changed = threading.Condition(self.lock)
        self.functions, self.tasks, self.groups, self.answers = {}, {}, {}, {}
        self.queue = []
        self.requests = []  # (method, path, headers, size of the body)
        self.faults = []  # (pattern of the path, DROP_BEFORE | DROP_AFTER | Problem)
        self.delays = []  # (pattern of the path, threading.Event to wait for)
        self.queue_max = 1_000_000
        self.whole_batch = False  # what no worker can run is refused with all of its batch
        self.runtime = None  # of all workers; None: any will do
        self.held = False
        self.stopping = False
        self.slots = slots
        self.sockets = set()
        self.port = 0
        self.clock = 0
        self.http = None
        self.listen()
        for _ in range(slots):
            threading.Thread(target=self.work, daemon=True).start()

    # ---- for tests -------------------------------------------------------------------------

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def count(self, path, method="POST"):
        with self.lock:
            return sum(1 for m, p, _, _ in self.requests if m == method and re.fullmatch(path, p))

    def headers(self, path):
        with self.lock:
            return [headers for _, p, headers, _ in self.requests if re.fullmatch(path, p)]

    def hold(self):
        with self.lock:
            self.held = True

    def release(self):
        with self.lock:
            self.held = False
            self.changed.notify_all()

    def wait_until(self, condition, seconds=20):
        with self.lock:
            assert self.changed.wait_for(condition, seconds), "it did not happen"

    def finish(self, task_id, value=None, **record):
        """Ends a task by hand."""
        with self.lock:
            task = self.tasks[task_id]
            if task in self.queue:
                self.queue.remove(task)
            self.end(task, **{"state": "COMPLETED", "pickled": pickle.dumps(value, 5), **record})

    def listen(self):
        handler = type("Handler", (Handler,), {"fake": self})
        self.http = Listener(("127.0.0.1", self.port), handler)
        self.port = self.http.server_address[1]
        self.thread = threading.Thread(
            target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def unlisten(self):
        """As a killed server: no listener, every connection is cut."""
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
        self.cut()

    def cut(self):
        with self.lock:
            sockets = list(self.sockets)
        for sock in sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def stop(self):
        with self.lock:
            self.stopping, self.held = True, False
            self.changed.notify_all()
        self.unlisten()

    # ---- running -----------------------------------------------------------------------------

    def work(self):
        while True:
            with self.lock:
                while not self.stopping and (self.held or not self.queue):
                    self.changed.wait()
                if self.stopping:
                    return
                task = self.queue.pop(0)
                task["state"] = "RUNNING"
                task["attempt"] += 1
                function = self.functions[task["function_id"]]["payload"]
                self.changed.notify_all()
            ending = run(function, task["payload"])
            with self.lock:
                if task["state"] == "RUNNING":
                    self.end(task, **ending)

    def end(self, task, state, pickled=None, reason=None, error=None, stdout="", stderr=""):
        task.update(state=state, pickled=pickled, reason=reason, error=error, stdout=stdout,
                    stderr=stderr, result_size=len(pickled or b""))
        if task["group_id"] in self.groups:
            self.groups[task["group_id"]]["finished"].append(task)
        self.changed.notify_all()

    # ---- endpoints, under the lock -------------------------------------------------------------

    def answer(self, method, path, query, headers, body):
        for pattern, action, names in ROUTES:
            match = re.fullmatch(pattern, path)
            if match and method in names:
                if headers.get("content-type") == "application/octet-stream":
                    return action(self, *match.groups(), query=query, raw=body, headers=headers)
                fields = json.loads(body) if body else {}
                return action(self, *match.groups(), query=query, headers=headers, **fields)
        raise Problem(404, "not_found", f"no route {method} {path}")

    def put_function(self, name, payload, serializer, query, headers, description=None,
                     runtime=None):
        payload = base64.b64decode(payload)
        function = {"name": name, "payload": payload, "serializer": serializer, "runtime": runtime}
        for function_id, known in self.functions.items():
            if known == function:
                return 200, {"function_id": function_id, "digest": "", "version": 1}
        function_id = str(uuid.uuid4())
        self.functions[function_id] = function
        return 201, {"function_id": function_id, "digest": "", "version": 1}

    def new_id(self):
        self.clock += 1
        return f"0190{self.clock:04x}-0000-7000-8000-{uuid.uuid4().hex[:12]}"

    def new_task(self, function_id, payload, group_id, fields):
        if function_id not in self.functions:
            raise Problem(404, "not_found", f"no function {function_id}")
        if fields.get("priority", 0) == 99:  # a value that tests use as the wrong one
            raise Problem(422, "invalid", "priority is wrong")
        needed = fields.get("runtime") or self.functions[function_id]["runtime"]
        if self.runtime and needed not in (None, self.runtime) and not waits(fields):
            raise Problem(409, "no_worker", f"no worker has {needed}; there are {self.runtime} x 1",
                          advice="Start one.", lacking=["runtime"])
        if "gpu" in fields.get("labels", ()) and not waits(fields):
            raise Problem(409, "no_worker", "no worker has label gpu", advice="Start one.",
                          lacking=["label"])
        task = {"id": self.new_id(), "function_id": function_id, "group_id": group_id,
                "payload": payload, "state": "QUEUED", "reason": None, "attempt": 0,
                "fields": fields}
        return task

    def accept(self, tasks):
        if len(self.queue) + len(tasks) > self.queue_max:
            raise Problem(503, "queue_full", "the queue is full", retry_after=0)
        for task in tasks:
            self.tasks[task["id"]] = task
            if task["group_id"]:
                self.groups[task["group_id"]]["total"] += 1
            self.queue.append(task)
        self.changed.notify_all()

    def put_task(self, query, headers, function_id=None, payload=None, group_id=None, raw=None,
                 **fields):
        if raw is not None:
            function_id, group_id = query.pop("function_id"), query.pop("group_id", None)
            fields = query
        else:
            raw = base64.b64decode(payload)
        self.group(group_id)
        task = self.new_task(function_id, raw, group_id, fields)
        self.accept([task])
        return 201, view(task)

    def put_batch(self, tasks, query, headers, function_id=None, group_id=None, defaults=None):
        if group_id is None:
            group_id = self.put_group(query, headers)[1]["id"]
        self.group(group_id)
        answers, accepted = [], []
        for item in tasks:
            item = {"function_id": function_id, **(defaults or {}), **item}
            payload = base64.b64decode(item.pop("payload"))
            try:
                task = self.new_task(item.pop("function_id"), payload, group_id, item)
                accepted.append(task)
                answers.append({"id": task["id"]})
            except Problem as problem:
                if problem.status == 422 or (problem.status == 409 and self.whole_batch):
                    raise
                answers.append({"problem": problem.body})
        self.accept(accepted)
        return 200, {"group_id": group_id, "tasks": answers}

    def group(self, group_id):
        if group_id is not None and group_id not in self.groups:
            raise Problem(404, "not_found", f"no group {group_id}")

    def put_group(self, query, headers, name=None, tags=None):
        group = {"id": str(uuid.uuid4()), "name": name, "tags": tags or {}, "total": 0,
                 "finished": []}
        self.groups[group["id"]] = group
        return 201, self.group_view(group)

    def get_group(self, group_id, query, headers):
        self.group(group_id)
        return 200, self.group_view(self.groups[group_id])

    def group_view(self, group):
        counts = dict.fromkeys(("QUEUED", "RUNNING", *FINAL), 0)
        for task in self.tasks.values():
            if task["group_id"] == group["id"]:
                counts[task["state"]] += 1
        return {name: group[name] for name in ("id", "name", "tags", "total")} | {"counts": counts}

    def wait(self, query, headers, ids=None, group_id=None, since_cursor=None, mode="any",
             wait_s=0, include_results=False, max_bytes=None, fields=None):
        def finished():
            if ids is not None:
                return [self.task(i) for i in ids if self.task(i)["state"] in FINAL]
            return self.groups[group_id]["finished"]

        def pending():
            if ids is not None:
                return len(ids) - len(finished())
            return max(0, self.groups[group_id]["total"] - len(finished()))

        self.group(group_id)
        assert since_cursor is None or since_cursor, "a cursor is never empty"
        after = int(since_cursor or "0", 16)
        self.changed.wait_for(
            lambda: self.stopping or not pending() or (mode == "any" and len(finished()) > after),
            wait_s)
        done = finished()[after:after + 100]
        shown = [view(task, include_results) for task in done]
        if fields is not None:
            shown = [{name: t[name] for name in fields if name in t} for t in shown]
        return 200, {"done": shown,
                     "pending_count": pending(), "cursor": f"{after + len(done):x}"}

    def task(self, task_id):
        if task_id not in self.tasks:
            raise Problem(404, "not_found", f"no task {task_id}")
        return self.tasks[task_id]

    def get_task(self, task_id, query, headers):
        task = self.task(task_id)
        self.changed.wait_for(lambda: task["state"] in FINAL, float(query.get("wait", 0)))
        return 200, view(task)

    def get_result(self, task_id, query, headers):
        task = self.task(task_id)
        self.changed.wait_for(lambda: task["state"] in FINAL, float(query.get("wait", 0)))
        if task["state"] not in FINAL:
            return 202, {"state": task["state"], "reason": None, "result": None, "error": None}
        if headers["accept"] == "application/octet-stream":
            return 200, task["pickled"]
        return 200, {"state": task["state"], "reason": task["reason"], "error": task["error"],
                     "result": text(task["pickled"])}

    def get_logs(self, task_id, query, headers):
        task = self.task(task_id)
        return 200, {"stdout": task.get("stdout", ""), "stderr": task.get("stderr", ""),
                     "stdout_truncated": False, "stderr_truncated": False}

    def cancel(self, task_id, query, headers, force=False):
        task = self.task(task_id)
        if task["state"] in FINAL or (task["state"] == "RUNNING" and not force):
            raise Problem(409, "final" if task["state"] in FINAL else "running")
        running = task["state"] == "RUNNING"
        if task in self.queue:
            self.queue.remove(task)
        self.end(task, "CANCELLED", reason="cancelled")
        return (202 if running else 200), view(task)

    def stats(self, query, headers):
        return 200, {"slots": self.slots, "functions": len(self.functions)}

    def version(self, query, headers):
        return 200, {"version": "0.0.0"}


ROUTES = [
    ("/v1/functions", FakeServer.put_function, ("POST",)),
    ("/v1/tasks", FakeServer.put_task, ("POST",)),
    ("/v1/tasks:batch", FakeServer.put_batch, ("POST",)),
    ("/v1/tasks:wait", FakeServer.wait, ("POST",)),
    ("/v1/tasks/([^/:]+)", FakeServer.get_task, ("GET",)),
    ("/v1/tasks/([^/:]+)/result", FakeServer.get_result, ("GET",)),
    ("/v1/tasks/([^/:]+)/logs", FakeServer.get_logs, ("GET",)),
    ("/v1/tasks/([^/:]+):cancel", FakeServer.cancel, ("POST",)),
    ("/v1/groups", FakeServer.put_group, ("POST",)),
    ("/v1/groups/([^/:]+)", FakeServer.get_group, ("GET",)),
    ("/v1/stats", FakeServer.stats, ("GET",)),
    ("/version", FakeServer.version, ("GET",)),
]


def waits(fields):
    return fields.get("wait_for_worker") in (True, "true")


def text(pickled):
    return None if pickled is None else base64.b64encode(pickled).decode()


def view(task, with_result=False):
    names = ("id", "function_id", "group_id", "state", "reason", "attempt")
    shown = {name: task[name] for name in names}
    shown["result_size"] = task.get("result_size", 0)
    if with_result:
        shown["result"] = text(task["pickled"])
        shown["error"] = task["error"]
    return shown


def by_value(error):
    try:
        import cloudpickle
        return cloudpickle.dumps(error)
    except Exception:
        return None


def run(function, payload):
    """A call, as a worker does it; the fields of how it ended."""
    reason = "undecodable"
    try:
        fn = pickle.loads(function)
        args, kwargs = pickle.loads(payload)
        reason = "exception"
        value = fn(*args, **kwargs)
        reason = "unserialisable"
        return {"state": "COMPLETED", "pickled": pickle.dumps(value, 5)}
    except BaseException as error:
        pickled = None
        if reason == "exception":
            try:
                pickled = pickle.dumps(error, 5)
            except Exception:
                pickled = by_value(error)
        kind = type(error)
        return {"state": "FAILED", "reason": reason, "pickled": pickled,
                "error": {"type": f"{kind.__module__}.{kind.__qualname__}", "message": str(error),
                          "traceback": "".join(traceback.format_exc())}}
