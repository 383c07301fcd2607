"""Measures Farhand's figures on this machine; script/bench is its front door.

usage: run.py [--only NAME]... [--quick] [--peers] [--markdown] [--publish]
Each row is printed beside its bar and beside the machine's limit or a peer of the same run, and
appended to bench/results/ as a JSON line.
"""

import argparse
import json
import subprocess
import sys
import time
from typing import Any, Dict, List

import harness
from figures import FIGURES
from harness import Row

RESULTS = harness.ROOT / "bench" / "results"
CASES = {"throughput": "tasks_per_s", "latency": "p50_ms", "sleep": "efficiency",
         "payload": "mb_per_s"}
PEERS = [("farhand_peer", ""), ("stdlib_peer", "submit"), ("stdlib_peer", "executor"),
         ("stdlib_peer", "mp-pool"), ("limit_peer", "py-pickle"), ("limit_peer", "c-pickle")]
SMALL = {"throughput": 2000, "latency": 50, "sleep": 32, "payload": 10}
USUAL = {"throughput": 20000, "latency": 1000, "sleep": 400, "payload": 200}


def number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.3g}"


def bar_of(row: Row) -> str:
    if row.bar is None:
        return ""
    return f"{'at most' if row.at_most else 'at least'} {number(row.bar)}"


def show(row: Row) -> None:
    verdict = {True: "kept", False: "MISSED", None: ""}[row.kept]
    print(f"{row.figure:8} {row.what}\n"
          f"{'':8} {number(row.value)} {row.unit}   {bar_of(row)} {verdict}"
          f"{'   | ' + row.beside if row.beside else ''}", flush=True)


def markdown(rows: List[Row]) -> str:
    lines = ["| what | measured | bar | beside it, same run |", "| --- | --- | --- | --- |"]
    lines += [f"| {row.what} | **{number(row.value)}** {row.unit} | {bar_of(row)} | {row.beside} |"
              for row in rows]
    return "\n".join(lines)


def commit() -> str:
    try:
        done = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=harness.ROOT,
                              capture_output=True, text=True)
    except FileNotFoundError:  # no git: a source archive, perhaps
        return "unknown"
    return done.stdout.strip() or "unknown"


def record(name: str, rows: List[Dict[str, Any]]) -> None:
    """Appends to bench/results/NAME.jsonl: `figures` and `peers` stay here, `published` is kept."""
    RESULTS.mkdir(exist_ok=True)
    about = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "commit": commit(),
             "machine": harness.machine()}
    with open(RESULTS / f"{name}.jsonl", "a", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps({**about, **row}) + "\n")


def run_peers(quick: bool) -> None:
    """Every case of every peer that needs nothing but Python and a C compiler."""
    rows = []
    for case, key in CASES.items():
        workers = harness.CORES if case != "sleep" else 4 if quick else 16
        n = (SMALL if quick else USUAL)[case]
        for module, variant in PEERS:
            row = harness.peer(module, case, n, workers, variant)
            rows.append(row)
            print(f"{case:11} {row['peer']:20} {number(row[key]):>12} {key}   {row['notes']}",
                  flush=True)
    record("peers", rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__.split("\n")[0])
    parser.add_argument("--only", action="append", choices=FIGURES, metavar="NAME",
                        help=f"a figure: {', '.join(FIGURES)}; may be given more than once")
    parser.add_argument("--quick", action="store_true", help="small numbers: does it run at all?")
    parser.add_argument("--peers", action="store_true", help="the peers of bench/peers too")
    parser.add_argument("--markdown", action="store_true", help="end with the table of the README")
    parser.add_argument("--publish", action="store_true",
                        help="append to bench/results/published.jsonl, which is committed")
    args = parser.parse_args()

    harness.SCRATCH.mkdir(parents=True, exist_ok=True)
    print(f"{harness.machine()}, {harness.syncs_per_second():,.0f} fdatasync/s, {commit()}\n")
    rows: List[Row] = []
    for name in args.only or FIGURES:
        for row in FIGURES[name](args.quick):
            show(row)
            rows.append(row)
    record("published" if args.publish else "figures",
           [{**row._asdict(), "kept": row.kept, "quick": args.quick} for row in rows])
    if args.peers:
        print()
        run_peers(args.quick)
    if args.markdown:
        print(f"\n{markdown(rows)}")
    missed = sum(row.kept is False for row in rows)
    print(f"\n{len(rows) - missed} figures kept, {missed} missed")
    return 1 if missed and not args.quick else 0


if __name__ == "__main__":
    sys.exit(main())
