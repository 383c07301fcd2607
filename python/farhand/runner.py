"""The Python side of a Farhand worker: one template process and the children that it forks.

The worker (C) embeds this file and the others of its name, and runs them with whatever Python it
was given. The template imports the interpreter and the serialisers once, stays single-threaded,
forks a child for each slot when it is told to, delivers signals to children, and is the one that
reaps them. What a child does is in runner_child.py. docs/runner.md tells the life of both;
src/runner/template.c is the other side of the format below.

Nothing here is imported by the code of a job, and no object of ours ever travels to a client:
results and exceptions are the user's own or the standard library's.
"""

import ctypes
import errno
import faulthandler
import gc
import os
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback

from .runner_child import FD, Child
from .runner_modules import importable_modules
from .runner_objects import own_view, text_of

# ---- formats -----------------------------------------------------------------------------------

# Control socket, both ways: kind, child (a number that is never reused), value; then a text.
CONTROL = struct.Struct("=IIq")
CONTROL_MAX = 128 * 1024
TEXT_MAX = 4096  # but READY: runtime and, behind a newline, what can be imported
CONFIG, FORK, KILL, PING = 1, 2, 3, 4
READY, BROKEN, FORKED, FORK_FAILED, EXITED, PONG = 11, 12, 13, 14, 15, 16
CHILD_FDS = 6  # that come with FORK: job socket, file, both ends of the pipes for output
CONFIG_BODY = struct.Struct("=QQ")  # result_max, log_max; then the paths, each ended by NUL

# ---- what Linux offers and Python does not -----------------------------------------------------

PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 15, 36, 38
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
MEMORY_KEPT = 16 << 20  # bytes that a child keeps for the next job
_libc = ctypes.CDLL(None, use_errno=True)
_no_arg = ctypes.c_ulong(0)

# What a job changes in these modules is its own affair.
os, resource, signal = own_view(os), own_view(resource), own_view(signal)


def prctl(option, argument):
    """prctl(2), or OSError."""
    if not isinstance(argument, bytes):
        argument = ctypes.c_ulong(argument)
    if _libc.prctl(option, argument, _no_arg, _no_arg, _no_arg) != 0:
        raise OSError(ctypes.get_errno(), "prctl(%d) failed" % option)


def received_fds(ancillary):
    """The descriptors in what recvmsg() returned."""
    return [fd for _, _, data in ancillary for (fd,) in FD.iter_unpack(data)]


def keep_freed_memory():
    """Pickles of a megabyte come and go with every job. The C library would take each from the
    system anew, at a page fault for 4 KiB, which costs more than all else about such a job."""
    if hasattr(_libc, "mallopt"):
        _libc.mallopt(M_MMAP_THRESHOLD, MEMORY_KEPT)
        _libc.mallopt(M_TRIM_THRESHOLD, MEMORY_KEPT)


def own_children():
    """The living and dead children of this (single-threaded) process."""
    pid = os.getpid()
    try:
        with open("/proc/self/task/%d/children" % pid) as file:
            return [int(word) for word in file.read().split()]
    except OSError:  # a kernel without that file
        names = filter(str.isdigit, os.listdir("/proc"))
        return [int(name) for name in names if parent_of(name) == pid]


def parent_of(pid):
    """The parent of a process; 0 when it is gone."""
    try:
        with open("/proc/%s/stat" % pid) as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except (OSError, ValueError):
        return 0


# ---- the template ------------------------------------------------------------------------------


class Template:
    """The parent of all children of a worker: forks, signals, reaps, and knows each by number.

    A child's process id stays reserved until it is reaped here, after its process group has been
    killed, so that no signal can reach a stranger.
    """

    def __init__(self, control):
        self.control = control
        self.pid = os.getpid()
        self.pids = {}  # child number -> pid, until reaped
        self.numbers = {}  # the reverse
        self.stopping = False

    def send(self, kind, child=0, value=0, text=""):
        data = text.encode("utf-8", "backslashreplace")
        if kind != READY:
            data = data[:TEXT_MAX]
        try:
            self.control.sendall(CONTROL.pack(kind, child, value) + data)
        except ConnectionError:  # the worker is gone: all is to end, and nobody needs to know
            self.stopping = True

    def loop(self):
        """Serves the worker. Returns in a new child only, with its descriptors."""
        wake_read, wake_write = os.pipe()
        os.set_blocking(wake_read, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self.stop)  # what the worker's death sends as well
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        poll = select.poll()
        poll.register(wake_read, select.POLLIN)
        poll.register(self.control, select.POLLIN)
        while not self.stopping:
            for fd, _ in poll.poll():
                if fd == wake_read:
                    os.read(wake_read, 4096)
                    self.reap()
                    continue
                fds = self.command()
                if fds:
                    os.close(wake_read)
                    signal.set_wakeup_fd(-1)
                    os.close(wake_write)
                    return fds
        self.end_all()

    def stop(self, *_):
        self.stopping = True

    def command(self):
        """One command. In a new child: its descriptors."""
        try:
            message, ancillary, _, _ = self.control.recvmsg(
                CONTROL_MAX, socket.CMSG_LEN(64), socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError:
            message, ancillary = b"", []
        if not message:  # the worker is gone
            self.stopping = True
            return None
        kind, child, value = CONTROL.unpack_from(message)
        if kind == KILL:
            self.kill(child, value)
        elif kind == PING:
            self.send(PONG)
        elif kind == FORK:
            return self.fork(child, received_fds(ancillary))
        return None

    def fork(self, child, fds):
        try:
            if len(fds) != CHILD_FDS:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            pid = os.fork()
        except OSError as error:
            pid = None
            self.send(FORK_FAILED, child, 0, str(error))
        if pid == 0:
            return fds
        for fd in fds:
            os.close(fd)
        if pid:
            self.pids[child] = pid
            self.numbers[pid] = child
            self.send(FORKED, child, pid)
        return None

    def kill(self, child, number):
        """Signals the child's process group; nothing happens when the child is gone."""
        pid = self.pids.get(child)
        if pid is None:
            return
        try:
            os.killpg(pid, number)
        except ProcessLookupError:  # it has not made its group yet
            os.kill(pid, number)
        if number != signal.SIGKILL:  # a stopped one must notice
            try:
                os.killpg(pid, signal.SIGCONT)
            except ProcessLookupError:
                pass

    def reap(self):
        """Every process that has ended: first all that it leaves, then the process itself."""
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            child = self.numbers.pop(ended.si_pid, None)
            if child is not None:
                del self.pids[child]
                kill_quietly(os.killpg, ended.si_pid)
            _, status = os.waitpid(ended.si_pid, 0)
            self.sweep()
            if child is not None:
                self.send(EXITED, child, status)

    def sweep(self):
        """Kills what descends from dead children: as each living child adopts its own orphans, all
        children of the template that it did not fork itself are such."""
        for pid in own_children():
            if pid not in self.numbers:
                kill_quietly(os.kill, pid)

    def end_all(self):
        """Kills and reaps everything, then ends."""
        for pid in self.numbers:
            kill_quietly(os.killpg, pid)
        while True:
            for pid in own_children():
                kill_quietly(os.kill, pid)
            try:
                if os.waitpid(-1, os.WNOHANG)[0] == 0:
                    time.sleep(0.002)  # then look again: the list can lack what just came
            except ChildProcessError:
                os._exit(0)


def kill_quietly(kill, pid):
    try:
        kill(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass


def import_serialisers():
    """Imports what users pickle with, as far as it is installed. One that is broken counts as
    missing: the job that needs it will say what is wrong with it."""
    for name in ("cloudpickle", "dill"):
        try:
            __import__(name)
        except Exception:
            pass
        if len(os.listdir("/proc/self/task")) > 1:
            raise RuntimeError("importing %s starts a thread: nothing can be forked safely" % name)


def runtime_name():
    tag = "pp" if sys.implementation.name == "pypy" else "cp"
    threads = "t" if "t" in getattr(sys, "abiflags", "") else ""
    return "%s%d%d%s" % (tag, sys.version_info[0], sys.version_info[1], threads)


def main(control_fd):
    """The life of the template, and behind the fork that of every child."""
    control = socket.socket(fileno=control_fd)
    template = Template(control)
    try:
        config = control.recv(CONTROL_MAX)
        if not config:
            return
        result_max, log_max = CONFIG_BODY.unpack_from(config, CONTROL.size)
        paths = config[CONTROL.size + CONFIG_BODY.size :].split(b"\0")[:-1]
        prctl(PR_SET_NAME, b"farhand-python")
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.enable()
        keep_freed_memory()
        import_serialisers()
        sys.path[:0] = [os.getcwd()] + [os.fsdecode(path) for path in paths]
        ready = "%s\n%s" % (runtime_name(), importable_modules())
        gc.collect()
        gc.freeze()
        template.send(READY, text=ready)
    except BaseException as error:
        template.send(BROKEN, text="%s: %s" % (type(error).__name__, text_of(error)))
        return
    try:
        fds = template.loop()
    except BaseException:  # not foreseen; yet nothing must be left behind
        try:
            traceback.print_exc()
        finally:
            if os.getpid() == template.pid:
                template.end_all()
            os._exit(1)
    control.close()
    try:
        channel = child_start(template.pid, fds)
        Child(channel, fds[1], (fds[2], fds[4]), result_max, log_max).serve()
    except BaseException:  # a job has broken what belongs to the runner: the worker sees its end
        try:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(1)
    os._exit(0)


# ---- a child -----------------------------------------------------------------------------------


def child_start(parent, fds):
    """Makes the forked process a runner of its own: session, output, signals, a bare __main__."""
    job, _, _, out_write, _, err_write = fds
    os.dup2(out_write, 1)
    os.dup2(err_write, 2)
    os.close(out_write)
    os.close(err_write)
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_NAME, b"farhand-runner")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    c_stdout = ctypes.c_void_p.in_dll(_libc, "stdout")
    _libc.setvbuf(c_stdout, None, 1, 0)  # _IOLBF
    if hasattr(sys.stdout, "reconfigure"):  # the site's own code may have replaced it
        sys.stdout.reconfigure(line_buffering=True)  # seen while it runs, and before it crashes
    namespace = vars(sys.modules["__main__"])
    for name in [name for name in namespace if not name.startswith("__")]:
        del namespace[name]
    return socket.socket(fileno=job)
