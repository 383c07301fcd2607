"""The rules themselves: each sees the violation that it is there for, and lets good code pass.

A small tree with every kind of file is made; it keeps all rules. Then one file at a time is spoilt.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import check  # noqa: E402
from findings import c_functions, tracked, without_comments  # noqa: E402

PROJECT = Path(__file__).parents[2]

GOOD = {
    "meson.build": (
        "project('small', 'c', default_options: ['c_std=gnu11', 'warning_level=3'])\n"
        "add_project_arguments('-Wmissing-prototypes', language: 'c')\n"
        "static_library('core', 'src/core/step.c',"
        " include_directories: include_directories('src'))\n"
    ),
    "src/base/mem.h": (
        "/* Memory. */\n#ifndef MEM_H\n#define MEM_H\n#include <stddef.h>\n\n"
        "void *fh_malloc(size_t size);\n\n#endif\n"
    ),
    "src/core/step.h": (
        "/* One step. */\n#ifndef STEP_H\n#define STEP_H\n\nint core_step(int event);\n\n#endif\n"
    ),
    "src/core/step.c": (
        '#include "core/step.h"\n\n#include <string.h>\n\n#include "base/mem.h"\n\n'
        '/* free(p) and "system(x)" are only words here. */\n'
        "int core_step(int event)\n{\n\treturn event + 1;\n}\n"
    ),
    "docs/life-of-a-task.md": (
        "# Life\n\n`src/core/step.c` decides in `core_step()`; `client.py` calls `submit()`.\n"
        "See [there](other.md#a-heading).\n"
    ),
    "src/http/problem.h": (
        "/* Errors. */\n#ifndef PROBLEM_H\n#define PROBLEM_H\n\n"
        '#define PROBLEMS(X) X(GONE, 410, "gone", "It is gone")\n\n#endif\n'
    ),
    "docs/problems.md": "# Problems\n\n## gone\n\n410. It was there.\n",
    "docs/other.md": "# Other\n\n## A heading\n\n[up](life-of-a-task.md)\n",
    "python/client.py": '"""A client."""\n\n\ndef submit(x: int) -> int:\n    return x\n',
    "python/pyproject.toml": '[tool.mypy]\nstrict = true\nfiles = ["client.py"]\n',
    "tests/test_client.py": (
        "import time\n\n\ndef test_submit():\n    def task():\n        time.sleep(1)\n\n"
        "    assert task\n"
    ),
    "script/run": "#!/usr/bin/env bash\nset -euo pipefail\necho run\n",
}

LONG = "int core_step(int event)\n{\n" + "\tevent++;\n" * 70 + "\treturn event;\n}\n"
STEP = '#include "core/step.h"\n\n'

# rule, file, its spoilt content, what the finding must say
SPOILT = [
    ("layers", "src/core/step.c", STEP + "#include <time.h>\n", "<time.h>"),
    ("layers", "src/core/step.c", '#include "store/store.h"\n', "store/store.h"),
    ("layers", "src/http/route.c", '#include "runner/runner.h"\n', "runner/runner.h"),
    ("layers", "src/new/thing.c", "int x;\n", "has no layer"),
    ("banned", "src/core/step.c", "void f(char *a)\n{\n\tstrcpy(a, a);\n}\n", "strcpy()"),
    ("banned", "src/core/step.c", "void f(void *a)\n{\n\tfree(a);\n}\n", "free()"),
    ("banned", "src/core/step.c", 'void f(void)\n{\n\tprintf("x");\n}\n', "printf()"),
    ("banned", "src/core/step.c", "void f(int a)\n{\n\tassert(a);\n}\n", "assert()"),
    ("banned", "src/core/step.c", 'void f(void)\n{\n\tsystem("x");\n}\n', "system()"),
    ("banned", "tests/unit/test_x.c", "void f(void)\n{\n\tusleep(1);\n}\n", "usleep()"),
    ("sizes", "src/core/step.c", STEP + LONG, "74 lines"),
    ("sizes", "src/core/step.c", "int x;\n" * 801, "801 lines"),
    ("sizes", "tests/check/long_functions.txt", "src/core/gone.c:gone 90\n", "not there"),
    ("sizes", "tests/check/long_functions.txt", "src/core/step.c:core_step 90\n", "shrunk"),
    ("headers", "src/core/step.h", "int core_step(size_t n);\n", "does not compile alone"),
    ("format", "src/core/step.c", "int  x ;\n", "not formatted"),
    ("walk", "docs/life-of-a-task.md", "`src/core/gone.c`\n", "src/core/gone.c"),
    ("walk", "docs/life-of-a-task.md", "It calls `core_gone()`.\n", "core_gone()"),
    ("links", "docs/other.md", "[gone](gone.md)\n", "gone.md"),
    ("links", "docs/life-of-a-task.md", "[x](other.md#no-such)\n", "#no-such"),
    ("problems", "docs/problems.md", "# Problems\n\n## gone\n\n404. It was there.\n", "gone"),
    ("problems", "docs/problems.md", "# Problems\n", "no entry for gone"),
    ("problems", "docs/problems.md",
     "## gone\n\n410. It was.\n\n## more\n\n410. It was.\n", "explains more"),
    ("places", "docs/other.md", "in " + "/home" + "/ada/farhand\n", "home folder"),
    ("places", "docs/other.md", "from " + "py" + "pi.org\n", "registry"),
    ("python", "python/client.py", "def f(:\n", ":1"),
    ("python", "python/client.py", "def f():\n" + "    x = 1\n" * 71, "72 lines"),
    ("sleeps", "tests/test_client.py", "import time\ndef test_x():\n    time.sleep(1)\n", "sleeps"),
    ("ruff", "python/client.py", "import os\n", "F401"),
    ("mypy", "python/client.py", "def f(x: int) -> str:\n    return x\n", "return value"),
    ("shell", "script/run", "#!/usr/bin/env bash\nset -euo pipefail\nif\n", "syntax error"),
    ("shell", "script/run", "#!/usr/bin/env bash\necho\n", "goes on after an error"),
    ("gcc", "src/core/step.c", STEP + "int core_stray(void)\n{\n\treturn 1;\n}\n", "core_stray"),
    ("clang", "src/core/step.c", STEP + "int core_stray(void)\n{\n\treturn 1;\n}\n", "core_stray"),
    ("tidy", "src/core/step.c",
     STEP + "int core_step(int event)\n{\n\tif (event)\n\t\treturn 1;\n\telse\n\t\treturn 1;\n}\n",
     "branch-clone"),
]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (".clang-format", ".clang-tidy", "ruff.toml"):
        shutil.copy(PROJECT / name, tmp_path / name)
    for name, text in GOOD.items():
        write(tmp_path, name, text)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.parametrize("rule", check.RULES)
def test_good_code_passes(tree: Path, rule: str) -> None:
    assert list(check.RULES[rule](tree)) == []


@pytest.mark.parametrize(("rule", "name", "text", "said"), SPOILT,
                         ids=[f"{row[0]}-{i}" for i, row in enumerate(SPOILT)])
def test_a_violation_is_seen(tree: Path, rule: str, name: str, text: str, said: str) -> None:
    write(tree, name, text)
    findings = list(check.RULES[rule](tree))
    assert findings, f"{rule} did not see it"
    assert any(said in str(finding) for finding in findings), findings


def test_every_rule_has_a_violation_that_shows_it() -> None:
    assert {row[0] for row in SPOILT} == set(check.RULES)


def test_the_command_fails_and_says_where(tree: Path) -> None:
    write(tree, "docs/other.md", "[gone](gone.md)\n")
    done = subprocess.run([sys.executable, str(PROJECT / "tests/check/check.py"),
                           "--root", str(tree), "links", "shell"], capture_output=True, text=True)
    assert done.returncode == 1
    assert "docs/other.md:1" in done.stdout
    assert done.stdout.endswith("rules: 1 kept, 1 broken\n")


@pytest.mark.parametrize("without", ["repository", "git"])
def test_a_source_archive_is_checked_as_well(
        tree: Path, monkeypatch: pytest.MonkeyPatch, without: str) -> None:
    write(tree, ".gitignore", "/build*/\n*.pyc\n__pycache__/\n")
    with_git = list(tracked(tree))
    write(tree, "build/main.c", "int x;\n")
    write(tree, "python/__pycache__/client.pyc", "")
    assert list(tracked(tree)) == with_git
    if without == "repository":
        shutil.rmtree(tree / ".git")
    else:
        monkeypatch.setenv("PATH", str(tree / "nothing"))
    assert list(tracked(tree)) == with_git
    assert "src/core/step.c" in tracked(tree, ".c")


def test_comments_and_strings_are_not_code() -> None:
    source = 'a("/* no */ x"); // free(p)\n/* free(p)\n */ b(\'"\');\n'
    code = without_comments(source)
    assert "free" not in code and code.count("\n") == source.count("\n") and "b(" in code


def test_functions_are_found_with_their_length() -> None:
    source = (
        "struct a {\n\tint x;\n};\n\nstatic int table[] = {\n\t1,\n};\n\n"
        "static inline int\nfirst(int a)\n{\n\treturn a;\n}\n\n"
        "int second(void) FH_PRINTF(1, 2);\nint second(\n\tint a)\n{\n}\n"
    )
    assert [(f.name, f.length) for f in c_functions(source)] == [("first", 4), ("second", 4)]
