"""The same walk with each kind of walk cache switched on and off, for teaching."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

from mmulab.mmu.by_hand import walkthrough
from mmulab.mmu.by_hand.walkthrough import Walk
from mmulab.mmu.config import Config
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.techniques.specs import Spec

_LEVELS = ("pml5e", "pml4e", "pdpte", "pde")


class Switch(NamedTuple):
    """What can be on or off. caches: the preset's walk caches that go with it; none: whether the
    page beside the one that is walked for has been walked for just before."""

    key: str
    label: str
    caches: frozenset[str]


SWITCHES = (
    Switch("psc", "paging-structure caches", frozenset(_LEVELS)),
    Switch(
        "nested-psc",
        "paging-structure caches, nested table",
        frozenset(f"ept_{name}" for name in (*_LEVELS, "pte")),
    ),
    Switch("ntlb", "nested TLB", frozenset({"ntlb"})),
    Switch("pwc", "page walk cache", frozenset({"pwc", "guest_pwc", "nested_pwc"})),
    Switch("beside", "the page beside it walked just before", frozenset()),
)


@dataclass(frozen=True)
class Variants:
    """Walks of one technique. walks: those that differ. of: by which switches are on, the walk's
    number. matter: keys of the switches that change something."""

    walks: tuple[Walk, ...]
    of: dict[frozenset[str], int]
    matter: frozenset[str]


def switches(preset: Preset) -> tuple[Switch, ...]:
    """Those that there is something for on this processor."""
    there = {cache.name for cache in preset.walk_caches if cache.ways}
    return tuple(each for each in SWITCHES if not each.caches or each.caches & there)


def variants(
    gva: int, technique: str | Spec, preset: Preset, config: Config, store: bool = False
) -> Variants:
    """The walk with every combination of `switches`. Raises InputError as `walkthrough.walk`."""
    known = switches(preset)
    walks: list[Walk] = []
    of: dict[frozenset[str], int] = {}
    for states in product((False, True), repeat=len(known)):
        on = [switch for switch, state in zip(known, states, strict=True) if state]
        caches = frozenset(name for switch in on for name in switch.caches)
        made = walkthrough.walk(
            gva,
            technique,
            _only(preset, caches),
            replace(config, walk_caches=bool(caches)),
            store,
            after_neighbour=any(not switch.caches for switch in on),
        )
        if made not in walks:
            walks.append(made)
        of[frozenset(switch.key for switch in on)] = walks.index(made)
    return Variants(tuple(walks), of, _matter(of, (switch.key for switch in known)))


def _only(preset: Preset, names: Iterable[str]) -> Preset:
    """The processor with these walk caches alone."""
    kept = set(names)
    caches = (
        cache if cache.name in kept else replace(cache, ways=0) for cache in preset.walk_caches
    )
    return replace(preset, walk_caches=tuple(caches))


def _matter(of: dict[frozenset[str], int], keys: Iterable[str]) -> frozenset[str]:
    return frozenset(key for key in keys if any(of[on] != of[on ^ {key}] for on in of))
