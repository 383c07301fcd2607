"""What the tests send: a module of the user's own, as the SDK sees it."""

import os
import threading


class Trouble(Exception):
    def __init__(self, one, two="two"):
        super().__init__(one, two)
        self.one, self.two = one, two


class Unloadable(Exception):
    """An exception that pickles and cannot be rebuilt from its pickle."""

    def __init__(self, one, *, two):
        super().__init__(one)


class Opens:
    """Its pickle cannot be loaded."""

    def __reduce__(self):
        return fail_to_load, ()


class Counter:
    """Something with a state that changes between two calls."""

    def __init__(self, value):
        self.value = value

    def get(self):
        return self.value

    def __call__(self, more):
        return self.value + more


def fail_to_load():
    raise RuntimeError("it does not load")


def add(a, b=10, *, c=0):
    return a + b + c


def named(self, fn, function_id="none"):
    return self, fn, function_id


def trouble(*args):
    raise Trouble(*args)


class TwoArguments(Exception):
    """What pickle remembers of it, its args, is one argument too few for it."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def two_arguments():
    raise TwoArguments(1, 2)


def raise_runtime_error():
    raise RuntimeError("as it is")


def unloadable():
    raise Unloadable("one", two="two")


def opens():
    return Opens()


def lock():
    return threading.Lock()


def generator():
    return (n for n in range(3))


def touch_and_wait(path, end):
    """Runs until there is a file of that name."""
    open(path, "w").close()
    while not os.path.exists(end):
        pass
    return "done"


def say(text):
    print(text)
    return os.getpid()
