"""A child of the template: it runs the jobs of one slot, one after the other.

It reads one message a job from its socket, runs it, and answers with one message; the other side of
the formats is src/runner/frame.h.
"""

import ctypes
import os
import pickle
import resource
import socket
import struct
import time

from .runner_objects import (
    DONE, EXCEPTION, MEMORY, UNDECODABLE, UNSERIALISABLE, dump_by_force, explain, load_call,
    load_function, own_view, too_large,
)
from .runner_surroundings import LEAVING, NOTHING, SLOW_NS, Surroundings

# ---- formats -----------------------------------------------------------------------------------

# Job socket. To the child: kind, flags, function's place, length of the retry classes, job, memory
# limit (of a function: its serialiser), function's version; then the retry classes and the pickle.
# From the child, in the same form: HELLO, STARTED (with the resident bytes that it began with),
# GIVEN_BACK (1: and the child ends).
FRAME = struct.Struct("=BBHIQQQ")
FUNCTION, JOB = 1, 2
HELLO, STARTED, RESULT, GIVEN_BACK = 3, 4, 5, 6
ANNOUNCE, IN_FILE, LAST = 1, 2, 4  # flags; IN_FILE: a region of the file instead of the pickle
FD = struct.Struct("=i")
REGION = struct.Struct("=QQ")  # offset, length
# kind, reason, flags, length of error type, job, started (Unix ms), microseconds of decoding,
# running and encoding, length of message, of value, of traceback, of stdout, of stderr.
ANSWER = struct.Struct("=BBHIQqIIIIQIIIxxxx")
PLAIN = struct.Struct("=BBHIQqIIIIQ16x")  # the same for a short success that printed nothing
RETRY_MATCH = 1  # a flag of an answer; the others are of the surroundings

INLINE_MAX = 64 * 1024  # a longer message travels in a memory file
MESSAGE_MAX = INLINE_MAX + 4096
PLAIN_MAX = INLINE_MAX - ANSWER.size
FUNCTIONS_MAX = 64
TIME_MAX_US = 0xFFFFFFFF  # that an answer can tell: 71 minutes

_libc = ctypes.CDLL(None, use_errno=True)

# What a job changes in these modules is its own affair.
os, resource = own_view(os), own_view(resource)
clock, time_ns, dumps = time.perf_counter_ns, time.time_ns, pickle.dumps

# ---- memory ------------------------------------------------------------------------------------


def memory_file():
    """A new file in memory. Some builds of Python lack the call although the C library has it."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("farhand")
    fd = _libc.memfd_create(b"farhand", 1)  # MFD_CLOEXEC
    if fd < 0:
        raise OSError(ctypes.get_errno(), "memfd_create failed")
    return fd


def read_region(fd, offset, size):
    """Bytes of a file in memory."""
    data = os.pread(fd, size, offset)
    while len(data) < size:  # one call gives at most 2 GiB
        more = os.pread(fd, size - len(data), offset + len(data))
        if not more:
            raise EOFError
        data += more
    return data


def memory_pages(column):
    with open("/proc/self/statm") as file:
        return int(file.read().split()[column]) * resource.getpagesize()


def resident_bytes():
    return memory_pages(1)


def limit_memory(allowed):
    """Lets the process grow by so many bytes; returns the limits to go back to. RLIMIT_DATA counts
    what can be written to; RLIMIT_AS would count what libraries only reserve as well."""
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    size, hard = memory_pages(5) + allowed, limits[1]
    resource.setrlimit(resource.RLIMIT_DATA, (size if hard < 0 else min(size, hard), hard))
    return limits


def restore_memory(limits):
    try:
        resource.setrlimit(resource.RLIMIT_DATA, limits)
    except (OSError, ValueError):  # the job has lowered the hard limit, which has been noticed
        pass


# ---- the child ---------------------------------------------------------------------------------


class Child:
    """Runs the jobs of one slot, one after the other."""

    def __init__(self, channel, file, pipes, result_max, log_max):
        self.channel, self.file = channel, file
        self.result_max = result_max
        self.functions = [None] * FUNCTIONS_MAX  # callables; bytes until the first use
        self.versions = [0] * FUNCTIONS_MAX
        self.serialisers = [0] * FUNCTIONS_MAX
        self.surroundings = Surroundings(pipes, log_max)
        self.pid = os.getpid()

    def serve(self):
        """Until the worker is gone, or the child is to be replaced."""
        self.say(HELLO, 0)
        receive, handle = self.channel.recv, self.handle
        while True:
            message = receive(MESSAGE_MAX)
            if not message or handle(message):
                return

    def say(self, kind, job, value=0):
        self.channel.send(FRAME.pack(kind, 0, 0, 0, job, value, 0))

    def handle(self, message):
        """One message. True: the child is to end."""
        kind, flags, place, names, job, memory, version = FRAME.unpack_from(message)
        body = message[FRAME.size + names :]
        if flags & IN_FILE:
            try:
                body = read_region(self.file, *REGION.unpack(body))
            except (OSError, EOFError):  # an earlier job has closed or replaced the file
                self.say(GIVEN_BACK, job, 1)
                return True
        if kind == FUNCTION:
            self.functions[place], self.versions[place] = body, version
            self.serialisers[place] = memory
            return False
        if self.versions[place] != version:  # the worker has taken back what came before
            self.say(GIVEN_BACK, job)
            return False
        started = time_ns() // 1_000_000
        classes = message[FRAME.size : FRAME.size + names] if names else b""
        limits = limit_memory(memory) if memory else None
        announced = (job, resident_bytes() if memory else 0) if flags & ANNOUNCE else None
        begun = clock()
        data, failure, decoded, ran = self.run(place, body, classes, limits, announced)
        ended = clock()
        if limits:
            restore_memory(limits)
        output = self.surroundings.settle(failure is not None, begun, ended)
        # Memory that ran out in the middle of an import leaves half a module.
        leaving = flags & LAST or failure is not None and failure[0] == MEMORY
        kept = output[2] | LEAVING if leaving else output[2]
        times = decoded - begun, ran - decoded, ended - ran
        if failure is not None:
            self.answer(kept, job, started, times, output, *failure)
        elif output is NOTHING and len(data) <= PLAIN_MAX and ended - begun < SLOW_NS:
            self.channel.send(PLAIN.pack(
                RESULT, DONE, kept, 0, job, started, times[0] // 1000, times[1] // 1000,
                times[2] // 1000, 0, len(data)) + data)
        else:
            self.answer(kept, job, started, times, output, DONE, data)
        return kept & LEAVING

    def run(self, place, body, classes, limits, announced):
        """Returns the pickled result or what explain() says, and when the arguments were decoded
        and the function had returned."""
        data, failure, decoded, ran = b"", None, 0, 0
        try:
            stage = UNDECODABLE
            function = self.functions[place]
            if type(function) is bytes:
                function = self.functions[place] = load_function(function)
            args, kwargs = load_call(body)
            if announced:
                self.say(STARTED, *announced)
            decoded, stage = clock(), EXCEPTION
            value = function(*args, **kwargs)
            ran, stage = clock(), UNSERIALISABLE
            try:
                data = dumps(value, 5)
            except BaseException as error:
                data = dump_by_force(value, error, self.serialisers[place])
            if len(data) > self.result_max:
                failure = too_large(len(data), self.result_max)
        except BaseException as error:
            if limits:
                restore_memory(limits)
            ran = ran or clock()
            self.surroundings.put_back_modules()  # for pickling and for tracebacks
            failure = explain(stage, error, classes, self.result_max,
                              self.serialisers[place])
        if self.surroundings.noticed and os.getpid() != self.pid:
            os._exit(0 if failure is None else 1)  # a copy that it forked: the parent answers
        return data, failure, decoded or ran, ran

    def answer(self, flags, job, started, times, output, reason, value,
               error_type=b"", text=b"", trace=b"", match=False):
        """Sends the one result message of a job."""
        if match:
            flags |= RETRY_MATCH
        out, err, _ = output
        decoding, running, encoding = (min(part // 1000, TIME_MAX_US) for part in times)
        head = ANSWER.pack(
            RESULT, reason, flags, len(error_type), job, started, decoding, running, encoding,
            len(text), len(value), len(trace), len(out), len(err))
        sections = (value, error_type, text, trace, out, err)
        if sum(map(len, sections)) <= PLAIN_MAX:
            self.channel.send(head + b"".join(sections))
            return
        fd = memory_file()
        for section in sections:
            view = memoryview(section)
            while view:
                view = view[os.write(fd, view) :]
        rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, FD.pack(fd))
        self.channel.sendmsg([head], [rights])
        os.close(fd)
