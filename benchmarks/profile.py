"""Where a command's time goes.

    python benchmarks/profile.py [ARGUMENT]... [--tiny]

Runs `mmulab ARGUMENT...` (`mmulab compare` unless given) in this process, without what it prints,
and says what took how many seconds of CPU, in all its threads: a part that another calls, such as
an import while a trace is read, is counted there alone. Run it twice: the first run may compile.
Helper processes that compile beside are left out.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from tiny import ARGUMENTS, sized

TINY_COMPARE = ["compare", "gups:size=1M,accesses=10K", "--techniques", "native"]
IMPORTS, LOADING, COMPILING = "imports", "loading kernels", "compiling kernels"
READING, SIMULATING, WRITING, REST = "reading", "simulating", "writing", "the rest"

#: Of each part, functions by module: what is replaced once the module has been imported.
PLACES = {
    "mmulab.mmu.kernels.entries": {"Entry._load": LOADING, "Entry._compile": COMPILING},
    "mmulab.workloads": {"FileTrace.chunks": READING},
    "mmulab.workloads.generators": {"Generated.chunks": READING},
    "mmulab.mmu.machine.run": {"run": SIMULATING},
    "mmulab.mmu.machine.work": {"prepare": SIMULATING},
    "mmulab.mmu.machine.build": {"machine_of": SIMULATING},
    "mmulab.mmu.host.system": {"System.__init__": SIMULATING, "System.step": SIMULATING},
    "mmulab.workloads.analysis.stack_distance": {
        "StackDistances.take": SIMULATING, "StackDistances.absorb": SIMULATING,
    },
    "mmulab.workloads.analysis.geometries": {"_Pass.run": SIMULATING},
    "mmulab.workloads.analysis.summary": {"_Collector.add": SIMULATING},
    "mmulab.plots.terminal.compare_table": {"table": WRITING},
    "mmulab.commands.options": {"write_text": WRITING},
    "click": {"echo": WRITING},
}  # fmt: skip


class Clock:
    """Seconds by part, of all threads together."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._local = threading.local()

    @contextlib.contextmanager
    def within(self, part: str) -> Iterator[None]:
        """While a thread is in a part, and in no other within it."""
        stack = self._local.__dict__.setdefault("stack", [])
        self._until_now(stack)
        stack.append(part)
        try:
            yield
        finally:
            self._until_now(stack)
            stack.pop()

    def _until_now(self, stack: list[str]) -> None:
        now = time.thread_time()
        if stack:
            with self._lock:
                self.spent[stack[-1]] += now - self._local.since
        self._local.since = now

    def timed(self, function: Callable[..., Any], part: str) -> Callable[..., Any]:
        """The function, whose time is that of a part; so is what it yields."""

        def call(*given: Any, **named: Any) -> Any:
            with self.within(part):
                made = function(*given, **named)
            return self._each(made, part) if part == READING else made

        return call

    def _each(self, made: Any, part: str) -> Iterator[Any]:
        iterator = iter(made)
        while True:
            with self.within(part):
                try:
                    one = next(iterator)
                except StopIteration:
                    return
            yield one


def watch(clock: Clock) -> set[str]:
    """Has imports timed, and the functions of PLACES. Returns those that have not been found yet:
    in the end, what the command did not import."""
    missing = set(PLACES)
    bootstrap: Any = importlib._bootstrap  # type: ignore[attr-defined]
    find_and_load = bootstrap._find_and_load

    def timed_import(name: str, import_: Any) -> Any:
        with clock.within(IMPORTS):
            module = find_and_load(name, import_)
            for each in missing & set(sys.modules):
                spec = getattr(sys.modules[each], "__spec__", None)
                if not getattr(spec, "_initializing", False):
                    missing.discard(each)
                    replace(clock, sys.modules[each], PLACES[each])
            return module

    bootstrap._find_and_load = timed_import
    return missing


def replace(clock: Clock, module: Any, places: dict[str, str]) -> None:
    for place, part in places.items():
        *outer, name = place.split(".")
        owner = getattr(module, outer[0]) if outer else module
        setattr(owner, name, clock.timed(getattr(owner, name), part))


def main() -> None:
    arguments = ARGUMENTS or sized(["compare"], TINY_COMPARE)
    clock = Clock()
    watch(clock)
    started, cpu = time.perf_counter(), time.process_time()
    sys.argv = ["mmulab", *arguments]
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        from mmulab.__main__ import main as command

        try:
            code = command()
        except SystemExit as error:
            code = error.code
    wall, total = time.perf_counter() - started, time.process_time() - cpu
    if code:
        raise SystemExit(f"mmulab {' '.join(arguments)}: exit code {code}")
    print(f"mmulab {' '.join(arguments)}: {wall:.2f} s, CPU {total:.2f} s")
    clock.spent[REST] = total - sum(clock.spent.values())
    for part in (IMPORTS, LOADING, COMPILING, READING, SIMULATING, WRITING, REST):
        print(f"  {part:<18}{clock.spent[part]:>8.3f} s{clock.spent[part] / total:>6.0%}")


if __name__ == "__main__":
    main()
