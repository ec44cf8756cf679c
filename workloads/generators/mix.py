"""Several generators side by side, each in processes of its own, by weights."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from mmulab.mmu.trace import EVENT, FORK, SWITCH, Chunk
from mmulab.workloads.depends import Distances
from mmulab.workloads.generators.components import Component, parse
from mmulab.workloads.generators.parameters import ACCESSES, Parameter
from mmulab.workloads.slices import after as without
from mmulab.workloads.slices import before

SUMMARY = "several generators in turn, a process each: of=gups*3+zipf(keys=1000)"
COMPOSED = True
PARAMETERS = {
    "of": Parameter("gups+scan", "generators joined by +, with *weight, and their parameters in "
                    "parentheses", "text"),
    "quantum": Parameter(10_000, "accesses of a turn, times the weight"),
    "accesses": ACCESSES,
}  # fmt: skip


def check(parameters: dict[str, Any]) -> None:
    parse("mix", parameters["of"], int(parameters["accesses"]))


class _Source:
    """The accesses of a component, so many at a time. pids: from its own to the mix's."""

    def __init__(
        self, component: Component, number: int, several: int, seed: int, columns: Collection[str]
    ) -> None:
        self.distances = Distances()
        self._chunks = component.create(seed).chunks(columns)
        self._rest: Chunk | None = None
        self._number, self._several = number, several
        self.current = self.pid(1)

    def pid(self, own: int) -> int:
        return 1 + self._number + (own - 1) * self._several

    def take(self, count: int) -> Chunk | None:
        """At most so many accesses, from one chunk; None at the end."""
        if self._rest is None or not self._rest.accesses:
            self._rest = next(self._chunks, None)
            if self._rest is None:
                return None
            self._rest = self._rest._replace(events=self._moved(self._rest.events))
        whole = self._rest
        part = before(whole, count)
        taken = part.accesses
        later = whole.events["position"] > taken
        part = part._replace(events=whole.events[~later])
        self._rest = without(whole._replace(events=whole.events[later]), taken)
        return part

    def _moved(self, events: np.ndarray) -> np.ndarray:
        events = events.copy()
        events["pid"] = 1 + self._number + (events["pid"] - 1) * self._several
        forks = events["kind"] == FORK
        events["value"][forks] = 1 + self._number + (events["value"][forks] - 1) * self._several
        return events


def chunks(parameters: dict[str, Any], seed: int, columns: Collection[str] = ()) -> Iterator[Chunk]:
    accesses, quantum = int(parameters["accesses"]), int(parameters["quantum"])
    components = parse("mix", parameters["of"], accesses)
    sources = [_Source(component, number, len(components), seed + number, columns)
               for number, component in enumerate(components)]  # fmt: skip
    made = 0
    while made < accesses:
        for component, source in zip(components, sources, strict=True):
            left = min(quantum * component.weight, accesses - made)
            switch = np.array([(0, SWITCH, source.current, 0, 0, 0)], EVENT)
            while left:
                part = source.take(left)
                if part is None:
                    return
                for event in part.events[part.events["kind"] == SWITCH]:
                    source.current = int(event["pid"])
                every = np.ones(part.accesses, bool)
                depends = source.distances.among(part.depends, every, made)
                events = np.concatenate([switch, part.events])
                yield part._replace(events=events, depends=depends)
                switch = switch[:0]
                left -= part.accesses
                made += part.accesses
