"""What is durable before what is said, proven by the order of system calls.

The server runs under strace. For every answer that promises something, the trace must show that an
fdatasync of the write-ahead log ended, with success, between the moment when the reason for the
answer came in and the moment when the answer went out:

  - a request that stores: between the read of the request and the write of its 2xx;
  - a result: between the read of the runner's result and the write of the HTTP answer that carries
    it, be it the old /result or a parked tasks:wait.

The requests are sequential, so each answer belongs to one request. That the checker can fail is
shown on traces that were tampered with."""

import base64
import pickle
import re
import shutil
import sys
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

import pytest
import workload
from conftest import ServerMaker, programs
from harness import Client, Server, call, pickled, wait_until
from machine import marked

pytestmark = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")

CALLS = ("read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,sendmmsg,sendfile,splice,"
         "fsync,fdatasync,sync_file_range")
IN = {"read", "readv", "recvfrom", "recvmsg"}
OUT = {"write", "writev", "sendto", "sendmsg", "sendmmsg", "sendfile", "splice"}
SYNC = {"fdatasync", "fsync"}


class Call(NamedTuple):
    """A system call that has ended; `began` and `ended` are lines of the trace, so that of calls in
    two threads one can tell which was over before the other began."""

    pid: str
    name: str
    about: str  # the descriptor, as strace -yy shows it
    text: str
    result: str
    began: int
    ended: int


_BEGUN = re.compile(r"^(\d+) +(\w+)\((\d+)<(.*)$", re.DOTALL)
_RESUMED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)$", re.DOTALL)
_RESULT = re.compile(r"\) += (-?\d+|\?)(?: .*)?$")


def parse(trace: str) -> List[Call]:
    """The calls of a trace, in the order in which they ended."""
    calls: List[Call] = []
    open_calls: Dict[str, tuple] = {}
    for number, line in enumerate(trace.splitlines()):
        resumed, begun = _RESUMED.match(line), _BEGUN.match(line)
        if resumed:
            pid, _, rest = resumed.groups()
            if pid not in open_calls:
                continue
            name, text, began = open_calls.pop(pid)
            text += rest
        elif begun:
            pid, name, _, text = begun.groups()
            began = number
            if text.rstrip().endswith("<unfinished ...>"):
                open_calls[pid] = (name, text.rstrip()[:-len("<unfinished ...>")], began)
                continue
        else:
            continue
        result = _RESULT.search(text)
        # The descriptor's name ends at the last ">" before the first argument.
        about = re.match(r"(.*?)>(?=\s*[,)])", text)
        calls.append(Call(pid, name, about[1] if about else "", text,
                          result[1] if result else "?", began, number))
    return calls


# ---- what the calls mean --------------------------------------------------------------------


def is_request(c: Call, text: str) -> bool:
    return c.name in IN and c.about.startswith("TCP:") and text in c.text


def is_answer(c: Call, text: str = "") -> bool:
    return (c.name in OUT and c.about.startswith("TCP:") and "HTTP/1.1 2" in c.text
            and text in c.text)


def is_frame(c: Call, pid: str, text: str) -> bool:
    return c.pid == pid and c.name in IN and not c.about.startswith("TCP:") and text in c.text


def is_log_sync(c: Call) -> bool:
    return c.name in SYNC and c.about.endswith("-wal") and c.result == "0"


NEVER = sys.maxsize


class Violation(AssertionError):
    pass


def lies_between(c: Call, after: Call, before: Call) -> bool:
    return c.began > after.ended and c.ended < before.began


def expect_synced(calls: List[Call], after: Call, before: Call, what: str) -> None:
    """A sync of the log lies whole between the end of one call and the beginning of another."""
    if not any(is_log_sync(c) and lies_between(c, after, before) for c in calls):
        raise Violation(f"{what}: no fdatasync of the log between line {after.ended + 1} and "
                        f"line {before.began + 1}")


def last(calls: List[Call], matches: Callable[[Call], bool], before: int, what: str) -> Call:
    found: Optional[Call] = None
    for c in calls:
        if c.began < before and matches(c):
            found = c
    if not found:
        raise Violation(f"{what} is not in the trace")
    return found


def submission(calls: List[Call], mark: str) -> Tuple[Call, Call]:
    """The request with this mark in its head, and the next answer on its connection."""
    request = last(calls, lambda c: is_request(c, mark), NEVER, f"the request {mark}")
    answer = next((c for c in calls if c.began > request.ended and c.about == request.about
                   and c.name in OUT), None)
    if not answer or not is_answer(answer):
        raise Violation(f"request {mark} was not answered with 2xx: {answer}")
    return request, answer


def check_submissions(calls: List[Call], marks: List[str]) -> None:
    for mark in marks:
        expect_synced(calls, *submission(calls, mark), f"request {mark}")


def telling(calls: List[Call], frame: str, told: str) -> Tuple[Call, Call]:
    """A result, known by a text in the frame of the runner, and the answer that tells it."""
    answer = next((c for c in calls if is_answer(c, told)), None)
    if not answer:
        raise Violation(f"no answer tells {frame}")
    pid = answer.pid
    came = last(calls, lambda c: is_frame(c, pid, frame), answer.began,
                f"the result frame with {frame}")
    return came, answer


def check_results(calls: List[Call], results: List[str], answers: List[str]) -> None:
    for frame, told in zip(results, answers):
        expect_synced(calls, *telling(calls, frame, told), f"result {frame}")


# ---- the traced run -------------------------------------------------------------------------


class Run(NamedTuple):
    trace: str
    marks: List[str]
    frames: List[str]
    told: List[str]


def traced(make_server: ServerMaker, folder: Path) -> Server:
    trace = folder / "trace"
    return make_server(slots=1, wrapper=[
        "strace", "-D", "-f", "-yy", "-s", "4096", "-e", f"trace={CALLS}",
        "-e", "signal=none", "-o", str(trace)])


def submit_sequentially(client: Client, marks: List[str]) -> None:
    """One request of each kind that stores something, three times; each with a mark of its own."""
    def post(path: str, body: object) -> Dict[str, str]:
        marks.append(f"mark-{len(marks)}-end")
        return client.good("POST", path, body, X_Mark=marks[-1])

    for n in range(3):
        function = post("/register_function", {"name": f"f{n}", "payload": pickled(workload.add)}
                        )["function_id"]
        post("/v1/functions", {"name": f"g{n}", "payload": pickled(workload.add)})
        post("/execute_function", {"function_id": function, "payload": call(n, 1)})
        post("/v1/tasks", {"function_id": function, "payload": call(n, 2)})
        post("/v1/tasks:batch", {"function_id": function, "tasks": [{"payload": call(n, 3)}]})
        post("/v1/groups", {"name": f"g{n}"})
        waiting = post("/v1/tasks", {"function_id": function, "payload": call(n, 4),
                                     "not_before": "2099-01-01T00:00:00Z"})["id"]
        post(f"/v1/tasks/{waiting}:cancel", {})


def run_sequentially(client: Client, frames: List[str], told: List[str]) -> None:
    """Tasks whose results are recognised in the runner's frame and in the answer."""
    function = client.register(workload.echo)
    for n in range(6):
        word = f"result-{n}-" + "z" * 20
        encoded = base64.b64encode(pickle.dumps(word, 5)).decode().rstrip("=")[8:-4]
        if n % 2:
            task = client.good("POST", "/execute_function",
                               {"function_id": function, "payload": call(word)})["task_id"]
            wait_until(lambda t=task: client.good("GET", f"/result/{t}")["result"] != "None",
                       "the result is there")
        else:
            group, _ = client.batch(function, [(word,)])
            while not client.good("POST", "/v1/tasks:wait", {
                    "group_id": group, "wait_s": 30, "include_results": True})["done"]:
                pass
        frames.append(word)
        told.append(encoded)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("traced")
    with programs(Server, lambda: tmp_path_factory.mktemp("server")) as maker:
        server = traced(maker, folder)
        made = Run("", [], [], [])
        submit_sequentially(server.client, made.marks)
        run_sequentially(server.client, made.frames, made.told)
        assert server.stop() == 0
        wait_until(lambda: not marked(server.mark), "strace has written all")
    yield made._replace(trace=(folder / "trace").read_text(errors="replace"))


def test_what_is_answered_with_2xx_was_durable_before(run: Run) -> None:
    check_submissions(parse(run.trace), run.marks)


def test_a_result_is_durable_before_it_is_told(run: Run) -> None:
    check_results(parse(run.trace), run.frames, run.told)


# ---- the checker itself ---------------------------------------------------------------------


def without(trace: str, matches: Callable[[str], bool]) -> str:
    return "\n".join(line for line in trace.splitlines() if not matches(line))


def is_sync_line(line: str) -> bool:
    return "fdatasync" in line or "fsync" in line


def test_the_checker_misses_a_sync_that_is_not_there(run: Run) -> None:
    calls = parse(without(run.trace, is_sync_line))
    with pytest.raises(Violation):
        check_submissions(calls, run.marks)
    with pytest.raises(Violation):
        check_results(calls, run.frames, run.told)


def unsynced(calls: List[Call], after: Call, before: Call) -> List[Call]:
    """Without the commits between the two. There may be several: what was accepted before ends
    meanwhile. Those of all other answers stay."""
    rest = [c for c in calls if not (is_log_sync(c) and lies_between(c, after, before))]
    assert len(rest) < len(calls)
    return rest


def test_the_checker_wants_a_sync_for_each_answer(run: Run) -> None:
    calls = parse(run.trace)
    for mark in run.marks:
        rest = unsynced(calls, *submission(calls, mark))
        with pytest.raises(Violation, match=f"{mark}: no fdatasync"):
            check_submissions(rest, run.marks)
    for frame, told in zip(run.frames, run.told):
        rest = unsynced(calls, *telling(calls, frame, told))
        with pytest.raises(Violation, match=f"{frame}: no fdatasync"):
            check_results(rest, run.frames, run.told)


def test_the_checker_refuses_a_sync_that_failed_or_is_of_another_file(run: Run) -> None:
    for tamper in (lambda c: c._replace(result="-1"), lambda c: c._replace(about="/other/file")):
        calls = [tamper(c) if is_log_sync(c) else c for c in parse(run.trace)]
        with pytest.raises(Violation):
            check_submissions(calls, run.marks)


def test_the_checker_refuses_a_sync_that_ends_after_the_answer_began(run: Run) -> None:
    """As if the answer left while the sync was still under way."""
    calls = parse(run.trace)
    request = next(c for c in calls if is_request(c, run.marks[-1]))
    answer = next(c for c in calls if is_answer(c) and c.began > request.ended)
    calls = [c._replace(ended=max(c.ended, answer.began + 1)) if is_log_sync(c) else c
             for c in calls]
    with pytest.raises(Violation):
        check_submissions(calls, run.marks[-1:])


def test_the_checker_refuses_an_answer_before_its_result(run: Run) -> None:
    calls = parse(run.trace)
    first = next(c for c in calls if is_answer(c))
    told = next(c for c in calls if is_answer(c, run.told[0]))
    early = told._replace(began=first.began - 1, ended=first.began - 1)
    with pytest.raises(Violation):
        check_results([early, *(c for c in calls if c is not told)], run.frames[:1], run.told[:1])
