"""`farhand serve` as a process: its flags, its start, its stop, and what it refuses."""

import os
import re
import resource
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import zipfile
from pathlib import Path
from typing import Callable, Iterator, List, Tuple

import pytest
import workload
from conftest import ServerMaker
from harness import (
    BROKEN, PYTHONS, Client, Server, StartFailed, b64, run_farhand, wait_until,
)


# ---- flags ----------------------------------------------------------------------------------


@pytest.mark.smoke
def test_help_names_every_flag() -> None:
    done = run_farhand("serve", "--help")
    assert done.returncode == 0 and done.stderr == ""
    for flag in ("--listen", "--data", "--local", "--python", "--path", "--task-timeout",
                 "--grace", "--max-queued", "--max-queued-bytes"):
        assert flag in done.stdout


def test_help_and_version_of_the_program() -> None:
    for word in ("--help", "-h", "help"):
        done = run_farhand(word)
        assert done.returncode == 0 and "serve" in done.stdout and done.stderr == ""
    for word in ("--version", "version"):
        done = run_farhand(word)
        assert done.returncode == 0 and re.match(r"farhand \d+\.\d+\.\d+\b", done.stdout)


def test_no_command_is_a_usage_error() -> None:
    done = run_farhand()
    assert done.returncode == 2 and done.stdout == "" and "Usage" in done.stderr


@pytest.mark.smoke
@pytest.mark.parametrize("args, name", [
    (["--no-such-flag"], "--no-such-flag"),
    (["--no-such-flag=1"], "--no-such-flag"),
    (["--loc", "1"], "--loc"),
    (["extra"], "extra"),
    (["--bind", ""], "--bind"),
    (["--store", "redis://127.0.0.1"], "--store"),
    (["--listen"], "--listen"),
    (["--listen", "8000"], "--listen"),
    (["--listen", ":8000"], "--listen"),
    (["--listen", "127.0.0.1:"], "--listen"),
    (["--listen", "127.0.0.1:x"], "--listen"),
    (["--listen", "127.0.0.1:-1"], "--listen"),
    (["--listen", "127.0.0.1:65536"], "--listen"),
    (["--listen", "127.0.0.1:80 "], "--listen"),
    (["--listen", "[::1:80"], "--listen"),
    (["--listen", "a" * 5000 + ":1"], "--listen"),
    (["--data", ""], "--data"),
    (["--local", ""], "--local"),
    (["--local", "-1"], "--local"),
    (["--local", "1.5"], "--local"),
    (["--local", "many"], "--local"),
    (["--local", "99999999999999999999"], "--local"),
    (["--python", ""], "--python"),
    (["--task-timeout", "0"], "--task-timeout"),
    (["--task-timeout", "-1"], "--task-timeout"),
    (["--task-timeout", "nan"], "--task-timeout"),
    (["--task-timeout", "inf"], "--task-timeout"),
    (["--task-timeout", "1e99"], "--task-timeout"),
    (["--task-timeout", "0x10"], "--task-timeout"),
    (["--task-timeout", "5s"], "--task-timeout"),
    (["--grace", "-0.1"], "--grace"),
    (["--grace="], "--grace"),
    (["--max-queued", "0"], "--max-queued"),
    (["--max-queued", "1e6"], "--max-queued"),
    (["--max-queued-bytes", "0"], "--max-queued-bytes"),
    (["--max-queued-bytes", "4G"], "--max-queued-bytes"),
])
def test_a_wrong_flag_is_named_in_one_line(args: List[str], name: str, tmp_path: Path) -> None:
    done = run_farhand("serve", "--data", str(tmp_path / "data"), *args)
    assert done.returncode == 2, done
    assert done.stdout == "" and done.stderr.count("\n") == 1
    assert name in done.stderr
    assert not (tmp_path / "data").exists(), "nothing is touched before the flags are checked"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "8.8.8.8", "example.org"])
def test_listening_beyond_loopback_is_refused(host: str, tmp_path: Path) -> None:
    done = run_farhand("serve", "--data", str(tmp_path / "data"), "--listen", f"{host}:0")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "--listen" in done.stderr and "loopback" in done.stderr


def test_an_unknown_command_is_named() -> None:
    done = run_farhand("srve")
    assert done.returncode == 2 and "srve" in done.stderr and done.stderr.count("\n") == 1


# ---- the start ------------------------------------------------------------------------------


@pytest.mark.smoke
@pytest.mark.parametrize("listen, pattern", [
    ("127.0.0.1:0", r"ready http://127\.0\.0\.1:(\d+)\n"),
    ("localhost:0", r"ready http://localhost:(\d+)\n"),
    ("[::1]:0", r"ready http://\[::1\]:(\d+)\n"),
])
def test_the_ready_line_tells_a_port_that_was_free(make_server: ServerMaker, listen: str,
                                                   pattern: str) -> None:
    if "::1" in listen and not has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    server = make_server("--listen", listen, slots=1, start=False)
    server.launch()
    line = server.await_ready()
    match = re.fullmatch(pattern, line)
    assert match, line
    host = listen.rpartition(":")[0].strip("[]")
    with socket.create_connection((host, int(match[1]))) as connection:
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        return True
    except OSError:
        return False


def expect_refusal(server: Server, *words: str) -> None:
    """The server does not start; one line on stderr says why, in these words."""
    before = server.log
    with pytest.raises(StartFailed) as refused:
        server.start()
    said = refused.value.log[len(before):]
    assert refused.value.status == 1, said
    lines = [line for line in said.splitlines() if line.startswith("farhand:")]
    assert len(lines) == 1 and said.splitlines()[-1] == lines[0], said
    for word in words:
        assert word in lines[0], lines[0]
    server.assert_nothing_left()


def test_a_port_in_use_is_refused(make_server: ServerMaker) -> None:
    first = make_server(slots=0)
    second = make_server("--listen", f"127.0.0.1:{first.port.number}", slots=0, start=False)
    expect_refusal(second, str(first.port.number))
    assert first.client.get("/readyz").status == 200


@pytest.mark.smoke
def test_a_second_server_on_the_same_data_is_refused(make_server: ServerMaker) -> None:
    first = make_server(slots=0)
    second = make_server("--data", str(first.data), slots=0, start=False)
    expect_refusal(second, str(first.data), str(first.process.pid))
    assert first.client.get("/readyz").status == 200


def old_python(folder: Path) -> str:
    """A script that answers as a Python of long ago would."""
    path = folder / "python2"
    path.write_text("#!/bin/sh\necho 'SyntaxError: invalid syntax' >&2\nexit 1\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize("which", ["missing", "not on the path", "false", "no Python", "folder",
                                   "old", "not executable"])
def test_a_python_that_cannot_be_used_is_refused(make_server: ServerMaker, tmp_path: Path,
                                                 which: str) -> None:
    plain = tmp_path / "plain"
    plain.write_text("text")
    python = {"missing": "/no/such/python", "not on the path": "python-nowhere",
              "false": "/bin/false", "no Python": "/bin/cat", "folder": str(tmp_path),
              "old": old_python(tmp_path), "not executable": str(plain)}[which]
    expect_refusal(make_server(python=python, start=False), python)


@pytest.mark.parametrize("path, why", [("/no/such/folder", "there is no such folder"),
                                       ("/dev/null", "it is neither a folder nor a file"),
                                       ("/dev/null/x", "Not a directory")])
def test_an_import_path_that_cannot_be_used_is_refused(make_server: ServerMaker, path: str,
                                                       why: str) -> None:
    expect_refusal(make_server("--path", path, start=False), f"--path: '{path}': {why}")


def test_functions_may_be_imported_from_a_zip_file(make_server: ServerMaker,
                                                   tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "functions.zip", "w") as archive:
        archive.writestr("zipped_functions.py", "def double(n):\n    return 2 * n\n")
    client = make_server("--path", str(tmp_path / "functions.zip"), slots=1).client
    double = client.register(b64(b"\x80\x02czipped_functions\ndouble\n."), name="double")
    assert client.run(double, 21) == 42


def test_a_python_that_never_answers_can_be_interrupted(make_server: ServerMaker,
                                                        tmp_path: Path) -> None:
    path = tmp_path / "python-that-hangs"
    path.write_text("#!/bin/sh\nexec sleep 1000\n")
    path.chmod(0o755)
    server = make_server(python=str(path), start=False)
    server.launch()
    wait_until(lambda: len(server.processes()) > 1, "the Python is running")
    server.signal(signal.SIGTERM)
    server.wait()
    server.assert_nothing_left()


def test_the_statistics_say_why_no_child_can_be_started(make_server: ServerMaker,
                                                        tmp_path: Path) -> None:
    path, gone = tmp_path / "python-that-goes", tmp_path / "gone"
    path.write_text(f"#!/bin/sh\n[ -e {gone} ] && {{ echo nobody here >&2; exit 1; }}\n"
                    f'exec {PYTHONS[0]} "$@"\n')
    path.chmod(0o755)
    server = make_server(python=str(path))
    assert server.client.stats()["workers_broken"] is None
    gone.touch()
    os.kill(server.template(), signal.SIGKILL)
    wait_until(lambda: "nobody here" in (server.client.stats()["workers_broken"] or ""),
               "the statistics say what is wrong")
    task = server.client.submit(server.client.register(workload.add), 1, 2)
    gone.unlink()
    assert server.client.outcome(task).value == 3
    assert server.client.stats()["workers_broken"] is None
    server.stop()


def test_the_python_comes_from_the_environment(make_server: ServerMaker, tmp_path: Path) -> None:
    server = make_server("--local", "1", start=False, env={"FARHAND_PYTHON": "/no/such/python"})
    at = server.args.index("--python")
    del server.args[at:at + 2]
    expect_refusal(server, "/no/such/python")
    server.env["FARHAND_PYTHON"] = PYTHONS[0]
    server.start()
    assert server.client.run(server.client.register(workload.add), 1, 2) == 3
    server.stop()
    del server.env["FARHAND_PYTHON"]
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(PYTHONS[0])
    server.env["PATH"] = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    server.start()
    assert server.client.run(server.client.register(workload.add), 1, 2) == 3


def test_the_data_folder_is_closed_to_others(make_server: ServerMaker) -> None:
    server = make_server(slots=0, start=False)
    server.data.mkdir(mode=0o755)
    server.start()
    assert stat.S_IMODE(server.data.stat().st_mode) == 0o700
    for path in server.data.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


@pytest.mark.parametrize("what", ["file", "missing parent", "read-only place"])
def test_a_data_folder_that_cannot_be_is_refused(make_server: ServerMaker, tmp_path: Path,
                                                 what: str) -> None:
    (tmp_path / "file").write_text("mine")
    data = {"file": tmp_path / "file", "missing parent": tmp_path / "no" / "such" / "parent",
            "read-only place": Path("/proc/farhand-data")}[what]
    expect_refusal(make_server("--data", str(data), slots=0, start=False), str(data))
    assert (tmp_path / "file").read_text() == "mine"


def test_the_data_is_in_the_current_folder_unless_told(make_server: ServerMaker) -> None:
    server = make_server(slots=0, start=False)
    at = server.args.index("--data")
    del server.args[at:at + 2]
    server.data = server.cwd / "farhand-data"
    server.start()
    task = server.client.submit(server.client.register(workload.add), 1, 1)
    assert database(server).exists()
    server.restart()
    assert server.client.state(task) == "QUEUED"


@pytest.mark.parametrize("name", ["with space", "\N{SNOWMAN} 'quoted' \"twice\"", "a?b#c%20&d",
                                  "x" * 200, "-dash", "link"])
def test_the_data_folder_may_have_any_name(make_server: ServerMaker, tmp_path: Path,
                                           name: str) -> None:
    folder = tmp_path / name
    if name == "link":
        (tmp_path / "target").mkdir()
        folder.symlink_to(tmp_path / "target")
    server = make_server("--data", str(folder), slots=1)
    server.data = folder
    task = server.client.submit(server.client.register(workload.add), 1, 1)
    server.restart()
    assert server.client.value(task) == 2


def close_standard_descriptors() -> None:
    os.closerange(0, 3)


@pytest.mark.smoke
def test_a_server_without_standard_descriptors_writes_into_no_other_file(
        make_server: ServerMaker) -> None:
    """What it opens must not be taken for its standard output, and logs must not end up there."""
    server = make_server(slots=2, start=False, before=close_standard_descriptors)
    server.launch()

    def up() -> bool:
        try:
            return server.connect().get("/readyz").status == 200
        except BROKEN:
            return False

    wait_until(up, "it serves")
    client = server.client
    task = client.submit(client.register(workload.speak), "out", "err")
    assert client.value(task) == 6
    logs = client.good("GET", f"/v1/tasks/{task}/logs")
    assert (logs["stdout"], logs["stderr"]) == ("out\n", "err\n")
    assert client.outcome(client.submit(client.register(workload.exit_at_once), 1)
                          ).reason == "crash"
    for number in range(3):
        assert os.readlink(f"/proc/{server.process.pid}/fd/{number}") == "/dev/null"
    server.before = None
    server.restart()
    assert server.client.value(task) == 6


def test_a_server_whose_log_is_gone_goes_on(make_server: ServerMaker) -> None:
    server = make_server(slots=1, start=False, wrapper=["sh", "-c", 'exec "$@" 2>/dev/full', "sh"])
    server.start()
    assert server.client.run(server.client.register(workload.add), 1, 2) == 3


# ---- what the store refuses -----------------------------------------------------------------


def database(server: Server) -> Path:
    found = list(server.data.glob("*.db"))
    assert len(found) == 1, found
    return found[0]


def stopped_with_tasks(make_server: ServerMaker, count: int = 200) -> Tuple[Server, List[str]]:
    server = make_server(slots=0)
    _, ids = server.client.batch(server.client.register(workload.add),
                                 [(n, n) for n in range(count)])
    assert server.stop() == 0
    return server, ids


def test_a_stop_leaves_nothing_to_recover(make_server: ServerMaker) -> None:
    server, ids = stopped_with_tasks(make_server)
    left = {path.name for path in server.data.iterdir()}
    assert not any(name.endswith("-wal") for name in left), left
    server.args += ["--local", "2"]
    server.start()
    assert [server.client.value(task) for task in ids] == [2 * n for n in range(len(ids))]


@pytest.mark.smoke
def test_a_newer_database_is_refused_and_left_alone(make_server: ServerMaker) -> None:
    server, _ = stopped_with_tasks(make_server)
    path = database(server)
    with sqlite3.connect(path) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.execute(f"PRAGMA user_version = {version + 1}")
    db.close()
    before = path.read_bytes()
    expect_refusal(server, str(path), "newer")
    assert path.read_bytes() == before


def test_a_database_of_something_else_is_refused_and_left_alone(make_server: ServerMaker) -> None:
    server = make_server(slots=0)
    server.stop()
    path = database(server)
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE holiday (photo BLOB)")
    db.close()
    before = path.read_bytes()
    expect_refusal(server, str(path))
    assert path.read_bytes() == before


def spoil_header(data: bytearray) -> None:
    data[0:100] = os.urandom(100)


def spoil_half(data: bytearray) -> None:
    del data[len(data) // 2 // 4096 * 4096:]


def spoil_pages(data: bytearray) -> None:
    for page in range(1, len(data) // 4096):
        data[page * 4096:page * 4096 + 64] = b"\xa5" * 64


def spoil_all(data: bytearray) -> None:
    data[:] = b"these are not the bytes that you are looking for\n" * 100


@pytest.mark.parametrize("spoil", [spoil_header, spoil_half, spoil_pages, spoil_all])
def test_a_damaged_database_is_refused(make_server: ServerMaker,
                                       spoil: Callable[[bytearray], None]) -> None:
    server, _ = stopped_with_tasks(make_server, 2000)
    path = database(server)
    data = bytearray(path.read_bytes())
    spoil(data)
    path.write_bytes(data)
    expect_refusal(server, str(path))


# ---- a medium that fails --------------------------------------------------------------------


def fill(client: Client, function: str) -> List[Tuple[str, int]]:
    """Submits until the server is gone. What was acknowledged, with its number."""
    accepted = []
    with pytest.raises(BROKEN):
        for n in range(1_000_000):
            accepted.append((client.submit(function, n, "x" * 20000), n))
    return accepted


def expect_all_there(server: Server, accepted: List[Tuple[str, int]]) -> None:
    for task, n in accepted:
        assert server.client.value(task)[0][0] == n


def limit_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (6 << 20, resource.RLIM_INFINITY))


@pytest.mark.smoke
def test_a_file_that_cannot_grow_stops_the_server_and_loses_nothing(
        make_server: ServerMaker) -> None:
    server = make_server(slots=0, before=limit_files)
    function = server.client.register(workload.echo)
    accepted = fill(server.client, function)
    assert server.wait() == 1
    expect_one_last_line(server)
    assert accepted
    server.before = None
    server.args += ["--local", "2"]
    server.start()
    expect_all_there(server, accepted)


def expect_one_last_line(server: Server) -> None:
    lines = [line for line in server.log.splitlines() if line.startswith("farhand:")]
    assert len(lines) == 1 and str(server.data) in lines[0], server.log


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small-disk"
    folder.mkdir()
    if os.geteuid() != 0 or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]).returncode:
        pytest.skip("only root can mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("slots", [0, 2])
def test_a_full_disk_stops_the_server_and_loses_nothing(make_server: ServerMaker, small_disk: Path,
                                                        tmp_path: Path, slots: int) -> None:
    server = make_server(slots=slots, start=False)
    server.data = small_disk / "data"
    server.args[server.args.index("--data") + 1] = str(server.data)
    server.start()
    accepted = fill(server.client, server.client.register(workload.echo))
    assert server.wait() == 1
    server.assert_nothing_left()
    expect_one_last_line(server)
    assert accepted
    bigger = tmp_path / "bigger-disk"
    shutil.copytree(server.data, bigger)
    server.data = bigger
    server.args += ["--data", str(bigger), "--local", "2"]
    server.start()
    expect_all_there(server, accepted)
