"""The clients of the kill tests: threads that submit, cancel, read and wait, and write down what
they were told. A connection that breaks is no failure here; what it leaves unknown is noted."""

import base64
import datetime
import pickle
import random
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

from checker import RETRIES, Cancel, Chain, Execution, History, Offer, Read, kind_of
from harness import BROKEN, FINAL, PATIENCE_S, Answer, Client, Server, call, wait_until

DELAY_S = 0.3
BATCH_MAX = 30


def final_of(answer: Answer) -> Optional[tuple]:
    """The outcome in an answer of /result; None while there is none."""
    if answer.status != 200:
        return None
    said = answer.json
    value = said["result"]
    if value is not None:
        value = pickle.loads(base64.b64decode(value))
    if isinstance(value, BaseException):
        value = repr(value)
    return (said["state"], said["reason"], value)


class Numbers:
    """A number is used once."""

    def __init__(self) -> None:
        self._next, self._lock = 0, threading.Lock()

    def take(self, count: int) -> List[int]:
        with self._lock:
            self._next += count
            return list(range(self._next - count, self._next))


class Actor(threading.Thread):
    """A client that acts until it is told to stop. `answers` counts what it was told."""

    def __init__(self, server: Server, history: History, seed: str) -> None:
        super().__init__(name=f"{type(self).__name__}-{seed}")
        self.history, self.random = history, random.Random(seed)
        self.client = server.connect(timeout_s=60)
        self.stopping = threading.Event()
        self.answers = 0
        self.failure: Optional[BaseException] = None

    def run(self) -> None:
        try:
            while not self.stopping.is_set():
                self.act()
        except BaseException as error:
            self.failure = error
        finally:
            self.client.close()

    def act(self) -> None:
        raise NotImplementedError

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Optional[Answer]:
        """None: the connection broke. A server that is down is knocked at until it is up."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            answer = self.client.ask(method, path, body, named)
        except ConnectionRefusedError:
            self.stopping.wait(0.01)
            return None
        except BROKEN:
            return None
        self.answers += 1
        if answer.status >= 500 and answer.status != 503:
            raise AssertionError(f"{method} {path}: {answer}")
        return answer

    def pick(self) -> Optional[str]:
        """A task that was accepted, more likely one of the last."""
        known = self.history.known
        if not known:
            self.stopping.wait(0.01)
            return None
        last = min(50, len(known)) if self.random.random() < 0.8 else len(known)
        return known[-self.random.randint(1, last)]


class Submitter(Actor):
    """Submits in all ways, with a key (and then again until it is answered) or without."""

    def __init__(self, server: Server, history: History, seed: str, function: str, path: str,
                 numbers: Numbers) -> None:
        super().__init__(server, history, seed)
        self.function, self.path, self.numbers = function, path, numbers
        self.sent: Dict[str, Tuple[str, Any]] = {}  # key -> what was stored under it

    def task(self, n: int, due: str) -> Dict[str, Any]:
        kind = kind_of(n)
        body: Dict[str, Any] = {"payload": call(self.path, kind, n)}
        if kind == "fail":
            body.update(retries=RETRIES, backoff={"initial_s": 0.02, "factor": 2, "max_s": 0.1})
        if kind == "once":
            body.update(at_most_once=True)
        if kind == "delayed":
            body.update(not_before=due)
        if self.random.random() < 0.2:
            body.update(priority=self.random.randint(-100, 100))
        return body

    def act(self) -> None:
        way = self.random.choice(("single", "batch", "legacy"))
        count = self.random.randint(1, BATCH_MAX) if way == "batch" else 1
        numbers = self.numbers.take(count)
        if way == "legacy":
            while kind_of(numbers[0]) not in ("square", "slow"):
                numbers = self.numbers.take(1)
        due = time.time() + DELAY_S
        moment = datetime.datetime.fromtimestamp(due, datetime.timezone.utc).isoformat()
        tasks = [self.task(n, moment) for n in numbers]
        keyed = way != "legacy" and self.random.random() < 0.7
        key = f"{self.name}-{numbers[0]}" if keyed else None
        path, body = {
            "single": ("/v1/tasks", {"function_id": self.function, **tasks[0]}),
            "batch": ("/v1/tasks:batch", {"function_id": self.function, "tasks": tasks}),
            "legacy": ("/execute_function", {"function_id": self.function,
                                             "payload": tasks[0]["payload"]}),
        }[way]
        ids, broken, refused = self.offer(path, body, key)
        self.history.add(Offer(numbers, due, key, ids, broken, refused))

    def offer(self, path: str, body: Any, key: Optional[str]
              ) -> Tuple[Optional[List[str]], int, int]:
        broken = refused = 0
        headers = {"Idempotency_Key": key} if key else {}
        while not self.stopping.is_set():
            answer = self.ask("POST", path, body, **headers)
            if answer is None:
                broken += 1
            elif answer.status // 100 == 2:
                if key:
                    self.sent[key] = (path, body)
                return self.ids(answer), broken, refused
            else:
                assert answer.status == 503, answer
                refused += 1
                self.stopping.wait(self.random.random() / 20)
            if not key or self.random.random() < 0.02:
                break
        return None, broken, refused

    def replay(self, client: Client) -> None:
        """After the last restart: some of the keys once more."""
        for key, (path, body) in list(self.sent.items())[::7]:
            answer = client.post(path, body, Idempotency_Key=key)
            assert answer.headers.get("idempotency-replayed") == "true", f"key {key}: {answer}"
            self.history.replays[key] = self.ids(answer)

    def ids(self, answer: Answer) -> List[str]:
        said = answer.json
        if "tasks" in said:
            with self.history.lock:
                self.history.groups[said["group_id"]] = [task["id"] for task in said["tasks"]]
            return [task["id"] for task in said["tasks"]]
        return [said["task_id"] if "task_id" in said else said["id"]]


class Canceller(Actor):
    def act(self) -> None:
        task = self.pick()
        if task and not self.stopping.wait(self.random.random() / 50):
            answer = self.ask("DELETE", f"/v1/tasks/{task}")
            self.history.add(Cancel(task, answer.status if answer else None, time.time()))


class Reader(Actor):
    """Reads in the new way and in the old one."""

    def act(self) -> None:
        task = self.pick()
        if not task:
            return
        answer = self.ask("GET", f"/v1/tasks/{task}/result?wait={self.random.choice('0001')}")
        if answer:
            assert answer.status in (200, 202, 503), f"an accepted task: {answer}"
            final = final_of(answer)
            if final:
                self.history.add(Read(task, final))
        answer = self.ask("GET", f"/status/{task}")
        assert answer is None or answer.status in (200, 503), f"an accepted task: {answer}"


class Waiter(Actor):
    """Follows one group after the other by its cursor, over all restarts."""

    def __init__(self, server: Server, history: History, seed: str) -> None:
        super().__init__(server, history, seed)
        self.followed: Dict[str, Tuple[List[str], Any]] = {}

    def act(self) -> None:
        with self.history.lock:
            groups = list(self.history.groups)
        if not groups:
            self.stopping.wait(0.01)
            return
        self.follow(self.random.choice(groups[-10:]))

    def follow(self, group: str, wait_s: float = 0.2) -> bool:
        """One page; whether the group is through."""
        tasks, cursor = self.followed.setdefault(group, ([], None))
        body = {"group_id": group, "wait_s": wait_s, "mode": "any",
                "include_results": self.random.random() < 0.3}
        if cursor is not None:
            body["since_cursor"] = cursor
        answer = self.ask("POST", "/v1/tasks:wait", body)
        if answer is None or answer.status == 503:
            return False
        assert answer.status == 200, f"an accepted group: {answer}"
        page = answer.json
        assert all(task["state"] in FINAL for task in page["done"])
        tasks += [task["id"] for task in page["done"]]
        self.followed[group] = (tasks, page["cursor"])
        return not page["done"] and not page["pending_count"]

    def finish(self, client: Client) -> None:
        """After the last restart: the rest of each group."""
        self.client = client
        for group in list(self.followed):
            while not self.follow(group, wait_s=5):
                pass
            self.history.add(Chain(group, self.followed[group][0]))


# ---- the end --------------------------------------------------------------------------------


def stop_all(actors: List[Actor]) -> None:
    for actor in actors:
        actor.stopping.set()
    for actor in actors:
        actor.join()
        if actor.failure:
            raise actor.failure


def learn_the_truth(history: History, client: Client, noted: Path, actors: List[Actor]) -> None:
    """All there is to know, once nothing is under way any more. The clients have stopped."""
    def through() -> bool:
        counts = client.counts()
        return counts["QUEUED"] + counts["RUNNING"] == 0

    wait_until(through, "everything is final", 2 * PATIENCE_S)
    history.stored = sum(client.counts().values())
    for task in history.accepted():
        history.finals[task] = final_of(client.get(f"/v1/tasks/{task}/result"))
    lines = noted.read_text().splitlines() if noted.exists() else []
    history.executions = [Execution(int(n), float(at)) for n, at in map(str.split, lines)]
    for actor in actors:
        if isinstance(actor, Waiter):
            actor.finish(client)
        if isinstance(actor, Submitter):
            actor.replay(client)
