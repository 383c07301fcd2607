"""The Python side of a Farhand worker: one template process and the children that it forks.

The worker (C) embeds this file and runner_objects.py, and runs them with whatever Python it was
given. The template imports
the interpreter and the serialisers once, stays single-threaded, forks a child for each slot when it
is told to, delivers signals to children, and is the one that reaps them. A child reads one message
a job from its socket, runs it, and answers with one message. docs/runner.md tells the life of both;
src/runner/frame.h and src/runner/control.h are the other side of the formats below.

Nothing here is imported by the code of a job, and no object of ours ever travels to a client:
results and exceptions are the user's own or the standard library's.
"""

import _thread
import ctypes
import faulthandler
import functools
import gc
import os
import pickle
import resource
import select
import signal
import socket
import struct
import sys
import time
import traceback

from .runner_objects import (
    DONE, EXCEPTION, UNDECODABLE, UNSERIALISABLE, dump_by_force, explain, load_call,
    load_function, text_of, too_large,
)

# ---- formats -----------------------------------------------------------------------------------

# Control socket, both ways: kind, child (a number that is never reused), value; then a text.
CONTROL = struct.Struct("=IIq")
CONTROL_MAX = 128 * 1024
CONFIG, FORK, KILL = 1, 2, 3
READY, BROKEN, FORKED, FORK_FAILED, EXITED = 11, 12, 13, 14, 15
CONFIG_BODY = struct.Struct("=QQ")  # result_max, log_max; then the paths, each ended by NUL

# Job socket. To the child: kind, flags, function's place, length of the retry classes, job, memory
# limit; then the retry classes and the pickle. From the child, HELLO and STARTED in the same form:
# job, then the resident bytes that it began with.
FRAME = struct.Struct("=BBHIQQ")
FUNCTION, JOB = 1, 2
HELLO, STARTED, RESULT = 3, 4, 5
ANNOUNCE, IN_FILE, LAST = 1, 2, 4  # flags; IN_FILE: the pickle is in the file that came along
# kind, reason, flags, length of error type, job, started (Unix ms), microseconds of decoding,
# running and encoding, length of message, of value, of traceback, of stdout, of stderr.
ANSWER = struct.Struct("=BBHIQqIIIIQIIIxxxx")
# Flags of an answer. LEFT_BEHIND: the child is no longer as it was, replace it.
RETRY_MATCH, OUT_CUT, ERR_CUT, LEFT_BEHIND = 1, 4, 8, 16

INLINE_MAX = 64 * 1024  # a longer message travels in a memory file
MESSAGE_MAX = INLINE_MAX + 4096
FUNCTIONS_MAX = 64
PIPE_SIZE = 64 * 1024
RIGHTS_ONE = socket.CMSG_LEN(4)
SLOW_NS = 100_000  # no process can be started in less, so faster jobs need not be looked after

# ---- what Linux offers and Python does not -----------------------------------------------------

PR_SET_PDEATHSIG, PR_SET_NAME, PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 1, 15, 36, 38
_libc = ctypes.CDLL(None, use_errno=True)
_no_arg = ctypes.c_ulong(0)

setrlimit = resource.setrlimit  # our own use of it is not a job's


def prctl(option, argument):
    """prctl(2), or OSError."""
    if not isinstance(argument, bytes):
        argument = ctypes.c_ulong(argument)
    if _libc.prctl(option, argument, _no_arg, _no_arg, _no_arg) != 0:
        raise OSError(ctypes.get_errno(), "prctl(%d) failed" % option)


def memory_file():
    """A new file in memory. Some builds of Python lack the call although the C library has it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("farhand")
    fd = _libc.memfd_create(b"farhand", 1)  # MFD_CLOEXEC
    if fd < 0:
        raise OSError(ctypes.get_errno(), "memfd_create failed")
    return fd


def read_whole(fd):
    """All bytes of a file in memory; closes it."""
    try:
        size = os.fstat(fd).st_size
        data = os.pread(fd, size, 0)
        while len(data) < size:  # one call gives at most 2 GiB
            data += os.pread(fd, size - len(data), len(data))
        return data
    finally:
        os.close(fd)


def received_fds(ancillary):
    """The descriptors in what recvmsg() returned."""
    return [fd for _, _, data in ancillary for (fd,) in struct.iter_unpack("=i", data)]


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
        self.control.sendall(CONTROL.pack(kind, child, value) + data[:4096])

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
        elif kind == FORK:
            return self.fork(child, received_fds(ancillary))
        return None

    def fork(self, child, fds):
        try:
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
                os.waitpid(-1, 0)
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
            continue
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
        import_serialisers()
        sys.path[:0] = [os.getcwd()] + [os.fsdecode(path) for path in paths]
        gc.collect()
        gc.freeze()
        template.send(READY, text=runtime_name())
    except BaseException as error:
        template.send(BROKEN, text="%s: %s" % (type(error).__name__, text_of(error)))
        return
    fds = template.loop()
    control.close()
    channel = child_start(template.pid, fds)
    try:
        Child(channel, fds[1], fds[3], result_max, log_max).serve()
    except BaseException:  # a job has broken what belongs to the runner: the worker sees its end
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


# ---- a child -----------------------------------------------------------------------------------


def child_start(parent, fds):
    """Makes the forked process a runner of its own: session, output, signals, a bare __main__."""
    job, out_read, out_write, err_read, err_write = fds
    os.setsid()
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    prctl(PR_SET_NAME, b"farhand-runner")
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(out_write, 1)
    os.dup2(err_write, 2)
    os.close(out_write)
    os.close(err_write)
    c_stdout = ctypes.c_void_p.in_dll(_libc, "stdout")
    _libc.setvbuf(c_stdout, None, 1, 0)  # _IOLBF
    namespace = vars(sys.modules["__main__"])
    for name in [name for name in namespace if not name.startswith("__")]:
        del namespace[name]
    return socket.socket(fileno=job)


class Child:
    """Runs the jobs of one slot, one after the other."""

    def __init__(self, channel, out_read, err_read, result_max, log_max):
        self.channel = channel
        self.result_max = result_max
        self.surroundings = Surroundings(out_read, err_read, log_max)

    def serve(self):
        """Until the worker is gone, or the child is to be replaced."""
        pid = os.getpid()
        channel, surroundings = self.channel, self.surroundings
        recvmsg, unpack, clock = channel.recvmsg, FRAME.unpack_from, time.perf_counter_ns
        functions = [None] * FUNCTIONS_MAX
        channel.send(FRAME.pack(HELLO, 0, 0, 0, 0, 0))
        while True:
            message, rights, _, _ = recvmsg(MESSAGE_MAX, RIGHTS_ONE, socket.MSG_CMSG_CLOEXEC)
            if not message:
                return
            kind, flags, place, names, job, memory = unpack(message)
            if flags & IN_FILE:
                body = read_whole(received_fds(rights)[0])
            else:
                body = message[FRAME.size + names :]
            if kind == FUNCTION:
                functions[place] = body
                continue
            started = time.time_ns() // 1_000_000
            classes = message[FRAME.size : FRAME.size + names] if names else b""
            if memory:
                limits = limit_memory(memory)
            if flags & ANNOUNCE:
                channel.send(FRAME.pack(STARTED, 0, 0, 0, job, resident_bytes() if memory else 0))
            begun = clock()
            decoded = ran = 0
            stage, data, failure = UNDECODABLE, b"", None
            try:
                function = functions[place]
                if type(function) is bytes:
                    function = functions[place] = load_function(function)
                args, kwargs = load_call(body)
                decoded, stage = clock(), EXCEPTION
                value = function(*args, **kwargs)
                ran, stage = clock(), UNSERIALISABLE
                try:
                    data = pickle.dumps(value, 5)
                except BaseException as error:
                    data = dump_by_force(value, error)
                if len(data) > self.result_max:
                    failure = too_large(len(data), self.result_max)
            except BaseException as error:
                if memory:
                    setrlimit(resource.RLIMIT_AS, limits)
                failure = explain(stage, error, classes, self.result_max)
            ended = clock()
            if os.getpid() != pid:  # a copy that the function forked: its parent answers
                os._exit(0)
            if memory:
                setrlimit(resource.RLIMIT_AS, limits)
            message = rights = body = args = kwargs = function = value = None
            out, err, kept = surroundings.restore(ended - begun > SLOW_NS)
            decoded = decoded or ended
            ran = ran or ended
            times = (decoded - begun) // 1000, (ran - decoded) // 1000, (ended - ran) // 1000
            if failure is None:
                self.answer(kept, DONE, job, started, times, data, out, err)
            else:
                self.answer(kept, failure[0], job, started, times, failure[1], out, err,
                            *failure[2:])
            if kept & LEFT_BEHIND or flags & LAST:
                return

    def answer(self, flags, reason, job, started, times, value, out, err,
               error_type=b"", text=b"", trace=b"", match=False):
        """Sends the one result message of a job."""
        if max(times) > 0xFFFFFFFF:
            times = [min(part, 0xFFFFFFFF) for part in times]
        if match:
            flags |= RETRY_MATCH
        head = ANSWER.pack(RESULT, reason, flags, len(error_type), job, started, *times, len(text),
                           len(value), len(trace), len(out), len(err))
        if error_type or out or err:
            value = b"".join((value, error_type, text, trace, out, err))
        try:
            if len(value) <= INLINE_MAX - ANSWER.size:
                self.channel.send(head + value)
                return
            fd = memory_file()
            view = memoryview(value)
            while view:
                view = view[os.write(fd, view) :]
            socket.send_fds(self.channel, [head], [fd])
            os.close(fd)
        except BrokenPipeError:  # the worker is gone
            os._exit(0)


# ---- what a job may change for the next one ----------------------------------------------------


class Surroundings:
    """Output, working directory, environment, signal handlers, limits, threads and processes of a
    child: after each job they are put back; what cannot be put back costs the child its place."""

    def __init__(self, out_read, err_read, log_max):
        self.log_max = log_max
        self.pipes = (out_read, err_read)
        self.ready = select.epoll()
        for fd in self.pipes:
            self.ready.register(fd, select.EPOLLIN)
        self.stdout, self.stderr = sys.stdout, sys.stderr
        self.directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.environ, self.variables = os.environ, dict(os.environ._data)
        self.signals = [signal.SIGTERM, signal.SIGINT, signal.SIGALRM, signal.SIGCHLD]
        self.handlers = [signal.getsignal(number) for number in self.signals]
        self.forked = self.limited = False
        resource.setrlimit = self.noticing(resource.setrlimit)
        os.register_at_fork(after_in_parent=self.notice_fork)

    def notice_fork(self):
        self.forked = True

    def noticing(self, setrlimit):
        """The same function, but its use is noticed."""

        @functools.wraps(setrlimit)
        def noticed(*args):
            self.limited = True
            return setrlimit(*args)

        return noticed

    def restore(self, slow):
        """Returns what the job printed, as (stdout, stderr, flags)."""
        out = err = b""
        kept = 0
        try:
            if slow:
                _libc.fflush(None)
            self.streams()
            for fd, _ in self.ready.poll(0):
                data = os.read(fd, PIPE_SIZE)
                if fd == self.pipes[0]:
                    out, kept = data[: self.log_max], kept | (len(data) > self.log_max and OUT_CUT)
                else:
                    err, kept = data[: self.log_max], kept | (len(data) > self.log_max and ERR_CUT)
            os.fchdir(self.directory)
            if os.environ is not self.environ or self.environ._data != self.variables:
                self.restore_environ()
            if list(map(signal.getsignal, self.signals)) != self.handlers:
                self.restore_signals()
            if _thread._count() or self.limited or ((slow or self.forked) and lives_on()):
                kept |= LEFT_BEHIND
            self.forked = False
        except BaseException:  # it has closed or replaced what belongs to the runner
            kept |= LEFT_BEHIND
        return out, err, kept

    def streams(self):
        if sys.stdout is not self.stdout or sys.stderr is not self.stderr:
            for stream in (sys.stdout, sys.stderr):
                try:
                    stream.flush()
                except BaseException:
                    pass
            sys.stdout, sys.stderr = self.stdout, self.stderr
        self.stdout.flush()
        self.stderr.flush()

    def restore_environ(self):
        os.environ = self.environ  # noqa: B003 - the same object, should a job have replaced it
        for name in set(self.environ._data) - set(self.variables):
            del os.environb[name]
        for name, value in self.variables.items():
            os.environb[name] = value

    def restore_signals(self):
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(self.signals, self.handlers):
            signal.signal(number, handler)


def lives_on():
    """Whether a process that the job started still lives; reaps those that do not."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    except ChildProcessError:
        return False


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def limit_memory(allowed):
    """Lets the process grow by so many bytes; returns the limits to go back to."""
    limits = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize() + allowed
    hard = limits[1]
    setrlimit(resource.RLIMIT_AS, (size if hard < 0 else min(size, hard), hard))
    return limits
