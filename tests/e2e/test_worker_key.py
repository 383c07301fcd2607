"""Workers with keys: what `farhand worker-key` prints is what the other machine needs, and who is
not on the list is not let in. All of it on loopback, with `--curve`."""

import json
import os
import shlex
import stat
from pathlib import Path
from typing import Any, List

import pytest
import workload
from conftest import ServerMaker, WorkerMaker
from harness import Program, Server, StartFailed, run_farhand, wait_until
from keys import new_key, worker_key


def secrets_of(folder: Path, *files: Path) -> List[str]:
    texts = [(folder / "data" / "server.key").read_text(), *(file.read_text() for file in files)]
    return [line.split()[1] for text in texts for line in text.splitlines()
            if line.startswith("secret ")]


def online(server: Server) -> List[Any]:
    return [worker for worker in server.client.good("GET", "/v1/workers")["items"]
            if worker["state"] == "online"]


@pytest.mark.smoke
def test_a_worker_joins_with_what_was_printed(make_server: ServerMaker, make_worker: WorkerMaker,
                                              tmp_path: Path) -> None:
    server = make_server("--curve", slots=0, bind=True)
    flags = new_key(server.data, "lab7", tmp_path)
    worker = make_worker(server.url, *flags)
    function_id = server.client.register(workload.add)
    assert server.client.run(function_id, 2, 3) == 5
    assert "with the key lab7" in server.log
    assert [member["key_name"] for member in online(server)] == ["lab7"]
    # No secret was printed, logged or given as an argument.
    for secret in secrets_of(server.folder, tmp_path / "lab7.key"):
        for program in (server, worker):
            assert secret not in program.log
            assert secret not in Path(f"/proc/{program.process.pid}/cmdline").read_text()
    # A worker that is started again, or whose server is, comes back with the same key.
    server.restart()
    assert server.client.run(function_id, 3, 4) == 7


def test_a_revoked_worker_is_out_at_once_and_the_others_stay(
        make_server: ServerMaker, make_worker: WorkerMaker, tmp_path: Path) -> None:
    server = make_server("--curve", slots=0, bind=True)
    anna = make_worker(server.url, *new_key(server.data, "anna", tmp_path))
    bert = make_worker(server.url, *new_key(server.data, "bert", tmp_path))
    assert len(online(server)) == 2
    status, out, err = worker_key(server.data, "revoke", "anna", cwd=tmp_path)
    assert status == 0 and out.startswith("anna ") and "revoked" in err
    wait_until(lambda: len(online(server)) == 1, "one worker is left")
    wait_until(lambda: "it does not accept this worker's key" in anna.log, "anna is told")
    assert "the key is not on the list any more" in server.log
    function_id = server.client.register(workload.add)
    assert server.client.run(function_id, 1, 1) == 2
    assert "it does not accept" not in bert.log
    # And by its key.
    key = json.loads(worker_key(server.data, "list", "-o", "json", cwd=tmp_path)[1])[0]["key"]
    assert worker_key(server.data, "revoke", key, cwd=tmp_path)[0] == 0
    wait_until(lambda: not online(server), "no worker is left")


def refused(program: Program, line: str) -> None:
    """It runs, and tries again and again."""
    program.launch()
    wait_until(lambda: line in program.log, f"it says '{line}'")


def test_strangers_are_told_why(make_server: ServerMaker, make_worker: WorkerMaker,
                                tmp_path: Path) -> None:
    server = make_server("--curve", slots=0, bind=True)
    flags = new_key(server.data, "anna", tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    foreign = new_key(other / "data", "anna", other)
    no_key = make_worker(server.url, start=False)
    wrong_server = make_worker(server.url, *foreign[:2], *flags[2:], start=False)
    unknown = make_worker(server.url, *flags[:2], *foreign[2:], start=False)
    refused(no_key, "it wants a key, and this worker was given none")
    refused(wrong_server, "is its key the one that was given here?")
    refused(unknown, "it does not accept this worker's key")
    wait_until(lambda: "was refused: its key" in server.log, "the server says it, too")
    assert server.client.good("GET", "/v1/workers")["items"] == []
    for worker in (no_key, wrong_server, unknown):
        worker.stop()


def test_key_files_are_for_their_owner_alone(make_server: ServerMaker, make_worker: WorkerMaker,
                                             tmp_path: Path) -> None:
    server = make_server("--curve", slots=0, bind=True)
    flags = new_key(server.data, "anna", tmp_path)
    file = tmp_path / "anna.key"
    for path in (file, server.data / "server.key", server.data / "workers.keys"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    file.chmod(0o640)
    with pytest.raises(StartFailed) as failed:
        make_worker(server.url, *flags)
    assert failed.value.status == 1
    assert "anna.key: others may use it (mode 0640): chmod 600" in failed.value.log
    server.stop()
    for name in ("server.key", "workers.keys"):
        (server.data / name).chmod(0o604)
        with pytest.raises(StartFailed) as failed:
            server.start()
        assert failed.value.status == 1
        assert f"{name}: others may use it (mode 0604)" in failed.value.log
        (server.data / name).chmod(0o600)


def test_keys_need_no_server_and_say_what_is_wrong(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert worker_key(data, "list", cwd=tmp_path)[0] == 3
    assert worker_key(data, "revoke", "anna", cwd=tmp_path)[0] == 3
    assert worker_key(data, "new", "anna", cwd=tmp_path)[0] == 0
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    status, out, err = worker_key(data, "new", "anna", cwd=tmp_path)
    assert (status, out) == (1, "") and "anna.key: it exists already" in err
    status, out, err = worker_key(data, "new", "anna", "--out", "it's.key", cwd=tmp_path)
    assert (status, out) == (1, "") and "'anna' has a key already" in err
    assert not (tmp_path / "it's.key").exists()
    status, out, _ = worker_key(data, "new", "bert", "--out", "it's.key", cwd=tmp_path)
    assert status == 0 and shlex.split(out)[5] == "it's.key"
    listed = json.loads(worker_key(data, "list", "-o", "json", cwd=tmp_path)[1])
    assert [worker["name"] for worker in listed] == ["anna", "bert"]
    assert all(len(worker["key"]) == 40 and worker["created"].endswith("Z") for worker in listed)
    table = worker_key(data, "list", cwd=tmp_path)[1].splitlines()
    assert table[0].split() == ["NAME", "KEY", "CREATED"] and len(table) == 3
    status, _, err = worker_key(data, "revoke", "cleo", cwd=tmp_path)
    assert status == 3 and "no worker 'cleo'" in err
    for words in (["new"], ["new", "a/b"], ["new", "a", "b"], ["list", "x"], ["list", "-o", "xml"],
                  ["revoke"], ["renew", "a"], ["list", "--out", "f"]):
        status, out, err = worker_key(data, *words, cwd=tmp_path)
        assert (status, out) == (2, "") and err.startswith("farhand: "), words
    assert "did you mean new" in run_farhand("worker-key", "nev").stderr


def test_beyond_loopback_keys_are_no_choice(make_server: ServerMaker, make_worker: WorkerMaker,
                                            tmp_path: Path) -> None:
    server = make_server("--bind", "0.0.0.0:0", slots=0, start=False)
    server.launch()
    port = server.await_ready().rsplit(":", 1)[1].strip()
    url = f"tcp://127.0.0.1:{port}"
    assert "workers need keys, and 0 of them have one" in server.log
    plain = make_worker(url, start=False)
    refused(plain, "it wants a key, and this worker was given none")
    plain.stop()
    make_worker(url, *new_key(server.data, "anna", tmp_path))
    far = run_farhand("worker", "192.0.2.1:5555")
    assert far.returncode == 1 and "is beyond loopback, where a worker needs a key" in far.stderr


def test_on_loopback_a_list_alone_changes_nothing(make_server: ServerMaker,
                                                  make_worker: WorkerMaker,
                                                  tmp_path: Path) -> None:
    """Keys may be made ahead, for a machine that is still to come."""
    server = make_server(slots=0, bind=True)
    new_key(server.data, "anna", tmp_path)
    make_worker(server.url)
    server.restart()
    wait_until(lambda: len(online(server)) == 1, "the worker is back")


if os.geteuid() == 0:
    def test_a_key_of_another_user_is_refused(make_server: ServerMaker, make_worker: WorkerMaker,
                                              tmp_path: Path) -> None:
        server = make_server("--curve", slots=0, bind=True)
        flags = new_key(server.data, "anna", tmp_path)
        os.chown(tmp_path / "anna.key", 65534, 65534)
        with pytest.raises(StartFailed) as failed:
            make_worker(server.url, *flags)
        assert "it belongs to another user (uid 65534)" in failed.value.log
