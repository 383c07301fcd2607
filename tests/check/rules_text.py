"""The rules for everything else: links, the walk through the code, places, Python."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Iterator, Set

from findings import Finding, c_functions, text_of, tracked

# ---- links ----------------------------------------------------------------------------------

_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def _anchor(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower().replace("`", ""))
    return kept.replace(" ", "-")


def _anchors(markdown: str) -> Set[str]:
    return {_anchor(h) for h in re.findall(r"^#+\s+(.*)$", _FENCE.sub("", markdown), re.MULTILINE)}


def _blank(match: "re.Match[str]") -> str:
    return re.sub(r"[^\n]", " ", match.group())


def links(root: Path) -> Iterator[Finding]:
    """Every relative link in a Markdown file leads to a file, and to a heading in it."""
    for name in tracked(root, ".md"):
        text = text_of(root, name)
        prose = re.sub(r"`[^`\n]*`", _blank, _FENCE.sub(_blank, text))
        for match in _LINK.finditer(prose):
            target, _, anchor = match[1].partition("#")
            where = f"{name}:{prose[:match.start()].count(chr(10)) + 1}"
            if re.match(r"[a-z]+:", match[1]):
                continue
            path = (root / name).parent / target if target else root / name
            if not path.exists():
                yield Finding(where, f"links to {match[1]}", "a path that exists")
            elif anchor and path.suffix == ".md":
                headings = _anchors(path.read_text(encoding="utf-8"))
                if anchor not in headings:
                    yield Finding(where, f"links to {match[1]}",
                                  f"a heading of {path.name}: {', '.join(sorted(headings))}")


# ---- the walk through the code --------------------------------------------------------------

WALK = "docs/life-of-a-task.md"
_CODE = re.compile(r"`([^`\n]+)`")
_FILE = re.compile(r"[\w./-]+/[\w.-]+\.(?:c|h|py)")
_CALL = re.compile(r"([A-Za-z_][\w.]*)\(\)")


def _definitions(root: Path) -> Set[str]:
    """The names of all functions of ours: C, macros with arguments, calls in a table, Python."""
    names: Set[str] = set()
    for name in tracked(root, ".c", ".h"):
        source = text_of(root, name)
        names.update(f.name for f in c_functions(source))
        names.update(re.findall(r"^#define (\w+)\(", source, re.MULTILINE))
        names.update(re.findall(r"\(\*(\w+)\)\(", source))
    for name in tracked(root, ".py"):
        for node in ast.walk(ast.parse(text_of(root, name))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names.add(node.name)
    return names


def walk(root: Path) -> Iterator[Finding]:
    """Every file and function that docs/life-of-a-task.md names is there."""
    if not (root / WALK).exists():
        yield Finding(WALK, "is not there", "the way of a task, with file and function names")
        return
    defined = _definitions(root)
    for number, line in enumerate(text_of(root, WALK).split("\n"), 1):
        for code in _CODE.findall(line):
            for path in _FILE.findall(code):
                if not (root / path).is_file():
                    yield Finding(f"{WALK}:{number}", f"names the file {path}",
                                  "the path of the file as it is today")
            for call in _CALL.findall(code):
                if call.split(".")[-1] not in defined:
                    yield Finding(f"{WALK}:{number}", f"names the function {call}()",
                                  "the name of the function as it is today")


# ---- problems -------------------------------------------------------------------------------

PROBLEMS, PROBLEMS_PAGE = "src/http/problem.h", "docs/problems.md"
_PROBLEM = re.compile(r'X\(\w+, (\d{3}), "(\w+)",')


def problems(root: Path) -> Iterator[Finding]:
    """Every error of the gateway has an entry, with its status, on the page where it points."""
    if not (root / PROBLEMS).exists():
        return
    page = text_of(root, PROBLEMS_PAGE) if (root / PROBLEMS_PAGE).exists() else ""
    entries = dict(re.findall(r"^## (\w+)\n\n(\d{3})\. ", page, re.MULTILINE))
    codes = {code: status for status, code in _PROBLEM.findall(text_of(root, PROBLEMS))}
    for code, status in codes.items():
        if entries.get(code) != status:
            yield Finding(PROBLEMS_PAGE, f"has no entry for {code}",
                          f"a heading '## {code}' and text that begins '{status}. '")
    for heading in re.findall(r"^## (.*)$", page, re.MULTILINE):
        if heading not in codes:
            yield Finding(PROBLEMS_PAGE, f"explains {heading}", f"a code of {PROBLEMS}")


# ---- places ---------------------------------------------------------------------------------

# Written so that this file does not break its own rule.
_PLACES = [
    (re.compile(r"/(?:home/[a-z]|roo[t]/|User[s]/)"), "a home folder", "a relative path"),
    (re.compile(r"/tmp/buil[d]"), "a folder of one machine", "build/"),
    (re.compile(r"py[p]i\.org|pythonhoste[d]\.org|crate[s]\.io|registry\.npmj[s]|"
                r"proxy\.golan[g]\.org|maven\.or[g]|deb\.debia[n]\.org"),
     "the host of a package registry", "the name of the package alone"),
]
_BINARY = {".png", ".ico", ".db"}


def places(root: Path) -> Iterator[Finding]:
    """No file names a place of one machine or the host of a package registry."""
    here = str(root.resolve())
    for name in tracked(root):
        if Path(name).suffix in _BINARY or "/corpus/" in name:
            continue
        try:
            text = text_of(root, name)
        except UnicodeDecodeError:
            yield Finding(name, "is not UTF-8 text", "text, or a suffix in _BINARY")
            continue
        for number, line in enumerate(text.split("\n"), 1):
            for pattern, what, right in _PLACES:
                if pattern.search(line):
                    yield Finding(f"{name}:{number}", f"names {what}", right)
            if here in line:
                yield Finding(f"{name}:{number}", "names the folder of this checkout",
                              "a relative path")


# ---- Python ---------------------------------------------------------------------------------

FILE_LINES_MAX, FUNCTION_LINES_MAX = 800, 70


def python_compiles(root: Path) -> Iterator[Finding]:
    """Every Python file compiles, in files and functions of a size that one can read."""
    for name in tracked(root, ".py"):
        source = text_of(root, name)
        try:
            tree = ast.parse(source, name)
        except SyntaxError as error:
            yield Finding(f"{name}:{error.lineno}", str(error.msg), "Python 3.9 and newer")
            continue
        if source.count("\n") > FILE_LINES_MAX:
            yield Finding(name, f"{source.count(chr(10))} lines",
                          f"at most {FILE_LINES_MAX}: split it")
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                if length > FUNCTION_LINES_MAX:
                    yield Finding(f"{name}:{node.lineno}", f"{node.name}() has {length} lines",
                                  f"at most {FUNCTION_LINES_MAX}: split it")


def _is_test(function: ast.AST) -> bool:
    return isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)) and (
        function.name.startswith("test_")
        or any("fixture" in ast.unparse(d) for d in function.decorator_list))


def python_sleeps(root: Path) -> Iterator[Finding]:
    """No test sleeps: a function that is sent to a server may, and so may a helper that polls."""
    for name in tracked(root, ".py"):
        if not (name.startswith("tests/") or "/tests/" in name):
            continue
        tree = ast.parse(text_of(root, name))
        owner = {}
        for node in ast.walk(tree):
            for child in ast.iter_child_nodes(node):
                is_scope = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
                owner[child] = node if is_scope else owner.get(node)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                    "time.sleep", "sleep", "asyncio.sleep"):
                function = owner.get(node)
                if function is None or _is_test(function):
                    yield Finding(f"{name}:{node.lineno}", "a test sleeps",
                                  "wait for the condition, with a time limit")


def ruff(root: Path) -> Iterator[Finding]:
    """ruff finds nothing (its configuration: ruff.toml)."""
    names = list(tracked(root, ".py"))
    if not names:
        return
    done = subprocess.run([str(Path(sys.executable).with_name("ruff")), "check", "--quiet",
                           "--no-cache", "--output-format=concise", *names],
                          cwd=root, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        match = re.match(r"(\S+:\d+):\d+: (.*)", line)
        if match:
            yield Finding(match[1], match[2], "see `ruff rule` with the code")
    if done.returncode > 1:
        yield Finding("ruff", done.stderr.strip()[:500], "a ruff that runs")


def mypy(root: Path) -> Iterator[Finding]:
    """The types of the SDK agree (mypy, strict; its configuration: python/pyproject.toml)."""
    cache = root / "build" / "check-mypy"
    done = subprocess.run([str(Path(sys.executable).with_name("mypy")), "--no-error-summary",
                           "--cache-dir", str(cache)],
                          cwd=root / "python", capture_output=True, text=True)
    for line in done.stdout.splitlines():
        match = re.match(r"(\S+:\d+): error: (.*)", line)
        if match:
            yield Finding(f"python/{match[1]}", match[2], "types that mypy can follow")
    if done.returncode > 1:
        yield Finding("mypy", done.stderr.strip()[:500], "a mypy that runs")


def shell_parses(root: Path) -> Iterator[Finding]:
    """Every script parses and stops at the first error."""
    for name in tracked(root):
        text = (root / name).read_bytes()[:2000]
        if not (text.startswith(b"#!") and b"bash" in text.split(b"\n")[0]):
            continue
        done = subprocess.run(["bash", "-n", name], cwd=root, capture_output=True, text=True)
        if done.returncode:
            yield Finding(name, done.stderr.strip(), "a script that bash can parse")
        if b"set -euo pipefail" not in text and b"/lib.sh" not in text:
            yield Finding(name, "goes on after an error", "set -euo pipefail, or source lib.sh")
