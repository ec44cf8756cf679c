"""Runs a student's replacement policy, compiled, over traces; in the sandbox's child."""

from __future__ import annotations

import types
from typing import Any

import numpy as np

NAMES = ("on_hit", "on_fill", "victim")


def _simulator(on_hit: Any, on_fill: Any, victim: Any) -> Any:
    """A compiled function: victims of each miss in a full set, in order."""
    from numba import njit

    @njit(nogil=True)
    def simulate(pages: Any, sets: Any, ways: Any, words: Any, out: Any) -> Any:
        tag = np.full((sets, ways), -1, np.int64)
        state = np.zeros((sets, words), np.int64)
        filled = np.zeros(sets, np.int64)
        count = 0
        for page in pages:
            index = page % sets
            way = -1
            for each in range(ways):
                if tag[index, each] == page:
                    way = each
            if way >= 0:
                on_hit(state[index], way)
                continue
            if filled[index] < ways:
                way = filled[index]
                filled[index] += 1
            else:
                way = victim(state[index])
                out[count] = way
                count += 1
                if way < 0 or way >= ways:
                    return count
            tag[index, way] = page
            on_fill(state[index], way)
        return count

    return simulate


def prepare() -> None:
    """Loads the compiler while files may still be opened, by compiling once."""
    from numba import njit

    @njit
    def nothing(state, way):
        state[0] = way

    @njit
    def first(state):
        return state[0]

    _simulator(nothing, nothing, first)(np.zeros(1, np.int64), 1, 1, 1, np.zeros(1, np.int64))


def run(module: types.ModuleType, inputs: dict[str, Any]) -> dict[str, Any]:
    """Victims for each trace. inputs: geometry (sets, ways, words), and traces of pages."""
    from numba import njit

    functions = []
    for name in NAMES:
        function = getattr(module, name, None)
        if not callable(function):
            raise TypeError(f"there is no function {name}")
        functions.append(njit(nogil=True)(function))
    simulate = _simulator(*functions)
    sets, ways, words = (int(n) for n in inputs["geometry"])
    outputs = {}
    for name, pages in inputs.items():
        if name != "geometry":
            out = np.empty(len(pages), np.int64)
            outputs[name] = out[: simulate(pages, sets, ways, words, out)]
    return outputs
