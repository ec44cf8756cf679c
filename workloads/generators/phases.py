"""Phase changes: one process that does one thing after another, its memory given back between."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.trace import EVENT, MMAP, MUNMAP, SWITCH, Chunk, Trace
from mmulab.workloads.generators.components import parse
from mmulab.workloads.generators.parameters import ACCESSES, Parameter
from mmulab.workloads.slices import before

SUMMARY = (
    "several generators one after another in one process: of=gups+scan (phases and transitions, "
    "Batson and Madison, SIGMETRICS 1976; Denning, Working sets past and present, 1980)"
)
COMPOSED = True
PARAMETERS = {
    "of": Parameter("gups+scan", "generators joined by +, with *weight, and their parameters in "
                    "parentheses", "text"),
    "length": Parameter(1_000_000, "accesses of a phase, times the weight"),
    "accesses": ACCESSES,
}  # fmt: skip


def check(parameters: dict[str, Any]) -> None:
    for component in parse("phases", parameters["of"], int(parameters["length"])):
        first = next(component.create(1).chunks())
        if (first.events["kind"] == SWITCH).any():
            raise InputError(
                f"phases: of={parameters['of']}: {component.spec.partition(':')[0]} makes "
                "processes; a phase is part of one"
            )


def chunks(parameters: dict[str, Any], seed: int, columns: Collection[str] = ()) -> Iterator[Chunk]:
    accesses, length = int(parameters["accesses"]), int(parameters["length"])
    made = phase = 0
    gone = np.zeros(0, EVENT)
    while made < accesses:
        for component in parse("phases", parameters["of"], length):
            left = min(length * component.weight, accesses - made)
            if not left:
                return
            mapped: list[tuple[int, int]] = []
            for chunk in _repeated(component.create(seed + phase), left, columns):
                kinds = chunk.events["kind"]
                mapped += [(int(e["start"]), int(e["length"])) for e in chunk.events[kinds == MMAP]]
                yield chunk._replace(events=np.concatenate([gone, chunk.events]))
                gone = gone[:0]
                made += chunk.accesses
            gone = np.array([(0, MUNMAP, 1, start, size, 0) for start, size in mapped], EVENT)
            phase += 1


def _repeated(trace: Trace, left: int, columns: Collection[str]) -> Iterator[Chunk]:
    """So many accesses of a generator, begun again where it ends."""
    while left:
        for chunk in trace.chunks(columns):
            part = before(chunk, left)
            yield part
            left -= part.accesses
            if not left:
                return
