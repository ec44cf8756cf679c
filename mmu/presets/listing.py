"""A preset as a list: every number and flag under the key that `--set` has for it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from mmulab.mmu import presets
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.overrides import GROUPS, fields_of
from mmulab.mmu.presets.preset import Preset

#: Fields of a preset that are single numbers, and flags, under their own names.
NUMBERS = ("page_table_share", "memory_latency")
FLAGS = ("va_levels", "pcid", "vpid", "ept_ad")


def listing(preset: Preset, costs: Mapping[str, Cited] | None = None) -> dict[str, dict[str, Any]]:
    """{key: {"value", "source"}}, where there is a range with "low" and "high".

    costs: those of techniques by key, without the `cost.` in front; the preset's own go before.
    """
    listed: dict[str, dict[str, Any]] = {name: {"value": getattr(preset, name)} for name in FLAGS}
    for name in NUMBERS:
        listed[name] = _number(getattr(preset, name))
    for group, attribute in GROUPS.items():
        for unit in getattr(preset, attribute):
            for name in fields_of(unit):
                value = getattr(unit, name)
                key = f"{group}.{unit.name}.{name}"
                listed[key] = (
                    _number(value)
                    if isinstance(value, Cited)
                    else {"value": _plain(value), "source": unit.source}
                )
    for name, cost in {**(costs or {}), **preset.costs}.items():
        listed[f"cost.{name}"] = _number(cost)
    return listed


def differences(preset: Preset) -> dict[str, Any]:
    """What makes a preset another than the published one of its name, value by key."""
    if preset.name not in presets.names():
        return {}
    published = listing(presets.load(preset.name))
    return {
        key: entry["value"]
        for key, entry in listing(preset).items()
        if entry["value"] != published.get(key, {}).get("value")
    }


def _number(cited: Cited) -> dict[str, Any]:
    plain = dataclasses.asdict(cited)
    if cited.low == cited.value == cited.high:
        del plain["low"], plain["high"]
    return plain


def _plain(value: Any) -> Any:
    return "+".join(value) if isinstance(value, tuple) else value
