"""What every rule shares: the files of the tree, findings, and C source without comments."""

import re
import subprocess
from fnmatch import fnmatch
from pathlib import Path
from typing import Iterable, Iterator, List, NamedTuple


class Finding(NamedTuple):
    """One place that breaks a rule: where, what, and what would be right."""

    where: str
    what: str
    right: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}\n    right: {self.right}"


def tracked(root: Path, *suffixes: str) -> Iterator[str]:
    """The paths, relative to the root, of the files that git knows or would add. Without git, or
    outside of a repository (a source archive): of all that .gitignore does not name."""
    for name in sorted(set(_names_of_git(root) or _names_by_walk(root))):
        path = root / name
        if path.is_file() and (not suffixes or path.suffix in suffixes):
            yield name


def _names_of_git(root: Path) -> List[str]:
    if not (root / ".git").exists():  # a repository around it would count for nothing here
        return []
    try:
        done = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=root, capture_output=True, text=True,
        )
    except FileNotFoundError:
        return []
    return done.stdout.split("\0")[:-1] if done.returncode == 0 else []


def _names_by_walk(root: Path) -> Iterator[str]:
    ignore = root / ".gitignore"
    lines = ignore.read_text(encoding="utf-8").split() if ignore.exists() else []
    patterns = [line for line in lines if line[0] not in "#!"]
    folders = [root]
    while folders:
        for path in folders.pop().iterdir():
            name = path.relative_to(root).as_posix()
            if path.name == ".git" or _is_ignored(name, patterns):
                continue
            if path.is_dir() and not path.is_symlink():
                folders.append(path)
            else:
                yield name


def _is_ignored(name: str, patterns: Iterable[str]) -> bool:
    """Whether .gitignore names it: from the root with a leading slash, otherwise anywhere."""
    return any(
        fnmatch("/" + name if pattern[0] == "/" else name.rpartition("/")[2], pattern.rstrip("/"))
        for pattern in patterns
    )


def text_of(root: Path, name: str) -> str:
    return (root / name).read_text(encoding="utf-8")


_TOKEN = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""", re.DOTALL
)


def without_comments(source: str) -> str:
    """C source with comments and the insides of strings blanked; lines keep their numbers."""

    def blank(match: "re.Match[str]") -> str:
        token = match.group()
        if token[0] == "/":
            return re.sub(r"[^\n]", " ", token)
        return token[0] + re.sub(r"[^\n]", " ", token[1:-1]) + token[-1]

    return _TOKEN.sub(blank, source)


class Function(NamedTuple):
    name: str
    line: int
    length: int


_NAME_BEFORE_PARENTHESIS = re.compile(r"([A-Za-z_]\w*)\s*\(")


def c_functions(source: str) -> Iterator[Function]:
    """The functions defined in a C source in our format: their braces stand in column 0."""
    lines = without_comments(source).split("\n")
    start = 0  # the first line behind the last thing that ended
    for at, line in enumerate(lines):
        if line == "{":
            head = " ".join(lines[start:at])
            names = [n for n in _NAME_BEFORE_PARENTHESIS.findall(head)
                     if n not in ("FH_PRINTF", "__attribute__", "__attribute")]
            if names:
                end = next((i for i in range(at, len(lines)) if lines[i] == "}"), at)
                first = next((i for i in range(start, at + 1) if names[0] in lines[i]), at)
                yield Function(names[0], first + 1, end - first + 1)
        if line.startswith(("}", "#")) or line.endswith(";"):
            start = at + 1
