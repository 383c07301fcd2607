"""The functions of the runner's tests: what a user's function may do, by mistake or malice."""

import builtins
import ctypes
import gc
import os
import resource
import signal
import socket
import subprocess
import sys
import threading
import time


def add(a, b):
    return a + b


def my_pid():
    return str(os.getpid())


def parents_pid():
    return str(os.getppid())


def length(text):
    return str(len(text))


def text_of_size(size):
    return "x" * size


def sleep(seconds=3600):
    time.sleep(seconds)
    return 1


# ---- ends --------------------------------------------------------------------------------------


def exit_process(status):
    os._exit(status)


def segfault():
    os.kill(os.getpid(), signal.SIGSEGV)


def kill_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def stop_itself():
    os.kill(os.getpid(), signal.SIGSTOP)
    return 1


def kill_the_template():
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(3600)


# ---- descriptors -------------------------------------------------------------------------------


def close_everything():
    os.closerange(0, 4096)
    return 1


def close_stdout():
    sys.stdout.close()
    os.close(1)
    return 1


def open_in_place_of_stdout():
    os.close(1)
    time.sleep(0.001)  # of a short job only what is missing altogether would be noticed
    return os.open(os.devnull, os.O_WRONLY)


def write_junk_everywhere():
    for fd in range(3, 256):
        try:
            os.write(fd, b"junk")
        except OSError:
            pass
    time.sleep(3600)


def the_socket():
    for fd in range(3, 256):
        try:
            end = socket.socket(fileno=os.dup(fd))
        except OSError:
            continue
        if end.type == socket.SOCK_SEQPACKET:
            return end
        end.close()
    raise LookupError("no socket")


def send_frame(kind, job, size):
    """Bytes that the runner itself would not send."""
    frame = bytes([kind, 0, 0, 0, 0, 0, 0, 0]) + job.to_bytes(8, "little")
    the_socket().send(frame + bytes(max(0, size - len(frame))) if size > 16 else frame[:size])
    time.sleep(3600)


def send_file(job, kind):
    """A large result, said to be in a file that is none or is shorter."""
    head = bytes([5, 0, 0, 0, 0, 0, 0, 0]) + job.to_bytes(8, "little") + bytes(24)
    head += (1 << 20).to_bytes(8, "little") + bytes(16)
    if kind == "pipe":
        fd = os.pipe()[0]
    else:
        fd = os.memfd_create("short")
        os.write(fd, b"short")
    socket.send_fds(the_socket(), [head], [fd])
    time.sleep(3600)


def begin_another(job, other):
    """Answers while it runs, says that a job has begun that nobody has read, and prints."""
    value = b"N."
    answer = bytes([5, 0, 0, 0, 0, 0, 0, 0]) + job.to_bytes(8, "little") + bytes(24)
    end = the_socket()
    end.send(answer + len(value).to_bytes(8, "little") + bytes(16) + value)
    end.send(bytes([4, 0, 0, 0, 0, 0, 0, 0]) + other.to_bytes(8, "little") + bytes(16))
    while True:
        os.write(1, b"not its own\n")
        time.sleep(0.001)


def leak_descriptors(count):
    leaked.extend(os.dup(0) for _ in range(count))
    return 1


leaked = []


# ---- processes and threads ---------------------------------------------------------------------


def leave_child():
    return str(subprocess.Popen(["sleep", "3600"]).pid)


def leave_daemon():
    """A process in a session of its own, whose parent has ended."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            os.write(write, b"%d" % os.getpid())
            os.close(write)
            time.sleep(3600)
        os._exit(0)
    os.close(write)
    os.wait()
    return os.read(read, 100).decode()


def with_daemon_sleep(path):
    """Says in a file which daemon it has left, then never ends."""
    pid = leave_daemon()
    with open(path, "w") as file:
        file.write(pid)
    time.sleep(3600)


def with_child_sleep(path):
    """The same with a child of its own process group."""
    with open(path, "w") as file:
        file.write(str(subprocess.Popen(["sleep", "3600"]).pid))
    time.sleep(3600)


def fork_twice():
    os.fork()
    os.fork()
    return 1


def run_command():
    return subprocess.run(["echo", "said by a command"]).returncode + 1


def leave_thread():
    threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
    return 1


def use_thread():
    thread = threading.Thread(target=time.sleep, args=(0,))
    thread.start()
    thread.join()
    return 1


# ---- what is left changed ----------------------------------------------------------------------


def surroundings():
    return repr((
        os.getcwd(), sorted(os.environ.items()), os.environ is first_environ,
        [str(signal.getsignal(number)) for number in (1, 2, 10, 14, 15, 17)],
        sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())), gc.isenabled(), os.nice(0),
        os.sched_getaffinity(0),
        [resource.getrlimit(number)[0] for number in range(10)], sys.getrecursionlimit(),
        type(sys.stdout).__name__, sys.stdout.fileno(), umask(),
        [signal.getitimer(timer)[0] for timer in range(3)],
        sys.modules["__main__"].__name__, repr(len),
    ))


first_environ = os.environ


def umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def change(what):
    if what == "directory":
        os.chdir("/")
    elif what == "environment":
        os.environ["FARHAND_CHANGED"] = "1"
        del os.environ["PATH"]
    elif what == "environ":
        os.environ = {"PATH": "/"}  # noqa: B003 - the mistake itself
    elif what == "signals":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, lambda *_: None)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 30))
    elif what == "limits":
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 30, 1 << 30))
    elif what == "limits of a process":
        resource.prlimit(0, resource.RLIMIT_NOFILE, (40, 40))
        time.sleep(0.001)
    elif what == "stdout":
        sys.stdout = open(os.devnull, "w")
        print("lost")
    elif what == "stdout to nothing":
        sys.stdout = None
    elif what == "descriptors":
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
    elif what == "umask":
        os.umask(0o777)
    elif what == "recursion":
        sys.setrecursionlimit(60)
    elif what == "alarm":
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 3600)
        signal.setitimer(signal.ITIMER_VIRTUAL, 3600)
    elif what == "processor":
        gc.disable()
        os.nice(1)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        time.sleep(0.001)
    elif what == "modules":
        sys.modules.clear()
    elif what == "module":
        del sys.modules["__main__"]
        sys.modules["pickle"] = None
        time.sleep(0.001)  # of a short job only what is missing altogether would be noticed
    elif what == "all modules":
        sys.modules = {}
    elif what == "builtins":
        builtins.len = builtins.isinstance = None
        time.sleep(0.001)
    else:
        raise LookupError(what)
    return 1


# ---- output ------------------------------------------------------------------------------------


def say(text):
    print(text)
    print(text + " to stderr", file=sys.stderr)
    return 1


def say_everywhere():
    """Through Python, C, the descriptor and a command; the order is that of the flushes."""
    print("python")
    sys.stdout.flush()
    ctypes.CDLL(None).puts(b"c")
    os.write(1, b"descriptor\n")
    subprocess.run(["echo", "command"])
    sys.stdout.write("unflushed")
    return 1


def say_for_ever(text="endless \n"):
    while True:
        os.write(1, text.encode() * 200)  # in one piece: it is less than PIPE_BUF


def say_much(count, byte="x"):
    os.write(1, b"begin ")
    for _ in range(count):
        sys.stdout.write(byte * 1024)
    print("end")
    return 1


def say_then_sleep(text):
    print(text)
    time.sleep(3600)


def say_then_crash(text):
    print(text)
    os._exit(1)


class SaysOnDeath:
    def __del__(self):
        print("deleted")
        raise ValueError("raised while deleted")


def say_on_deletion():
    SaysOnDeath()
    return 1


# ---- failures ----------------------------------------------------------------------------------


def raise_value_error(text):
    raise ValueError(text)


def raise_named(name):
    raise getattr(__builtins__, name, None) or __builtins__[name]


def recurse():
    return recurse()


def allocate(megabytes):
    return str(len(bytearray(megabytes << 20)))


def allocate_and_keep(megabytes):
    """In pages that RLIMIT_DATA does not count; writes to them."""
    import mmap

    area = mmap.mmap(-1, megabytes << 20)
    for at in range(0, megabytes << 20, 4096):
        area[at] = 1
    time.sleep(3600)


class BadText(Exception):
    def __str__(self):
        raise ValueError("no text")

    __repr__ = __str__


def raise_bad_text():
    raise BadText


class Unpicklable(Exception):
    def __reduce__(self):
        raise SystemExit("evil")


def raise_unpicklable():
    raise Unpicklable("cannot travel")


class Unloadable(Exception):
    def __init__(self, one, two):
        super().__init__("made of %s and %s" % (one, two))


def raise_unloadable():
    raise Unloadable(1, 2)


class EvilReduce:
    def __reduce__(self):
        raise KeyboardInterrupt("evil")

    def __repr__(self):
        raise SystemExit("evil too")


def give(what):
    return {
        "lock": threading.Lock, "generator": lambda: (i for i in ()), "evil": EvilReduce,
        "lambda": lambda: lambda x: x + 1, "file": lambda: sys.stdout, "frame": sys._getframe,
    }[what]()


def deep_list():
    value = []
    for _ in range(100000):
        value = [value]
    return value


def ignore_sigterm():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    while True:
        pass


def answer_on_sigterm():
    """Catches the signal and returns as if nothing had happened."""
    done = []
    signal.signal(signal.SIGTERM, lambda *_: done.append(1))
    print("ready", flush=True)
    while not done:  # a pause would sleep through a signal that came just before it
        pass
    return 1


def note_sigterm(path):
    """Shows that SIGTERM reached the function before SIGKILL."""

    def note(*_):
        with open(path, "w") as file:
            file.write("noted")
        os._exit(0)

    signal.signal(signal.SIGTERM, note)
    print("ready", flush=True)
    while True:
        pass


def collect():
    gc.collect()
    return 1


the_number = 3


def raise_large(size):
    raise ValueError("x" * size)


def children_allocate(count, megabytes):
    """None of them goes beyond the limit by itself."""
    code = "a = b'x' * (%d << 20); input()" % megabytes
    for _ in range(count):
        subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    time.sleep(3600)


def share_pages(megabytes, copies):
    """Several processes that have the same pages, long enough to be looked at."""
    data = bytearray(os.urandom(1 << 20) * megabytes)
    read, write = os.pipe()
    pids = []
    for _ in range(copies):
        pid = os.fork()
        if pid == 0:
            os.close(write)
            os.read(read, 1)
            os._exit(0)
        pids.append(pid)
    time.sleep(0.5)
    os.close(write)
    for pid in pids:
        os.waitpid(pid, 0)
    return len(data) >> 20 == megabytes and 1


def tamper():
    """Replaces what the runner itself might use."""
    import pickle
    import traceback

    pickle.dumps = pickle.loads = pickle.Pickler = None
    time.time_ns = time.perf_counter_ns = None
    traceback.format_exception = None
    os.write = os.read = os.getpid = os._exit = os.fchdir = os.dup = os.fstat = None
    signal.signal = signal.getsignal = None
    builtins.len = builtins.bytes = builtins.type = None
    return 1


def hang_afterwards():
    """Its child, when it asks for its next job."""
    def profile(_frame, event, called):
        if event == "c_call" and called.__name__ == "recv":
            time.sleep(3600)
    sys.setprofile(profile)
    return 1
