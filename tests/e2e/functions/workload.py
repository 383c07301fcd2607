"""Functions that the end-to-end tests run on a server, by reference. Any Python from 3.9 on.

Most of them tell what they did by a line in a file: a line is one write, so that lines of several
processes do not mix.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time


def note(path, *words):
    """Adds a line to the file."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, (" ".join(str(word) for word in words) + "\n").encode())
    finally:
        os.close(fd)


def add(a, b):
    return a + b


def echo(*args, **kwargs):
    return args[0] if len(args) == 1 and not kwargs else (args, kwargs)


def square_noted(path, n):
    note(path, n)
    return n * n


def noted_at(path, n):
    """Notes when it began."""
    note(path, n, time.time())
    return n


def hold(folder, name):
    """Says that it has started and waits until it may go on."""
    note(os.path.join(folder, "started"), name)
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.002)
    note(os.path.join(folder, "ended"), name)
    return name


def hold_and_tell(folder, name):
    """The same; its value says which process it was."""
    hold(folder, name)
    return os.getpid()


def pause(seconds):
    time.sleep(seconds)
    return seconds


def spin():
    while True:
        pass


def fail(message):
    raise ValueError(message)


def fail_noted(path, n, error="ValueError"):
    """Fails every time, and notes each time."""
    note(path, n, time.time())
    raise {"ValueError": ValueError, "FileNotFoundError": FileNotFoundError}[error](n)


def fail_first(path, n, times):
    """Fails so many times, then succeeds; the file counts."""
    note(path, n)
    with open(path) as file:
        count = sum(line.split()[0] == str(n) for line in file)
    if count <= times:
        raise ConnectionResetError("attempt %d" % count)
    return count


def crash_first(path, n, times):
    """Kills its own process so many times, then succeeds."""
    note(path, n)
    with open(path) as file:
        count = sum(line.split()[0] == str(n) for line in file)
    if count <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return count


def pid():
    return os.getpid()


def surroundings():
    """What a task may see of those before it."""
    import resource
    return {
        "cwd": os.getcwd(),
        "environ": dict(os.environ),
        "umask": _umask(),
        "sigterm": str(signal.getsignal(signal.SIGTERM)),
        "alarm": signal.getitimer(signal.ITIMER_REAL),
        "stdout": sys.stdout is sys.__stdout__,
        "threads": threading.active_count(),
        "nofile": resource.getrlimit(resource.RLIMIT_NOFILE),
        "recursion": sys.getrecursionlimit(),
    }


def _umask():
    mask = os.umask(0o22)
    os.umask(mask)
    return mask


# ---- output -----------------------------------------------------------------------------------


def speak(out, err):
    print(out)
    print(err, file=sys.stderr)
    return len(out) + len(err)


def speak_and_hold(folder, text):
    """One line before it waits, one after."""
    print(text)
    hold(folder, text)
    print("the end", file=sys.stderr)


def speak_low(out, err):
    """Past sys.stdout: on the descriptors."""
    os.write(1, out)
    os.write(2, err)


def flood():
    """Writes to stdout without end."""
    while True:
        print("x" * 1000)


def flood_and_return(lines):
    for _ in range(lines):
        print("y" * 999)
    return lines


# ---- functions that do harm -------------------------------------------------------------------


def exit_at_once(status):
    os._exit(status)


def raise_exit(status):
    sys.exit(status)


def segfault():
    ctypes.string_at(0)


def kill_itself(number):
    os.kill(os.getpid(), number)
    time.sleep(3600)


def kill_parent():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(3600)


def kill_worker():
    """Not only the template, but the program behind it."""
    with open("/proc/%d/stat" % os.getppid()) as stat:
        worker = int(stat.read().rpartition(")")[2].split()[1])
    os.kill(worker, signal.SIGKILL)
    time.sleep(3600)


def _descriptors():
    return [int(name) for name in os.listdir("/proc/self/fd")]


def close_everything():
    for fd in _descriptors():
        try:
            os.close(fd)
        except OSError:
            pass
    return "closed"


def junk_everywhere(size):
    for fd in _descriptors():
        try:
            os.set_blocking(fd, False)
            os.write(fd, b"\xff" * size)
        except OSError:
            pass
    return "written"


def junk_and_die(size):
    junk_everywhere(size)
    os._exit(0)


def leave_children(how, seconds=3600):
    """Leaves a process behind, and returns its id."""
    command = [sys.executable, "-c", "import time; time.sleep(%d)" % seconds]
    if how == "setsid":
        return subprocess.Popen(command, start_new_session=True).pid
    if how == "orphan":  # a child of a child that has ended, in a session of its own
        code = "import subprocess; print(subprocess.Popen(%r, start_new_session=True," \
               " stdout=subprocess.DEVNULL).pid)" % (command,)
        return int(subprocess.check_output([sys.executable, "-c", code]))
    return subprocess.Popen(command).pid


def leave_children_and_stay(path, how):
    note(path, leave_children(how))
    time.sleep(3600)


def leave_thread():
    threading.Thread(target=time.sleep, args=(3600,)).start()
    return "left"


def leave_daemon_thread():
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return "left"


def ignore_sigterm(path):
    """Tells its process id and goes on for ever."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    note(path, os.getpid())
    spin()


def stubborn(path):
    """Also swallows whatever is raised inside it."""
    signal.signal(signal.SIGTERM, lambda *_: None)
    note(path, os.getpid())
    while True:
        try:
            while True:
                time.sleep(0.01)
        except BaseException:
            continue


def fork_returns_twice():
    """Both copies of the process return."""
    os.fork()
    return "twice"


def change_everything():
    """Leaves nothing as it was."""
    import resource
    os.chdir("/")
    os.environ["LEFT_BY_A_TASK"] = "yes"
    os.environ.pop("HOME", None)
    os.umask(0)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.setitimer(signal.ITIMER_REAL, 3600)
    sys.stdout = open(os.devnull, "w")
    sys.setrecursionlimit(500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    return "changed"


def grab_memory(megabytes):
    return len(bytearray(megabytes << 20))


def grab_memory_in_pieces(megabytes):
    pieces = []
    for _ in range(megabytes):
        pieces.append(bytearray(os.urandom(1 << 20)))
    return len(pieces)


def huge(megabytes):
    return b"x" * (megabytes << 20)


def huge_when(folder, megabytes):
    """The same once it may go on."""
    hold(folder, "huge")
    return huge(megabytes)


def unpicklable():
    return threading.Lock()


def recursion():
    return recursion()


def deep_list(depth):
    thing = []
    for _ in range(depth):
        thing = [thing]
    return thing


class EvilReduce:
    """Cannot be pickled; says so in its own way."""

    def __init__(self, how):
        self.how = how

    def __reduce__(self):
        if self.how == "raise":
            raise RuntimeError("I will not be pickled")
        if self.how == "exit":
            sys.exit(3)
        if self.how == "interrupt":
            raise KeyboardInterrupt
        if self.how == "die":
            os._exit(1)
        return 42  # neither a string nor a tuple


def evil_reduce(how):
    return EvilReduce(how)


class EvilRepr(Exception):
    def __init__(self, how):
        super().__init__("hidden")
        self.how = how

    def __str__(self):
        if self.how == "exit":
            sys.exit(4)
        if self.how == "long":
            return "z" * (8 << 20)
        if self.how == "surrogate":
            return "\udc80 and \x00 too"
        if self.how == "no string":
            return 42  # noqa: PLE0307
        raise RuntimeError("I have no words")

    __repr__ = __str__


def raise_evil(how):
    raise EvilRepr(how)


class EvilState(Exception):
    """Can be raised, cannot be pickled."""

    def __init__(self, a, b):
        super().__init__("a and b")
        self.lock = threading.Lock()


def raise_unpicklable():
    raise EvilState(1, 2)


def raise_system(kind):
    raise {"KeyboardInterrupt": KeyboardInterrupt, "SystemExit": SystemExit,
           "GeneratorExit": GeneratorExit, "MemoryError": MemoryError}[kind]("thrown by hand")


def trap_loader():
    """What is run when its result is unpickled: nobody may do that but the client."""
    return Trap()


class Trap:
    def __reduce__(self):
        return (os.getpid, ())


def import_missing():
    import a_module_that_is_nowhere  # noqa: F401


def tamper_pickle():
    """Breaks the tools that the runner itself uses."""
    import pickle
    pickle.dumps = pickle.loads = None
    time.time_ns = time.perf_counter_ns = None
    os.write = os.read = None
    return "broken"


def hang_first(path, n, times):
    """Runs for ever so many times, then succeeds."""
    note(path, n)
    with open(path) as file:
        count = sum(line.split()[0] == str(n) for line in file)
    if count <= times:
        spin()
    return count


def grab_first(path, n, times, megabytes):
    """Takes too much memory so many times, then succeeds."""
    note(path, n)
    with open(path) as file:
        count = sum(line.split()[0] == str(n) for line in file)
    if count <= times:
        grab_memory(megabytes)
    return count


def deed(path, kind, n):
    """The task of the kill tests: its number and kind decide all. Notes when it began."""
    note(path, n, time.time())
    if kind == "fail":
        raise ValueError(n)
    if kind == "slow":
        time.sleep(0.02)
    return n * n
