"""The functions of the runner's tests. They do what a user's function may do, by mistake or malice."""

import os
import signal
import sys


def add(a, b):
    return a + b


def exit_process(status):
    os._exit(status)


def segfault():
    os.kill(os.getpid(), signal.SIGSEGV)


def raise_value_error(text):
    raise ValueError(text)


def say(text):
    print(text)
    print(text + " to stderr", file=sys.stderr)
    return 1
