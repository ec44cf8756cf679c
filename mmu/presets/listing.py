"""A preset as a list: every number and flag under the key that `--set` has for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mmulab.mmu import presets
from mmulab.mmu.presets.cited import Cited, Stated
from mmulab.mmu.presets.overrides import GROUPS, fields_of
from mmulab.mmu.presets.preset import FLAGS, NUMBERS, STATED, Preset


def listing(preset: Preset, costs: Mapping[str, Cited] | None = None) -> dict[str, dict[str, Any]]:
    """{key: {"value", "source"}}, where there is a range with "low" and "high".

    costs: those of techniques by key, without the `cost.` in front; the preset's own go before.
    """
    listed: dict[str, dict[str, Any]] = {name: {"value": getattr(preset, name)} for name in FLAGS}
    for name in STATED:
        stated = getattr(preset, name)
        listed[name] = {"value": plain(stated.names), "source": stated.source}
    for name in NUMBERS:
        listed[name] = number(getattr(preset, name))
    for group, attribute in GROUPS.items():
        for unit in getattr(preset, attribute):
            for name in fields_of(unit):
                if name == "entries":  # sets times ways
                    continue
                value = getattr(unit, name)
                key = f"{group}.{unit.name}.{name}"
                listed[key] = (
                    number(value)
                    if isinstance(value, Cited)
                    else {"value": plain(value), "source": unit.source}
                )
    for name, cost in {**(costs or {}), **preset.costs}.items():
        listed[f"cost.{name}"] = number(cost)
    return listed


def described(preset: Preset, costs: Mapping[str, Cited]) -> dict[str, Any]:
    """The whole of a preset, as results have it. costs: those of techniques, as for `listing`."""
    return {
        "name": preset.name,
        "base": preset.base or preset.name,
        "set": differences(preset),
        "numbers": listing(preset, costs),
    }


def restored(described: Mapping[str, Any], costs: Mapping[str, Cited] | None = None) -> Preset:
    """The preset of which `described` made plain data, whatever that of its name has by now.

    costs: those of techniques, as for `listing`. Raises InputError for an unknown base.
    """
    base = presets.load(described["base"])
    entries: Mapping[str, Any] = described["numbers"]
    changed: dict[str, Any] = {name: entries[name]["value"] for name in FLAGS if name in entries}
    changed |= {name: Cited(**entries[name]) for name in NUMBERS if name in entries}
    for name in filter(entries.__contains__, STATED):
        names = tuple(filter(None, entries[name]["value"].split("+")))
        changed[name] = Stated(names, entries[name]["source"])
    for group, attribute in GROUPS.items():
        units = getattr(base, attribute)
        found = (_restored(unit, f"{group}.{unit.name}", entries) for unit in units)
        changed[attribute] = tuple(unit for unit in found if unit)
    changed["costs"] = {
        key.removeprefix("cost."): Cited(**entry)
        for key, entry in entries.items()
        if key.startswith("cost.") and not _is(entry, (costs or {}).get(key.removeprefix("cost.")))
    }
    name, of = described["name"], described["base"]
    return dataclasses.replace(base, name=name, base="" if name == of else of, **changed)


def _restored(unit: Any, key: str, entries: Mapping[str, Any]) -> Any:
    """A structure as it is listed; None where it is not."""
    changed: dict[str, Any] = {}
    for name in fields_of(unit):
        if name == "entries":
            continue
        if f"{key}.{name}" not in entries:
            return None
        entry, old = entries[f"{key}.{name}"], getattr(unit, name)
        if isinstance(old, Cited):
            changed[name] = Cited(**entry)
        else:
            value = entry["value"]
            changed[name] = tuple(value.split("+")) if isinstance(old, tuple) else value
            changed["source"] = entry["source"]
    return dataclasses.replace(unit, **changed)


def _is(entry: Mapping[str, Any], cost: Cited | None) -> bool:
    return cost is not None and number(cost) == entry


def differences(preset: Preset) -> dict[str, Any]:
    """What makes a preset another than the published one of its name, or that its file begins
    with: value by key."""
    name = preset.name if presets.is_known(preset.name) else preset.base
    if not presets.is_known(name):
        return {}
    published = listing(presets.load(name))
    return {
        key: entry["value"]
        for key, entry in sorted(listing(preset).items())
        if entry["value"] != published.get(key, {}).get("value")
    }


def number(cited: Cited) -> dict[str, Any]:
    """A number with its source and, where it has one, its range."""
    shown = dataclasses.asdict(cited)
    if cited.low == cited.value == cited.high:
        del shown["low"], shown["high"]
    return shown


def plain(value: Any) -> Any:
    """A value as a text, number or flag."""
    return "+".join(value) if isinstance(value, tuple) else value
