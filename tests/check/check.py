"""Runs the rules of the tree; script/check is its front door.

usage: check.py [--root DIR] [--list] [RULE...]
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Callable, Dict, Iterable

import rules_c
import rules_text
from findings import Finding

RULES: Dict[str, Callable[[Path], Iterable[Finding]]] = {
    "layers": rules_c.layers,
    "banned": rules_c.banned_calls,
    "sizes": rules_c.sizes,
    "headers": rules_c.headers,
    "format": rules_c.clang_format,
    "walk": rules_text.walk,
    "links": rules_text.links,
    "problems": rules_text.problems,
    "places": rules_text.places,
    "python": rules_text.python_compiles,
    "sleeps": rules_text.python_sleeps,
    "ruff": rules_text.ruff,
    "mypy": rules_text.mypy,
    "shell": rules_text.shell_parses,
    "gcc": rules_c.warnings_gcc,
    "clang": rules_c.warnings_clang,
    "tidy": rules_c.clang_tidy,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/check", description=__doc__)
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[2])
    parser.add_argument("--list", action="store_true", help="name the rules and what they say")
    parser.add_argument("rules", nargs="*", metavar="RULE", help="default: all")
    args = parser.parse_args()
    for name in args.rules:
        if name not in RULES:
            parser.error(f"no rule '{name}'; there are: {', '.join(RULES)}")
    if args.list:
        for name, rule in RULES.items():
            print(f"{name:10} {(rule.__doc__ or '').strip()}")
        return 0
    broken = 0
    for name in args.rules or RULES:
        began = time.monotonic()
        findings = list(RULES[name](args.root.resolve()))
        verdict = f"{len(findings)} findings" if findings else "ok"
        print(f"{name:10} {verdict:14} {time.monotonic() - began:5.1f} s", flush=True)
        for finding in findings:
            print(f"  {finding}")
        broken += bool(findings)
    print(f"rules: {len(args.rules or RULES) - broken} kept, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
