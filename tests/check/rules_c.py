"""The rules for C: layers, banned calls, sizes, format, headers, warnings, linter."""

import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, Iterator, List, Set

from findings import Finding, c_functions, text_of, tracked, without_comments

# ---- layers ---------------------------------------------------------------------------------

# string.h is not in C's list of freestanding headers, but memcpy and its kin are pure, and a
# freestanding gcc emits calls to them anyway; inttypes.h is macros only.
FREESTANDING = {
    "float.h", "inttypes.h", "limits.h", "stdalign.h", "stdarg.h", "stdatomic.h", "stdbool.h",
    "stddef.h", "stdint.h", "stdnoreturn.h", "string.h",
}

# Which folders of ours each folder may include.
LAYERS: Dict[str, Set[str]] = {
    "base": {"base"},
    "wire": {"base", "wire"},
    "core": {"base", "wire", "core"},
    "worker": {"base", "wire", "worker"},
    "store": {"base", "store"},
    "transport": {"base", "wire", "transport"},
    "http": {"base", "http", "farhand"},
    "runner": {"base", "runner"},
    "dispatch": {"base", "wire", "core", "store", "transport", "http", "dispatch", "farhand"},
    "agent": {"base", "wire", "worker", "transport", "runner", "agent"},
    "app": {"base", "wire", "core", "store", "transport", "http", "worker", "runner", "agent",
            "dispatch", "cli", "app", "farhand"},
    "cli": {"base", "cli", "farhand"},
}
PURE = {"wire", "core", "worker"}  # no system call, no clock, no chance

_INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.MULTILINE)


def layers(root: Path) -> Iterator[Finding]:
    """The folders under src/ include each other only downwards."""
    for name in tracked(root, ".c", ".h"):
        parts = name.split("/")
        if parts[0] != "src" or len(parts) < 3:
            continue
        folder = parts[1]
        if folder not in LAYERS:
            yield Finding(name, f"the folder src/{folder} has no layer",
                          "give it a row in LAYERS in tests/check/rules_c.py")
            continue
        source = text_of(root, name)
        for match in _INCLUDE.finditer(source):
            where = f"{name}:{source[:match.start()].count(chr(10)) + 1}"
            kind, target = match.groups()
            if kind == "<" and folder in PURE and target not in FREESTANDING:
                yield Finding(where, f"src/{folder} includes <{target}>",
                              f"src/{folder} is pure: freestanding headers only; what needs the "
                              "system belongs to dispatch or agent")
            if kind != '"':
                continue
            owner = target.split("/")[0] if "/" in target else folder
            if owner not in LAYERS[folder]:
                yield Finding(where, f'src/{folder} includes "{target}"',
                              f"src/{folder} sees only: {', '.join(sorted(LAYERS[folder]))}; "
                              "dispatch, agent and app join the others")


# ---- banned calls ---------------------------------------------------------------------------

_ALWAYS = {
    "strcpy": "snprintf, or memcpy with the length checked",
    "strcat": "snprintf with the size of the buffer",
    "sprintf": "snprintf",
    "vsprintf": "vsnprintf",
    "strtok": "strcspn, or strtok_r on a copy of our own",
    "gets": "fgets",
    "atoi": "strtol with the end and the range checked",
    "atol": "strtol with the end and the range checked",
    "system": "posix_spawn",
    "popen": "posix_spawn",
    "alloca": "fh_malloc, or an array of fixed size",
    "assert": "FH_ASSERT of base/assert.h, which is always on",
}
_MEMORY = {
    "malloc": "fh_malloc", "calloc": "fh_calloc", "realloc": "fh_realloc", "free": "fh_free",
    "strdup": "fh_strdup", "strndup": "fh_malloc and memcpy",
}
_PRINTING = {
    call: "return an error with its line in a struct fh_err; dispatch, agent and app print"
    for call in ("printf", "fprintf", "vprintf", "vfprintf", "puts", "fputs", "perror")
}
_SLEEPING = {
    call: "wait for the condition itself, or move the clock"
    for call in ("sleep", "usleep", "nanosleep")
}

_CALL = re.compile(r"(?<![\w.>])([a-z_]+)\s*\(")


def _banned_in(name: str) -> Dict[str, str]:
    banned = dict(_ALWAYS)
    parts = name.split("/")
    if parts[0] == "src":
        if name != "src/base/mem.c":
            banned.update(_MEMORY)
        if parts[1] not in ("app", "cli", "dispatch", "agent") and name != "src/base/assert.c":
            banned.update(_PRINTING)
    if parts[0] in ("src", "tests"):
        banned.update(_SLEEPING)
    return banned


def banned_calls(root: Path) -> Iterator[Finding]:
    """No call that overflows, hides memory from the tests, prints from a library or sleeps."""
    for name in tracked(root, ".c", ".h"):
        if not name.startswith(("src/", "tests/", "include/")):
            continue
        banned = _banned_in(name)
        for number, line in enumerate(without_comments(text_of(root, name)).split("\n"), 1):
            for call in _CALL.findall(line):
                if call in banned:
                    yield Finding(f"{name}:{number}", f"calls {call}()", banned[call])


# ---- sizes ----------------------------------------------------------------------------------

FILE_LINES_WARN, FILE_LINES_MAX, FUNCTION_LINES_MAX = 400, 800, 70
RATCHET = "tests/check/long_functions.txt"


def recorded_lengths(root: Path) -> Dict[str, int]:
    """The long functions that are known: "path:function" -> the length it may have at most."""
    path = root / RATCHET
    if not path.exists():
        return {}
    rows = (line.split() for line in path.read_text().splitlines()
            if line.strip() and not line.startswith("#"))
    return {place: int(length) for place, length in rows}


def sizes(root: Path) -> Iterator[Finding]:
    """Files and functions stay small; a recorded exception may shrink, never grow."""
    recorded = recorded_lengths(root)
    for name in tracked(root, ".c", ".h"):
        source = text_of(root, name)
        lines = source.count("\n")
        if lines > FILE_LINES_MAX:
            yield Finding(name, f"{lines} lines", f"at most {FILE_LINES_MAX}: split it")
        elif lines > FILE_LINES_WARN:
            print(f"    note: {name} has {lines} lines (aim: at most {FILE_LINES_WARN})")
        for function in c_functions(source):
            place = f"{name}:{function.name}"
            allowed = recorded.pop(place, None)
            where = f"{name}:{function.line}"
            if allowed is not None and function.length < allowed:
                yield Finding(where, f"{function.name}() has shrunk to {function.length} lines",
                              f"write {function.length} into {RATCHET}, or take its row out")
            elif function.length > (allowed or FUNCTION_LINES_MAX):
                yield Finding(where, f"{function.name}() has {function.length} lines",
                              f"at most {allowed or FUNCTION_LINES_MAX}: split it")
    for place in recorded:
        yield Finding(RATCHET, f"names {place}, which is not there", "take the row out")


# ---- tools ----------------------------------------------------------------------------------

JOBS = os.cpu_count() or 1


def clang_format(root: Path) -> Iterator[Finding]:
    """Every C file is as clang-format writes it."""
    names = list(tracked(root, ".c", ".h"))
    if not names:
        return
    done = subprocess.run(["clang-format", "--dry-run", "-Werror", "--style=file", *names],
                          cwd=root, capture_output=True, text=True)
    wrong = sorted(set(re.findall(r"^([^:\n]+:\d+):\d+: error", done.stderr, re.MULTILINE)))
    seen: Set[str] = set()
    for where in wrong:
        name = where.rsplit(":", 1)[0]
        if name not in seen:
            seen.add(name)
            yield Finding(where, "not formatted", f"clang-format -i {name}")
    if done.returncode and not wrong:
        yield Finding("clang-format", done.stderr.strip()[:500], "a clang-format that runs")


def _meson(root: Path, folder: Path, compiler: str) -> None:
    """A build folder with all warnings as errors, and as the meson.build files are now."""
    if (folder / "build.ninja").exists():
        subprocess.run(["ninja", "-C", str(folder), "build.ninja"], check=True,
                       stdout=subprocess.DEVNULL)
    else:
        subprocess.run(["meson", "setup", "-Dwerror=true", "--buildtype=plain", str(folder)],
                       cwd=root, check=True, stdout=subprocess.DEVNULL,
                       env={**os.environ, "CC": compiler})


def _warnings(root: Path, compiler: str) -> Iterator[Finding]:
    folder = root / "build" / f"check-{compiler}"
    try:
        _meson(root, folder, compiler)
    except subprocess.CalledProcessError:
        yield Finding("meson.build", f"meson cannot configure with {compiler}", "see above")
        return
    done = subprocess.run(["ninja", "-k", "0", "-C", str(folder)],
                          capture_output=True, text=True)
    for line in done.stdout.splitlines():
        match = re.match(r"(?:\.\./)*(\S+:\d+):\d+: (?:fatal )?error: (.*)", line)
        if match:
            yield Finding(match[1], match[2], f"code that {compiler} has nothing to say about")
    if done.returncode and ": error: " not in done.stdout and "fatal error" not in done.stdout:
        yield Finding("build", "\n".join(done.stdout.splitlines()[-15:]), "a build that works")


def warnings_gcc(root: Path) -> Iterator[Finding]:
    """gcc has no warning."""
    return _warnings(root, "gcc")


def warnings_clang(root: Path) -> Iterator[Finding]:
    """clang has no warning."""
    return _warnings(root, "clang")


def _dependency_flags() -> List[str]:
    done = subprocess.run(
        ["pkg-config", "--cflags", "libevent_core", "jansson", "libcurl", "sqlite3", "libcrypto"],
        capture_output=True, text=True)
    return shlex.split(done.stdout)


def headers(root: Path) -> Iterator[Finding]:
    """Every header compiles alone, so it may be included anywhere and first."""
    generated = root / "build" / "check-headers" / "farhand"
    generated.mkdir(parents=True, exist_ok=True)
    (generated / "version.h").write_text('#define FH_VERSION "0"\n')
    flags = ["-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-fsyntax-only",
             "-Isrc", "-Iinclude", f"-I{generated.parent}", *_dependency_flags()]

    def alone(name: str) -> str:
        return subprocess.run(["gcc", *flags, "-x", "c", "-"], input=f'#include "{root / name}"\n',
                              cwd=root, capture_output=True, text=True).stderr

    names = [n for n in tracked(root, ".h") if n.startswith(("src/", "include/", "tests/"))]
    with ThreadPoolExecutor(JOBS) as pool:
        for name, complaint in zip(names, pool.map(alone, names)):
            error = re.search(r"error: (.*)", complaint)
            if error:
                yield Finding(name, f"does not compile alone: {error[1]}",
                              "include or declare what it uses")


def clang_tidy(root: Path) -> Iterator[Finding]:
    """clang-tidy finds nothing (its configuration: .clang-tidy)."""
    folder = root / "build" / "check-clang"
    try:
        _meson(root, folder, "clang")
    except subprocess.CalledProcessError:
        yield Finding("meson.build", "meson cannot configure with clang", "see above")
        return

    def complaints(name: str) -> str:
        return subprocess.run(["clang-tidy", "--quiet", "-p", str(folder), name], cwd=root,
                              capture_output=True, text=True).stdout

    names = [n for n in tracked(root, ".c") if n.startswith("src/") and _is_built(folder, n)]
    seen: Set[str] = set()
    with ThreadPoolExecutor(JOBS) as pool:
        for output in pool.map(complaints, names):
            for place, what in re.findall(r"^(\S+:\d+):\d+: error: (.*)$", output, re.MULTILINE):
                where = os.path.relpath(place, root)
                if f"{where} {what}" not in seen:
                    seen.add(f"{where} {what}")
                    yield Finding(where, what, "code that clang-tidy is content with, or "
                                  "NOLINTNEXTLINE(name) with the reason")


def _is_built(folder: Path, name: str) -> bool:
    return f"/{name}\"" in (folder / "compile_commands.json").read_text()
