"""`--set key=value`: a preset with one of its numbers changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.preset import POLICIES, Preset

#: Where the structures of each kind stand in a preset.
GROUPS = {"tlb": "tlbs", "walk_cache": "walk_caches", "cache": "caches"}
_CITED = ("page_table_share", "memory_latency")


def override(preset: Preset, key: str, text: str, more: Iterable[str] = ()) -> Preset:
    """The preset with one value changed.

    Keys: `cost.NAME`, `memory_latency`, `page_table_share`, and for each structure
    `tlb.NAME.FIELD`, `walk_cache.NAME.FIELD`, `cache.NAME.FIELD` with the fields of
    `mmu.presets.preset`. more: what `cost.` can be besides, the costs of techniques. Raises
    InputError for an unknown key, with the nearest, or a value of the wrong type.
    """
    group, _, rest = key.partition(".")
    if key in _CITED:
        changed: dict[str, Any] = {key: Cited(_number(key, text), "set by the user")}
        return replace(preset, **changed)
    if group == "cost":
        known = _costs(preset, more)
        if rest not in known:
            raise unknown("key", key, [f"cost.{name}" for name in known])
        costs = {**preset.costs, rest: Cited(_number(key, text), "set by the user")}
        return replace(preset, costs=costs)
    if group not in GROUPS:
        raise unknown("key", key, settable(preset, more))
    name, _, field = rest.rpartition(".")
    structures = list(getattr(preset, GROUPS[group]))
    for position, structure in enumerate(structures):
        if structure.name == name and field in fields_of(structure):
            value = _field_value(key, field, getattr(structure, field), text)
            structures[position] = replace(
                structure, **{field: value, "source": f"{field} set by the user"}
            )
            new: dict[str, Any] = {GROUPS[group]: tuple(structures)}
            return replace(preset, **new)
    raise unknown("key", key, settable(preset, more))


def _costs(preset: Preset, more: Iterable[str]) -> list[str]:
    return list(dict.fromkeys((*preset.costs, *more)))


def fields_of(structure: Any) -> list[str]:
    """What can be set of a structure."""
    return [f.name for f in dataclasses.fields(structure) if f.name not in ("name", "source")]


def settable(preset: Preset, more: Iterable[str] = ()) -> list[str]:
    """Every key that `override` takes for a preset."""
    keys = list(_CITED) + [f"cost.{name}" for name in _costs(preset, more)]
    for group, attribute in GROUPS.items():
        for structure in getattr(preset, attribute):
            keys += [f"{group}.{structure.name}.{field}" for field in fields_of(structure)]
    return keys


def _number(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{key}={text}: expected a number") from None
    if not 0 <= value < 1e12:
        raise InputError(f"{key}={text}: expected a number from 0 to 1e12")
    return value


def _field_value(key: str, field: str, old: Any, text: str) -> Any:
    if isinstance(old, Cited):
        return Cited(_number(key, text), "set by the user")
    if isinstance(old, tuple):
        return tuple(text.split("+"))
    if isinstance(old, int):
        try:
            return int(text, 0)
        except ValueError:
            raise InputError(f"{key}={text}: expected a whole number") from None
    if field == "policy":
        if text not in POLICIES:
            raise unknown(f"value of {key}", text, POLICIES)
    return text
