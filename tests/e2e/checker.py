"""The offline checker of the kill tests: what clients were told, held against what is true after
the last restart. It knows nothing of the server but its promises.

A history is collected while the server is killed again and again; `violations(history)` names every
promise that was broken. That each rule can fail is shown in test_kill.py on spoilt histories."""

import dataclasses
import threading
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Set

KINDS = ("square", "square", "square", "slow", "fail", "once", "delayed")
RETRIES = 2  # of the kind "fail"
CLOCK_S = 0.002  # by which two readings of one clock may seem to differ


def kind_of(n: int) -> str:
    """What a task does is decided by its number."""
    return KINDS[n * 2654435761 % 2 ** 32 % len(KINDS)]


class Offer(NamedTuple):
    """One request that submits tasks, as its client saw it. Attempts of one key are one offer."""

    numbers: List[int]
    due: Optional[float]  # not_before of the delayed ones
    key: Optional[str]
    ids: Optional[List[str]]  # of a 2xx; None: never got one
    broken: int  # attempts that ended with the connection
    refused: int  # attempts that ended with 4xx or 503


class Cancel(NamedTuple):
    task: str
    status: Optional[int]  # None: the connection broke
    at: float  # when the answer was there


class Read(NamedTuple):
    """A final state that somebody was told."""

    task: str
    final: tuple


class Chain(NamedTuple):
    """What one client got of a group, page by page, over all restarts."""

    group: str
    tasks: List[str]


class Execution(NamedTuple):
    n: int
    at: float


class Cut(NamedTuple):
    """Somewhere between these moments workers lost their way to the server."""

    earliest: float
    latest: float


@dataclasses.dataclass
class History:
    offers: List[Offer] = dataclasses.field(default_factory=list)
    cancels: List[Cancel] = dataclasses.field(default_factory=list)
    reads: List[Read] = dataclasses.field(default_factory=list)
    chains: List[Chain] = dataclasses.field(default_factory=list)
    elsewhere: bool = False  # workers are not in the server's own process
    kills: int = 0  # of the server
    cuts: List[Cut] = dataclasses.field(default_factory=list)  # those kills that workers outlived
    losses: int = 0  # faults that may have lost a worker or its way to the server
    hits: int = 0  # of runner children
    known: List[str] = dataclasses.field(default_factory=list)  # ids, in the order of 2xx
    # the truth after the end
    finals: Dict[str, Optional[tuple]] = dataclasses.field(default_factory=dict)  # None: 404
    attempts: Dict[str, int] = dataclasses.field(default_factory=dict)
    groups: Dict[str, List[str]] = dataclasses.field(default_factory=dict)
    replays: Dict[str, List[str]] = dataclasses.field(default_factory=dict)  # key -> ids
    executions: List[Execution] = dataclasses.field(default_factory=list)
    stored: int = 0  # tasks that the server counts
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock, repr=False)

    def add(self, record: Any) -> None:
        """From any thread."""
        lists = {Offer: self.offers, Cancel: self.cancels, Read: self.reads, Chain: self.chains}
        with self.lock:
            lists[type(record)].append(record)
            if isinstance(record, Offer):
                self.known += record.ids or []

    def accepted(self) -> Dict[str, int]:
        """id -> number of everything that was answered with 2xx."""
        with self.lock:
            return {task: n for offer in self.offers if offer.ids
                    for task, n in zip(offer.ids, offer.numbers)}


Rule = Callable[[History], Iterator[str]]


def accepted_is_there_and_final(h: History) -> Iterator[str]:
    """S1: a 2xx means that the task is there for good, and comes to its end."""
    for task, n in h.accepted().items():
        final = h.finals.get(task)
        if final is None:
            yield f"task {task} (number {n}) was accepted and is not there"
        elif final[0] not in ("COMPLETED", "FAILED", "CANCELLED"):
            yield f"task {task} (number {n}) was accepted and is {final[0]} in the end"


def ids_are_told_once(h: History) -> Iterator[str]:
    """An id belongs to one submission."""
    owner: Dict[str, int] = {}
    for offer in h.offers:
        for task, n in zip(offer.ids or [], offer.numbers):
            if owner.setdefault(task, n) != n:
                yield f"task {task} was given to number {owner[task]} and to number {n}"


def results_are_right(h: History) -> Iterator[str]:
    """The payload decides the result; a task is cancelled only if somebody asked for that."""
    asked = {cancel.task for cancel in h.cancels}
    for task, n in h.accepted().items():
        final = h.finals.get(task)
        if final is None:
            continue
        allowed: List[tuple] = [("COMPLETED", None, n * n)]
        if kind_of(n) == "fail":
            allowed = [("FAILED", "exception", f"ValueError({n})")]
        if kind_of(n) == "once":
            allowed.append(("FAILED", "worker_lost"))
        if h.hits:
            allowed.append(("FAILED", "crash"))
        if task in asked:
            allowed.append(("CANCELLED", "cancelled"))
        if not any(final[:len(way)] == way for way in allowed):
            yield f"task {task} (number {n}, {kind_of(n)}) ended as {final}"


def a_killed_child_costs_one_task(h: History) -> Iterator[str]:
    crashed = sum(final is not None and final[:2] == ("FAILED", "crash")
                  for final in h.finals.values())
    if crashed > h.hits:
        yield f"{crashed} tasks crashed, {h.hits} children were killed"


def what_was_read_never_changes(h: History) -> Iterator[str]:
    """S3: one result, whenever and by whom it is read."""
    for read in h.reads:
        now = h.finals.get(read.task)
        if now != read.final:
            yield f"task {read.task} was read as {read.final} and is {now}"


def _accepted_at(task: str) -> float:
    """Its id tells."""
    return int(task.replace("-", "")[:12], 16) / 1000


def _has_not_heard(h: History, cancel: Cancel, started: float) -> bool:
    """A worker elsewhere may have begun the task before it heard of the cancel. Either its way was
    bad; or an earlier life of the server had given it the task, and it was not back yet; or the
    word was on its way. That way keeps the order: who has begun what was accepted after the answer
    to the cancel has heard."""
    if h.losses or any(_accepted_at(cancel.task) <= cut.latest and cut.earliest <= started
                       for cut in h.cuts):
        return True
    if not h.elsewhere:
        return False
    later = {n for task, n in h.accepted().items() if _accepted_at(task) > cancel.at + CLOCK_S}
    return not any(other.n in later and other.at < started - CLOCK_S for other in h.executions)


def cancelled_stays_cancelled(h: History) -> Iterator[str]:
    """S20: a cancel that was answered with 200 holds, and the task does not start any more. (A
    worker elsewhere that has not heard of it may begin it; it counts for nothing.)"""
    numbers = h.accepted()
    last: Dict[int, float] = {}
    for execution in h.executions:
        last[execution.n] = max(last.get(execution.n, 0), execution.at)
    for cancel in h.cancels:
        final = h.finals.get(cancel.task)
        if cancel.status == 200:
            if final is None or final[0] != "CANCELLED":
                yield f"task {cancel.task}: cancel was answered with 200, it is {final}"
            started = last.get(numbers.get(cancel.task, -1), 0)
            late_s = started - cancel.at
            if late_s > CLOCK_S and not _has_not_heard(h, cancel, started):
                n = numbers[cancel.task]
                yield (f"task {cancel.task} (number {n}, {kind_of(n)}) started {late_s:.3f} s "
                       f"after its cancel was answered with 200, "
                       f"{cancel.at - _accepted_at(cancel.task):.3f} s after it was accepted")
        elif cancel.status not in (None, 202, 409):
            yield f"task {cancel.task}: cancel was answered with {cancel.status}"


def refused_left_nothing(h: History) -> Iterator[str]:
    """S16: what was refused each time it was offered never existed."""
    refused = {n for offer in h.offers if not offer.ids and not offer.broken and offer.refused
               for n in offer.numbers}
    for n in {execution.n for execution in h.executions} & refused:
        yield f"number {n} was refused and has run"


def nothing_was_made_up(h: History) -> Iterator[str]:
    """S2: the server holds what was accepted, and at most what it may have been sent besides."""
    accepted = len(h.accepted())
    unknown = sum(len(offer.numbers) for offer in h.offers if not offer.ids and offer.broken)
    unknown += sum(len(offer.numbers) * offer.broken for offer in h.offers
                   if offer.ids and not offer.key)
    if not accepted <= h.stored <= accepted + unknown:
        yield f"{accepted} were accepted, {unknown} may have been, and {h.stored} are there"
    sent = {n for offer in h.offers for n in offer.numbers}
    for n in {execution.n for execution in h.executions} - sent:
        yield f"number {n} has run and nobody sent it"


def a_key_means_one_submission(h: History) -> Iterator[str]:
    """The same key gives the same ids, also after the last restart."""
    for offer in h.offers:
        if offer.ids and offer.key and h.replays.get(offer.key, offer.ids) != offer.ids:
            yield f"key {offer.key} gave {offer.ids} and then {h.replays[offer.key]}"


def _times(h: History) -> Dict[int, List[float]]:
    times: Dict[int, List[float]] = {}
    for execution in h.executions:
        times.setdefault(execution.n, []).append(execution.at)
    return times


def runs_are_bounded(h: History) -> Iterator[str]:
    """S8, S9: at most once where that was asked for; never more often than retries and losses
    explain. A kill or another loss costs at most one attempt of a task. Numbers whose submission
    broke without a key may be there twice, so they prove nothing."""
    times = _times(h)
    for offer in h.offers:
        if offer.broken and not offer.key:
            continue
        for n in offer.numbers:
            runs = len(times.get(n, []))
            lost = h.kills + h.losses
            limit = {"once": 1, "fail": RETRIES + 1 + lost}.get(kind_of(n), 1 + lost)
            if runs > limit:
                yield f"number {n} ({kind_of(n)}) has run {runs} times, {limit} are allowed"
    for task, n in h.accepted().items():
        final = h.finals.get(task)
        if final and final[0] == "COMPLETED" and not times.get(n):
            yield f"number {n} is COMPLETED and has never run"
        if kind_of(n) == "fail" and final and final[0] == "FAILED":
            if len(times.get(n, [])) < RETRIES + 1 and not h.hits:
                yield f"number {n} was given up after {len(times.get(n, []))} runs"


def delayed_is_not_early(h: History) -> Iterator[str]:
    times = _times(h)
    for offer in h.offers:
        for n in offer.numbers:
            if offer.due and kind_of(n) == "delayed":
                for at in times.get(n, []):
                    if at < offer.due - CLOCK_S:
                        yield f"number {n} has run {offer.due - at:.3f} s too early"


def waiting_by_cursor_misses_nothing(h: History) -> Iterator[str]:
    """A client that follows the cursor gets each task of its group exactly once."""
    for chain in h.chains:
        seen: Set[str] = set()
        for task in chain.tasks:
            if task in seen:
                yield f"group {chain.group}: task {task} came twice"
            seen.add(task)
        for task in set(h.groups.get(chain.group, [])) ^ seen:
            yield f"group {chain.group}: task {task} was missed, or does not belong to it"


RULES: List[Rule] = [
    accepted_is_there_and_final, ids_are_told_once, results_are_right,
    a_killed_child_costs_one_task, what_was_read_never_changes,
    cancelled_stays_cancelled, refused_left_nothing, nothing_was_made_up,
    a_key_means_one_submission, runs_are_bounded, delayed_is_not_early,
    waiting_by_cursor_misses_nothing,
]


def violations(h: History) -> List[str]:
    return [f"{rule.__name__}: {line}" for rule in RULES for line in rule(h)]
