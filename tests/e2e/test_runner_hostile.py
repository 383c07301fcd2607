"""What a function may do to its worker, and what that costs: its own task, nothing else.

While all of this happens, a neighbour runs in another slot of the same server from the first test
to the last, and after each deed twenty innocent tasks must come back right."""

import os
import pickle
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, NamedTuple, Optional, Tuple

import pytest
import workload
from conftest import ServerMaker, fleets
from fleet import everywhere, everywhere_smoke
from harness import PYTHONS, Client, Outcome, Server, b64, by_value, call, wait_until
from machine import state_of

INNOCENTS = 20
MIB = 1 << 20


@pytest.fixture(scope="module", params=PYTHONS)
def server(request: pytest.FixtureRequest, kind: str,
           tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Three slots, one of them taken by the neighbour, who must never notice anything."""
    folder = tmp_path_factory.mktemp("neighbour")
    with fleets(kind, tmp_path_factory.mktemp) as maker:
        server = maker(slots=3, python=request.param)
        task = server.client.submit(server.client.register(workload.hold), str(folder), "here")
        server.client.started(task)
        yield server
        (folder / "go").touch()
        assert server.client.value(task) == "here"
        assert server.client.task(task)["attempt"] == 1
        assert (folder / "started").read_text() == "here\n"


def expect_innocents(client: Client) -> None:
    group, ids = client.batch(client.register(workload.add), [(n, 7) for n in range(INNOCENTS)])
    client.collect(group)
    assert [client.value(task) for task in ids] == [n + 7 for n in range(INNOCENTS)]


def deed(server: Server, function: Any, *args: Any, **options: Any) -> Outcome:
    """Runs it, looks after the innocents, and tells how it ended."""
    client = server.client
    outcome = client.outcome(client.submit(client.register(function), *args, **options))
    expect_innocents(client)
    return outcome


def is_gone(pid: int) -> bool:
    return state_of(pid) in "ZX"


# ---- the table ------------------------------------------------------------------------------


class Deed(NamedTuple):
    function: Any
    args: Tuple[Any, ...]
    reason: Optional[str]  # None: it succeeds
    says: str = ""  # pattern in the message of the error
    type: str = ""  # pattern in the type of the error
    options: Dict[str, Any] = {}


DEEDS = {
    "exits with 0": Deed(workload.exit_at_once, (0,), "crash", r"0"),
    "exits with 3": Deed(workload.exit_at_once, (3,), "crash", r"3"),
    "a segmentation fault": Deed(workload.segfault, (), "crash", r"SIGSEGV|[Ss]egmentation"),
    "aborts": Deed(workload.kill_itself, (signal.SIGABRT,), "crash", r"SIGABRT|[Aa]bort"),
    "kills itself": Deed(workload.kill_itself, (signal.SIGKILL,), "crash", r"SIGKILL|[Kk]ill"),
    "terminates itself": Deed(workload.kill_itself, (signal.SIGTERM,), "crash"),
    "closes all descriptors": Deed(workload.close_everything, (), "crash"),
    "writes a little junk": Deed(workload.junk_everywhere, (1,), "crash"),
    "writes some junk": Deed(workload.junk_everywhere, (64,), "crash"),
    "writes much junk": Deed(workload.junk_everywhere, (100_000,), "crash"),
    "writes junk and exits": Deed(workload.junk_and_die, (5000,), "crash"),
    "sys.exit": Deed(workload.raise_exit, (3,), "exception", r"3", r"SystemExit"),
    "KeyboardInterrupt": Deed(workload.raise_system, ("KeyboardInterrupt",), "exception", "",
                              r"KeyboardInterrupt"),
    "SystemExit": Deed(workload.raise_system, ("SystemExit",), "exception", "", r"SystemExit"),
    "GeneratorExit": Deed(workload.raise_system, ("GeneratorExit",), "exception", "",
                          r"GeneratorExit"),
    "endless recursion": Deed(workload.recursion, (), "exception", "", r"RecursionError"),
    "an exception": Deed(workload.fail, ("on purpose",), "exception", r"on purpose",
                         r"ValueError"),
    "an exception that cannot be pickled": Deed(workload.raise_unpicklable, (), "exception",
                                                r"a and b", r"EvilState"),
    "__str__ raises": Deed(workload.raise_evil, ("raise",), "exception", "", r"EvilRepr"),
    "__str__ exits": Deed(workload.raise_evil, ("exit",), "exception", "", r"EvilRepr"),
    "__str__ without a string": Deed(workload.raise_evil, ("no string",), "exception", "",
                                     r"EvilRepr"),
    "__str__ of many MiB": Deed(workload.raise_evil, ("long",), "exception", "", r"EvilRepr"),
    "__str__ that is not UTF-8": Deed(workload.raise_evil, ("surrogate",), "exception", "",
                                      r"EvilRepr"),
    "a missing module in the function": Deed(workload.import_missing, (), "exception",
                                             r"a_module_that_is_nowhere", r"ModuleNotFoundError"),
    "a result that cannot be pickled": Deed(workload.unpicklable, (), "unserialisable", r"lock"),
    "__reduce__ raises": Deed(workload.evil_reduce, ("raise",), "unserialisable",
                              r"I will not be pickled"),
    "__reduce__ exits": Deed(workload.evil_reduce, ("exit",), "unserialisable"),
    "__reduce__ interrupts": Deed(workload.evil_reduce, ("interrupt",), "unserialisable"),
    "__reduce__ gives nonsense": Deed(workload.evil_reduce, ("42",), "unserialisable"),
    "__reduce__ kills": Deed(workload.evil_reduce, ("die",), "crash"),
    "a result that is too deep": Deed(workload.deep_list, (100_000,), "unserialisable"),
    "a result that is too large": Deed(workload.huge, (11,), "result_too_large", r"11534|11\.5"),
    "too much memory at once": Deed(workload.grab_memory, (400,), "memory", "", "",
                                    {"resources": {"mem": 64 * MIB}}),
    "too much memory by and by": Deed(workload.grab_memory_in_pieces, (400,), "memory", "", "",
                                      {"resources": {"mem": 64 * MIB}}),
    "an endless loop": Deed(workload.spin, (), "timeout", "", r"TimeoutError",
                            {"timeout_s": 0.3}),
    "endless output": Deed(workload.flood, (), "timeout", "", "", {"timeout_s": 0.3}),
    "both copies of a fork return": Deed(workload.fork_returns_twice, (), None),
    "leaves a thread": Deed(workload.leave_thread, (), None),
    "leaves a daemon thread": Deed(workload.leave_daemon_thread, (), None),
    "much output": Deed(workload.flood_and_return, (3000,), None),
    "breaks the standard library": Deed(workload.tamper_pickle, (), None),
}


@pytest.mark.parametrize("name", DEEDS)
def test_a_deed_costs_only_its_own_task(server: Server, name: str) -> None:
    what = DEEDS[name]
    outcome = deed(server, what.function, *what.args, **what.options)
    if what.reason is None:
        assert outcome.state == "COMPLETED", outcome
        return
    assert (outcome.state, outcome.reason) == ("FAILED", what.reason), outcome
    assert outcome.error["message"] or what.function is workload.raise_system
    assert re.search(what.says, outcome.error["message"]), outcome.error
    assert re.search(what.type, outcome.error["type"]), outcome.error
    if what.reason == "exception":
        assert isinstance(outcome.value, BaseException), "what was raised can be raised again"


@everywhere_smoke
@pytest.mark.parametrize("name", ["exits with 3", "a segmentation fault", "closes all descriptors",
                                  "writes some junk", "a result that cannot be pickled",
                                  "an endless loop", "both copies of a fork return"])
def test_a_part_of_the_table_under_sanitizers(server: Server, name: str) -> None:
    test_a_deed_costs_only_its_own_task(server, name)


# ---- what needs more than a row -------------------------------------------------------------


@everywhere
def test_a_large_result_that_is_allowed(server: Server) -> None:
    outcome = deed(server, workload.huge, 9)
    assert outcome.state == "COMPLETED" and len(outcome.value) == 9 * MIB


def test_nobody_but_the_client_unpickles_a_result(server: Server) -> None:
    outcome = deed(server, workload.trap_loader)
    assert outcome.value == os.getpid(), "the trap springs where the result is read"


@pytest.mark.parametrize("function, args, options, name", [
    (workload.fail, ("x",), {}, "ValueError"),
    (workload.raise_unpicklable, (), {}, ""),
    (workload.exit_at_once, (1,), {}, "RuntimeError"),
    (workload.unpicklable, (), {}, ""),
    (workload.huge, (11,), {}, ""),
    (workload.spin, (), {"timeout_s": 0.2}, "TimeoutError"),
    (workload.grab_memory, (400,), {"resources": {"mem": 64 * MIB}}, "MemoryError"),
])
def test_the_old_result_of_a_failure_decodes_with_the_standard_library_alone(
        server: Server, function: Any, args: Any, options: Any, name: str) -> None:
    """Clients of the old interface unpickle it and raise it, and have nothing of ours."""
    task = server.client.submit(server.client.register(function), *args, **options)
    server.client.finished(task)
    answer = server.client.good("GET", f"/result/{task}")
    assert answer["status"] == "FAILED"
    code = ("import base64, pickle, sys; e = pickle.loads(base64.b64decode(sys.stdin.read()));"
            "assert isinstance(e, BaseException); print(type(e).__name__)")
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], input=answer["result"],
                          text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert name in done.stdout


@pytest.mark.parametrize("how", ["here", "setsid", "orphan"])
def test_children_that_stay_are_ended(server: Server, how: str) -> None:
    outcome = deed(server, workload.leave_children, how)
    assert outcome.state == "COMPLETED"
    wait_until(lambda: is_gone(outcome.value), "what the task left behind has been ended")


@everywhere
@pytest.mark.parametrize("how", ["here", "setsid", "orphan"])
def test_children_of_a_task_that_is_killed_end_with_it(server: Server, tmp_path: Path,
                                                       how: str) -> None:
    outcome = deed(server, workload.leave_children_and_stay, str(tmp_path / "pid"), how,
                   timeout_s=2)
    assert outcome.reason == "timeout"
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: is_gone(pid), "what the task left behind has been ended")


@everywhere
@pytest.mark.parametrize("function", [workload.ignore_sigterm, workload.stubborn])
def test_a_time_limit_ends_what_ignores_signals(server: Server, tmp_path: Path,
                                                function: Any) -> None:
    outcome = deed(server, function, str(tmp_path / "pid"), timeout_s=0.5)
    assert (outcome.state, outcome.reason) == ("FAILED", "timeout")
    assert is_gone(int((tmp_path / "pid").read_text()))


@everywhere
@pytest.mark.parametrize("function", [workload.ignore_sigterm, workload.stubborn])
def test_cancel_ends_what_ignores_signals(server: Server, tmp_path: Path, function: Any) -> None:
    client = server.client
    task = client.submit(client.register(function), str(tmp_path / "pid"))
    wait_until((tmp_path / "pid").exists, "it runs")
    client.started(task)
    assert client.delete(f"/v1/tasks/{task}").status == 202
    outcome = client.outcome(task)
    assert (outcome.state, outcome.reason) == ("CANCELLED", "cancelled")
    assert is_gone(int((tmp_path / "pid").read_text()))
    expect_innocents(client)


def test_a_stopped_child_is_ended_by_its_time_limit(server: Server) -> None:
    """SIGSTOP makes a child deaf to everything but SIGKILL."""
    outcome = deed(server, workload.kill_itself, signal.SIGSTOP, timeout_s=0.5)
    assert (outcome.state, outcome.reason) == ("FAILED", "timeout")


@everywhere
def test_output_is_kept_from_the_start_and_bounded(server: Server) -> None:
    client = server.client
    task = client.submit(client.register(workload.flood_and_return), 20_000)
    assert client.value(task) == 20_000
    logs = client.good("GET", f"/v1/tasks/{task}/logs")
    assert logs["stdout"].startswith("y" * 999 + "\n")
    assert len(logs["stdout"]) <= MIB and logs["stdout_truncated"]
    expect_innocents(client)


def test_what_a_task_changes_is_not_seen_by_the_next(server: Server) -> None:
    client = server.client
    look = client.register(workload.surroundings)
    before = client.run(look)
    for _ in range(4):
        assert deed(server, workload.change_everything).value == "changed"
        for _ in range(4):
            assert client.run(look) == before


@everywhere
def test_a_slot_comes_back_after_each_of_many_crashes(server: Server) -> None:
    client = server.client
    crash, add = client.register(workload.exit_at_once), client.register(workload.add)
    crashes, crashed = client.batch(crash, [(1,)] * 30)
    sums, ids = client.batch(add, [(n, 1) for n in range(100)])
    assert {task["reason"] for task in client.collect(crashes)} == {"crash"}
    assert len(client.collect(sums)) == 100
    assert [client.value(task) for task in ids] == [n + 1 for n in range(100)]
    wait_until(lambda: client.stats()["slots_busy"] == 1,
               "only the neighbour occupies a slot")


# ---- what cannot be decoded -----------------------------------------------------------------


def reference(module: str, name: str) -> str:
    return b64(b"\x80\x04c" + module.encode() + b"\n" + name.encode() + b"\n.")


@everywhere
@pytest.mark.parametrize("payload, reason, says", [
    (reference("workload", "no_such_function"), "undecodable", "no_such_function"),
    (reference("__main__", "f_of_a_script"), "undecodable", "f_of_a_script"),
    (b64(pickle.dumps("not callable", 4)), "undecodable", "callable"),
    (b64(b"\x80\x04)\x81."), "undecodable", ""),  # an opcode that finds nothing on the stack
    (b64(b"\x80\x04cos\n_exit\nK\x07\x85R."), "crash", "7"),  # ends who reads it
])
def test_a_function_that_cannot_be_decoded(server: Server, payload: str, reason: str,
                                           says: str) -> None:
    client = server.client
    outcome = client.outcome(client.submit(client.register(payload, name="broken")))
    assert (outcome.state, outcome.reason) == ("FAILED", reason), outcome
    assert says in outcome.error["message"]
    expect_innocents(client)


@pytest.mark.parametrize("arguments", [
    (2,), ((2,),), ((2,), {}, 3), ((2,), {3: 4}), (2, {}), "text", None, {"a": 1}])
def test_arguments_of_the_wrong_shape_fail_the_task(server: Server, arguments: Any) -> None:
    client = server.client
    body = {"function_id": client.register(workload.add), "payload": b64(pickle.dumps(arguments))}
    outcome = client.outcome(client.good("POST", "/v1/tasks", body)["id"])
    assert (outcome.state, outcome.reason) == ("FAILED", "undecodable"), outcome
    expect_innocents(client)


def expect_it_is_named(client: Client, function: str, payload: str, module: str) -> None:
    """No worker has the module: it is refused before it runs. The old endpoint looks at no modules,
    so there a worker finds out."""
    body = {"function_id": function, "payload": payload}
    refused = client.post("/v1/tasks", body)
    assert (refused.status, refused.code) == (409, "no_worker")
    assert refused.json["detail"] == f"no worker has module {module}"
    assert refused.json["lacking"] == ["module"]
    assert f"pip install {module}" in refused.json["advice"]
    outcome = client.outcome(client.good("POST", "/execute_function", body)["task_id"])
    assert (outcome.state, outcome.reason) == ("FAILED", "undecodable")
    assert module in outcome.error["message"]
    assert f"pip install {module}" in outcome.error["message"]


def test_a_function_of_a_missing_module(server: Server) -> None:
    function = server.client.register(reference("nowhere_at_all", "f"), name="broken")
    expect_it_is_named(server.client, function, call(1), "nowhere_at_all")
    expect_innocents(server.client)


def test_arguments_of_a_missing_module(server: Server) -> None:
    stream = b"\x80\x04(cnowhere_at_all\nx\nt}\x86."
    function = server.client.register(workload.echo)
    expect_it_is_named(server.client, function, b64(stream), "nowhere_at_all")


@pytest.mark.parametrize("serializer", ["cloudpickle", "dill"])
def test_a_missing_serialiser_is_named_with_the_command_that_installs_it(
        make_server: ServerMaker, tmp_path: Path, serializer: str) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")],
                   check=True)
    server = make_server(slots=1, python=str(tmp_path / "bare" / "bin" / "python"))
    client = server.client
    function = client.register(by_value(lambda x: x + 1, serializer), name="by_value",
                               serializer=serializer)
    expect_it_is_named(client, function, call(1), serializer)
    assert client.run(client.register(workload.add), 1, 2) == 3


# ---- the template ---------------------------------------------------------------------------


def test_a_task_that_kills_the_template_is_ended_some_day(make_server: ServerMaker) -> None:
    """It takes its neighbours down each time; they are run again, it is given up."""
    server = make_server(slots=2)
    client = server.client
    bad = client.submit(client.register(workload.kill_parent))
    outcome = client.outcome(bad)
    assert (outcome.state, outcome.reason) == ("FAILED", "poison"), outcome
    expect_innocents(client)
