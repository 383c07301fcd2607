"""What a job may change for the next one in the same child, and how it is put back.

Part of the runner (runner.py), and like it never imported by the code of a job.
"""

import _thread
import builtins
import ctypes
import functools
import gc
import os
import resource
import select
import signal
import sys
import time
import types

from .runner_objects import own_view

# What a job changes in these modules, or calls in them, is its own affair.
users = types.SimpleNamespace(os=os, resource=resource, signal=signal)
os, resource, signal = own_view(os), own_view(resource), own_view(signal)
clock, thread_count = time.perf_counter_ns, _thread._count
_libc = ctypes.CDLL(None)

# Flags of an answer. LEAVING: it was the last job, or the child is no longer as it was.
OUT_CUT, ERR_CUT, LEAVING = 4, 8, 16

PIPE_SIZE = 1024 * 1024  # the most that a pipe can have been made to hold
SLOW_NS = 50_000  # in less, no process can be started
THOROUGH_EVERY = 256  # jobs
THOROUGH_NS = 1_000_000_000  # since it was last looked at everything
DESCRIPTORS_LEFT = 100  # that the jobs of a child may leave open

NOTICED = (  # what changes something that the next job would find
    (users.os, "chdir"), (users.os, "fchdir"), (users.os, "putenv"), (users.os, "unsetenv"),
    (users.os, "umask"), (users.os, "dup2"), (users.signal, "signal"), (users.signal, "setitimer"),
    (users.signal, "alarm"), (users.signal, "pthread_sigmask"), (users.resource, "setrlimit"),
    (users.resource, "prlimit"), (users.os, "nice"), (users.os, "setpriority"),
    (users.os, "sched_setaffinity"), (sys, "setrecursionlimit"), (gc, "disable"),
)


NOTHING = (b"", b"", 0)  # printed


class Surroundings:
    """Output, working directory, environment, signal handlers, limits, threads and processes of a
    child: after each job they are put back; what cannot be put back costs the child its place.

    To look at everything costs as much as many short jobs: half a millisecond when the caches are
    cold. So the calls that change something are noticed, and all is looked at after them, after a
    job that failed, and now and then."""

    def __init__(self, pipes, log_max):
        self.log_max = log_max
        self.pipes = tuple(zip(pipes, (OUT_CUT, ERR_CUT)))
        self.ready = select.epoll()
        for fd, _ in self.pipes:
            self.ready.register(fd, select.EPOLLIN)
        self.poll = self.ready.poll
        self.stdout, self.stderr = sys.stdout, sys.stderr
        self.flush_stdout, self.flush_stderr = sys.stdout.flush, sys.stderr.flush
        self.outputs = [os.fstat(fd).st_ino for fd in (1, 2)]
        self.directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.environ, self.variables = os.environ, dict(os.environ._data)
        self.signals = [number for number in signal.valid_signals()
                        if signal.getsignal(number) is not None]
        self.handlers = list(map(signal.getsignal, self.signals))
        self.blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        self.cores, self.nice = os.sched_getaffinity(0), os.getpriority(os.PRIO_PROCESS, 0)
        numbers = [getattr(resource, name) for name in dir(resource) if name[:7] == "RLIMIT_"]
        self.limits = [(number, resource.getrlimit(number)) for number in numbers]
        self.recursion = sys.getrecursionlimit()
        self.modules, self.modules_here = sys.modules, dict(sys.modules)
        self.builtins = dict(vars(builtins))
        self.umask = os.umask(0o077)
        os.umask(self.umask)
        self.first_free = free_descriptor()
        self.jobs_left = THOROUGH_EVERY
        self.noticed = False
        self.looked = clock()
        for module, name in NOTICED:
            setattr(module, name, self.noticing(getattr(module, name), module))
        os.register_at_fork(after_in_parent=self.notice, after_in_child=self.notice)

    def notice(self):
        self.noticed = True

    def noticing(self, function, module):
        """The same function, but its use is noticed."""

        @functools.wraps(function)
        def noticed(*args, **kwargs):
            self.noticed = True
            return function(*args, **kwargs)

        noticed.__module__ = module.__name__  # so that it can be pickled
        return noticed

    def settle(self, failed, begun, ended):
        """After a job: returns what it printed, as (stdout, stderr, flags)."""
        self.jobs_left -= 1
        slow = ended - begun > SLOW_NS
        if not (failed or self.noticed or self.jobs_left < 0
                or slow and ended - self.looked > THOROUGH_NS):
            try:
                if (sys.stdout is self.stdout and sys.stderr is self.stderr
                        and users.os.environ is self.environ and not thread_count()
                        and sys.modules is self.modules
                        and len(self.modules) >= len(self.modules_here)
                        and (not slow or self.seems_whole())):
                    self.flush_stdout()
                    self.flush_stderr()
                    if slow:
                        _libc.fflush(None)
                    return self.drain() if self.poll(0, 2) else NOTHING
            except BaseException:  # it has closed or replaced something: see below
                pass
        self.looked = ended
        return self.restore()

    def restore(self):
        """The same, and looks at everything."""
        self.jobs_left = THOROUGH_EVERY
        whole = not thread_count()
        for step in (self.flush, self.put_back):
            try:
                whole = step() and whole
            except BaseException:  # gone, or no longer what it was
                whole = False
        try:
            out, err, flags = self.drain()
        except BaseException:
            out, err, flags, whole = b"", b"", 0, False
        self.noticed = False
        return out, err, flags if whole else flags | LEAVING

    def drain(self):
        """What is in the pipes. One read takes all that a pipe can hold."""
        output = list(NOTHING)
        for ready, _ in self.poll(0, 2):
            for i, (fd, cut) in enumerate(self.pipes):
                if fd == ready:
                    data = os.read(fd, PIPE_SIZE)
                    output[i] = data[: self.log_max]
                    output[2] |= cut if len(data) > self.log_max else 0
        return output

    def flush(self):
        """Everything printed goes into the pipes; False: they are not the standard output."""
        for stream in (sys.stdout, sys.stderr):
            if stream is not self.stdout and stream is not self.stderr:
                try:
                    stream.flush()
                except BaseException:  # not a stream, perhaps
                    continue
        sys.stdout, sys.stderr = self.stdout, self.stderr
        self.flush_stdout()
        self.flush_stderr()
        _libc.fflush(None)
        return self.prints_here()

    def prints_here(self):
        """Whether descriptors 1 and 2 are still the pipes."""
        return [os.fstat(fd).st_ino for fd in (1, 2)] == self.outputs

    def left_nothing(self):
        """Whether no process lives on, and few descriptors are open; reaps what has ended."""
        return not lives_on() and free_descriptor() < self.first_free + DESCRIPTORS_LEFT

    def put_back(self):
        """What the next job must find as this one did; False: that cannot be done."""
        self.put_back_modules()
        os.fchdir(self.directory)
        os.umask(self.umask)
        if users.os.environ is not self.environ or self.environ._data != self.variables:
            self.put_back_environ()
        for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
            signal.setitimer(timer, 0)
        for number, handler in zip(self.signals, self.handlers):
            if signal.getsignal(number) != handler:
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.blocked)
        gc.enable()
        if os.sched_getaffinity(0) != self.cores:
            os.sched_setaffinity(0, self.cores)
        sys.setrecursionlimit(self.recursion)
        for number, limit in self.limits:
            if resource.getrlimit(number) != limit:
                resource.setrlimit(number, limit)
        return self.left_nothing() and os.getpriority(os.PRIO_PROCESS, 0) == self.nice

    def seems_whole(self):
        """What a slow job may have done without being noticed, as far as it is cheap to see."""
        return (self.builtins.items() <= vars(builtins).items()
                and self.modules_here.items() <= self.modules.items()
                and self.prints_here() and self.left_nothing())

    def put_back_modules(self):
        """Modules and builtins that were there at the start and are gone or replaced. Without them
        no pickle can be read; what has come in addition stays."""
        sys.modules = self.modules
        for there, here in ((self.modules, self.modules_here), (vars(builtins), self.builtins)):
            for name, value in here.items():
                if there.get(name) is not value:
                    there[name] = value

    def put_back_environ(self):
        users.os.environ = self.environ  # should a job have replaced it
        for name in set(self.environ._data) - set(self.variables):
            del os.environb[name]
        os.environb.update(self.variables)


def free_descriptor():
    """The lowest descriptor that is free: about how many are open."""
    fd = os.dup(0)
    os.close(fd)
    return fd


def lives_on():
    """Whether a process that the job started still lives; reaps those that do not."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
        return True
    except ChildProcessError:
        return False
