"""Checkpoints of runs of scenarios: a run that is killed goes on from the last to the same end.

What a host, its VMs and its services are in the middle of a run is data (`graph`, `file`). What is
not is made anew of the scenario: traces, which are read again up to where they were, techniques and
presets, and addresses of code.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

import mmulab.mmu
from mmulab import __version__
from mmulab.mmu.errors import InputError, printable
from mmulab.mmu.host.arrivals import ArrivalSettings
from mmulab.mmu.host.life import Frozen
from mmulab.mmu.host.system import System
from mmulab.mmu.host.vm import Guest, marks_of
from mmulab.mmu.report.made import Making, digest
from mmulab.mmu.scenario.checkpoints.file import Kept, write
from mmulab.mmu.scenario.checkpoints.graph import Reader, Writer
from mmulab.mmu.scenario.results import RunResult
from mmulab.mmu.scenario.settings import Scenario
from mmulab.mmu.scenario.timeline import Timeline
from mmulab.mmu.trace import origin


class Checkpoints:
    """The checkpoints of a command, which makes one run after another.

    path: of the file, which each replaces. every: seconds of real time between two; the first is
    written as a run begins. resume: a checkpoint to go on from, which must be of the same runs.
    Raises InputError.
    """

    def __init__(self, path: str | Path, every: float, resume: str | Path | None = None) -> None:
        self.path, self.every = Path(path), every
        self._kept = Kept(Path(resume)) if resume else None
        self._resumed = printable(str(resume))
        self._runs: list[dict[str, Any]] = []
        self._files: dict[str, str | None] = {}
        self._done: list[RunResult] = []
        self._next = 0.0
        if self._kept:
            self._refuse_others(self._kept.head)

    def _refuse_others(self, head: Mapping[str, Any]) -> None:
        """Raises InputError where it was made by another program, or of files that are others
        by now."""
        for name, mine in _maker().items():
            if head.get(name) != mine:
                raise InputError(
                    f"checkpoint {self._resumed}: was made by another program: its {name} is "
                    f"{head.get(name)}, not {mine}; resume it with that, or begin again"
                )
        for name, known in head["files"].items():
            if digest(name) != known:
                raise InputError(
                    f"checkpoint {self._resumed}: {printable(name)} is not as it was; restore it, "
                    f"or begin again"
                )

    def begin(self, scenario: Scenario, variant: str) -> RunResult | None:
        """The next run is this one. Returns its result, where it was over already. Raises
        InputError where the checkpoint is of another."""
        number = len(self._runs)
        self._runs.append({"variant": variant, "scenario": asdict(scenario)})
        self.soon()
        if self._kept is None:
            return None
        runs = self._kept.head["runs"]
        if number < len(runs):
            self._refuse_other_run(runs[number], self._runs[number])
        if number >= self._kept.head["done"]:
            return None
        if not self._done:
            self._done = self._kept.value("done", {})
        return self._done[number]

    def _refuse_other_run(self, kept: Any, mine: Any) -> None:
        for where, old, new in _differences(kept, mine):
            raise InputError(
                f"checkpoint {self._resumed}: is of another run: {where} was {old}, and is {new}; "
                f"expected the scenario and options that it was made with"
            )

    def restored(self, systems: list[System], timeline: Timeline) -> tuple[list[System], Timeline]:
        """What a run that begins goes on from: the checkpoint, where that was made in the middle
        of it. Raises InputError where that is not as it was written, or where a trace cannot be
        read again."""
        for system in systems:
            for guest in system.guests:
                known = origin(guest.trace)
                if known and known.spec == "-":
                    raise InputError(
                        f"vm {guest.name}: standard input can be read once only, and a run that is "
                        f"resumed reads its traces again; expected a file"
                    )
        kept, number = self._kept, len(self._runs) - 1
        if kept is None or number != kept.head["done"] or number >= len(kept.head["runs"]):
            return systems, timeline
        state: Any = kept.value("state", _given(systems), _makers, _relink)
        self._next = time.monotonic() + self.every
        self._kept = None
        found: tuple[list[System], Timeline] = tuple(state)
        return found

    def soon(self) -> None:
        """The next is due at the next turn."""
        self._next = 0.0

    def turn(self, systems: list[System], timeline: Timeline, making: Making) -> None:
        """Called after each turn of a VM. making: knows the digests of what the run reads."""
        if time.monotonic() < self._next:
            return
        files = making.files().items()
        self._files |= {name: known for name, known in files if not name.startswith("@")}
        self._write((systems, timeline), systems)
        self._next = time.monotonic() + self.every

    def end(self, result: RunResult) -> None:
        """The run is over."""
        self._done.append(result)
        self._write(None, [])

    def _write(self, state: Any, systems: Sequence[System]) -> None:
        head = {
            **_maker(), "done": len(self._done), "runs": self._runs, "files": self._files,
        }  # fmt: skip
        value = {"done": self._done, "state": state}
        write(self.path, head, value, _given(systems), lambda to: _without_chunks(to, systems))


@cache
def _maker() -> dict[str, str]:
    """What goes on to the same end: a program of the same text, with numpy's same generators."""
    total = hashlib.sha256()
    root = Path(next(iter(mmulab.mmu.__path__))).parent
    for part in ("mmu", "workloads"):  # a program's other parts change no result
        for path in sorted((root / part).rglob("*.py")):
            total.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return {"version": __version__, "numpy": np.__version__, "sources": total.hexdigest()[:16]}


def _given(systems: Sequence[System]) -> dict[str, Any]:
    """What is made anew of the scenario, by name."""
    found: dict[str, Any] = {}
    for number, system in enumerate(systems):
        found[f"{number} settings"] = system.settings
        found[f"{number} preset"] = system.preset
        places = {id(place) for kind in system.arrivals for place in kind.places}
        for at, guest in enumerate(system.guests):
            own = () if id(guest) in places else ("trace", "settings")  # else it is another's
            for name in ("preset", "config", "spec", "costs", *own):
                found[f"{number} {at} {name}"] = getattr(guest, name)
        for at, kind in enumerate(system.arrivals):
            found[f"{number} arrivals {at}"] = kind.settings
            found[f"{number} open {at}"] = kind.open_trace
        for service in system.services:  # a policy of the user's own
            policy = getattr(getattr(service, "policy", None), "policy", None)
            if policy is not None:
                found[f"{number} {service.name} policy"] = type(policy)
    return found


def _holders(systems: Sequence[System]) -> Iterator[tuple[Guest, int, Any]]:
    """(guest, chunks that were taken, place in the last of them) of each position that is kept."""
    for system in systems:
        for guest in system.guests:
            yield guest, guest.taken, guest.position[2]
        for frozen in system.frozen:
            if isinstance(frozen, Frozen):
                yield frozen.guest, frozen.position[0], frozen.position[2]


def _without_chunks(writer: Writer, systems: Sequence[System]) -> None:
    """Chunks of traces are read again, not kept; and so are the traces of VMs that came."""
    for number, system in enumerate(systems):
        for at, kind in enumerate(system.arrivals):
            for place in kind.places:
                seed = place.settings.seed
                writer.instead(place.trace, ["came", number, at, place.name, seed])
    for guest, taken, (chunk, marks, *_) in _holders(systems):
        if taken:
            writer.instead(chunk, ["chunk", writer.value(guest.trace), taken])
            writer.instead(marks, ["marks", writer.value(chunk), guest.config.levels])


def _makers(reader: Reader) -> dict[str, Any]:
    """Those of `_without_chunks`."""

    def came(number: int, at: int, place: str, seed: int) -> Any:
        kind: ArrivalSettings = reader.given[f"{number} arrivals {at}"]
        return reader.given[f"{number} open {at}"](kind.come(seed - kind.vm.seed, place))

    def chunk(trace: Any, taken: int) -> Any:
        return next(islice(reader.value(trace).chunks(), taken - 1, None))

    def marks(of: Any, levels: int) -> np.ndarray:
        return marks_of(reader.value(of), levels)[0]

    return {"came": came, "chunk": chunk, "marks": marks}


def _relink(made: Any) -> None:
    if isinstance(made, (Guest, Frozen)):
        made.relink()


def _differences(old: Any, new: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(where, old, new) of each value that is not the same, once both are what JSON has."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from _differences(old.get(key), new.get(key), f"{where}.{key}".lstrip("."))
    elif isinstance(old, (list, tuple)) and isinstance(new, (list, tuple)):
        if len(old) != len(new):
            yield f"the number of {where}s", len(old), len(new)
        for number, pair in enumerate(zip(old, new)):  # noqa: B905
            yield from _differences(*pair, f"{where}[{number}]")
    elif old != new:
        yield where, old, new
