"""Generators made of generators: `gups*3+zipf(keys=1000,value=64)`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmulab.mmu.errors import InputError
from mmulab.workloads import generators

_PART = re.compile(r"(\w+)(?:\((.*)\))?(?:\*(\d+))?$")


@dataclass(frozen=True)
class Component:
    """A generator of a composition. spec: with its parameters."""

    spec: str
    weight: int

    def create(self, seed: int) -> generators.Generated:
        return generators.create(self.spec, 1 + (seed - 1) % ((1 << 62) - 1))


def parse(what: str, text: str, accesses: int) -> list[Component]:
    """Components that make so many accesses each. Raises InputError naming what is wrong."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter == "(") - (letter == ")")
        if letter == "+" and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    components = []
    for part in parts:
        found = _PART.match(part.strip())
        if not found or (found[3] and not int(found[3])):
            raise InputError(
                f"{what}: of={text}: expected generators such as gups*3+zipf(keys=1000), "
                f"got {part!r}"
            )
        name, inner, weight = found.groups()
        if name in ("mix", "phases"):
            raise InputError(f"{what}: of={text}: {name} cannot be part of another")
        spec = f"{name}:{inner + ',' if inner else ''}accesses={accesses}"
        component = Component(spec, int(weight or 1))
        component.create(1)
        components.append(component)
    return components
