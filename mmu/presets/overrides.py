"""`--set key=value`: a preset with one of its values changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.presets.cited import WALK, Cited, Stated
from mmulab.mmu.presets.preset import (
    ARCHITECTURES,
    FLAGS,
    INCLUSIONS,
    INDICES,
    NUMBERS,
    POLICIES,
    STATED,
    Preset,
    WalkCache,
)

#: Where the structures of each kind stand in a preset.
GROUPS = {"tlb": "tlbs", "walk_cache": "walk_caches", "cache": "caches"}

#: Fields of a structure that are names, and which.
_CHOICES = {"policy": POLICIES, "inclusion": INCLUSIONS, "index": INDICES}

_TABLE = ("value", "low", "high", "source")
_ON = {"true": True, "on": True, "yes": True, "false": False, "off": False, "no": False}


@dataclass(frozen=True)
class _Given:
    """A value as it is given, and the words for where it comes from."""

    key: str
    value: Any
    source: str
    low: Any = None
    high: Any = None

    @property
    def shown(self) -> str:
        return f"{self.key}={self.value}"

    def number(self, value: Any) -> float:
        try:
            number = float("nan") if isinstance(value, bool) else float(value)
        except (TypeError, ValueError):
            raise InputError(f"{self.key}={value}: expected a number") from None
        if not 0 <= number < 1e12:
            raise InputError(f"{self.key}={value}: expected a number from 0 to 1e12")
        return number

    def cited(self) -> Cited:
        ends = [None if end is None else self.number(end) for end in (self.low, self.high)]
        try:
            return Cited(self.number(self.value), self.source, *ends)  # type: ignore[arg-type]
        except InputError as error:
            prefix = "" if str(error).startswith(f"{self.key}=") else f"{self.key}: "
            raise InputError(f"{prefix}{error}") from None

    def exact(self) -> Any:
        if self.low is not None or self.high is not None:
            raise InputError(f"{self.key}: a range; expected one value")
        return self.value

    def whole(self) -> int:
        value = self.exact()
        try:
            if isinstance(value, str):
                return int(value, 0)
            if isinstance(value, int) and not isinstance(value, bool):
                return value
        except ValueError:
            pass
        raise InputError(f"{self.shown}: expected a whole number")

    def names(self, known: Iterable[str] = ()) -> tuple[str, ...]:
        value = self.exact()
        parts = value if isinstance(value, (list, tuple)) else str(value).split("+")
        found = tuple(str(part).strip() for part in parts if str(part).strip())
        for name in found if known else ():
            if name not in known:
                raise unknown(f"value of {self.key}", name, known)
        return found

    def choice(self, known: Iterable[str]) -> str:
        value = str(self.exact())
        if value not in known:
            raise unknown(f"value of {self.key}", value, known)
        return value


def override(
    preset: Preset, key: str, value: Any, more: Iterable[str] = (), source: str = "set by the user"
) -> Preset:
    """The preset with one value changed.

    Keys: fields of a preset that are numbers, names or flags (`memory_latency`, `walks_enter`,
    `pcid`), `cost.NAME`, and for each structure `tlb.NAME.FIELD`, `walk_cache.NAME.FIELD`,
    `cache.NAME.FIELD` with the fields of `mmu.presets.preset`. Of TLBs and walk caches, `entries`
    changes sets and keeps ways, or ways where there is one set; `ways` "full" makes one set; a
    walk cache of 0 ways or entries is absent.

    value: a text, a number, or a mapping of value, low, high and source. more: what `cost.` can
    be besides, the costs of techniques. source: where there is none in the value. Raises
    InputError for an unknown key, with the nearest, or a value that cannot be.
    """
    given = _given(key, value, source)
    group, _, rest = key.partition(".")
    if key in NUMBERS:
        return _with(preset, key, given.cited())
    if key in STATED:
        known = STATED[key] or tuple(cache.name for cache in preset.caches)
        return _with(preset, key, Stated(given.names(known), given.source))
    if key in FLAGS:
        return _with(preset, key, _flag(given))
    if group == "cost" and (rest in preset.costs or rest in _costs(preset, more)):
        return replace(preset, costs={**preset.costs, rest: given.cited()})
    if group == "cost":
        raise unknown("key", key, [f"cost.{name}" for name in _costs(preset, more)])
    name, _, field = rest.rpartition(".")
    structures = list(getattr(preset, GROUPS[group])) if group in GROUPS else []
    for position, structure in enumerate(structures):
        if structure.name == name and field in fields_of(structure):
            structures[position] = _changed(structure, field, given)
            return _with(preset, GROUPS[group], tuple(structures))
    raise unknown("key", key, settable(preset, more))


def _with(preset: Preset, field: str, value: Any) -> Preset:
    changes: dict[str, Any] = {field: value}
    return replace(preset, **changes)


def _given(key: str, value: Any, source: str) -> _Given:
    if not isinstance(value, Mapping):
        return _Given(key, value, source)
    for name in value:
        if name not in _TABLE:
            raise unknown("key", f"{key}.{name}", [f"{key}.{each}" for each in _TABLE])
    if "value" not in value:
        raise InputError(f"{key}: no value; expected value, low, high and source")
    return _Given(key, **{"source": source, **value})


def _costs(preset: Preset, more: Iterable[str]) -> list[str]:
    return list(dict.fromkeys((*preset.costs, WALK, *more)))


def fields_of(structure: Any) -> list[str]:
    """What can be set of a structure."""
    fields = [f.name for f in dataclasses.fields(structure) if f.name not in ("name", "source")]
    return fields + ["entries"] if "sets" in fields else fields


def settable(preset: Preset, more: Iterable[str] = ()) -> list[str]:
    """Every key that `override` takes for a preset."""
    keys = [*FLAGS, *STATED, *NUMBERS, *(f"cost.{name}" for name in _costs(preset, more))]
    for group, attribute in GROUPS.items():
        for structure in getattr(preset, attribute):
            keys += [f"{group}.{structure.name}.{field}" for field in fields_of(structure)]
    return keys


def _flag(given: _Given) -> Any:
    if given.key == "arch":
        return given.choice(ARCHITECTURES)
    if given.key == "va_levels":
        if given.whole() not in (4, 5):
            raise InputError(f"{given.shown}: expected 4 or 5")
        return given.whole()
    value = given.exact()
    found = value if isinstance(value, bool) else _ON.get(str(value).lower())
    if found is None:
        raise InputError(f"{given.shown}: expected true or false")
    return found


def _changed(structure: Any, field: str, given: _Given) -> Any:
    """A structure with one of its fields, or what stands for some, changed."""
    can_be_absent = isinstance(structure, WalkCache)
    if field == "entries":
        changes = _of_entries(structure, given)
    elif field == "ways" and given.value == "full":
        if hasattr(structure, "sets"):
            changes = {"sets": 1, "ways": structure.sets * structure.ways}
        else:
            changes = {"ways": structure.size // 64}
    else:
        changes = {field: _field_value(field, getattr(structure, field), given)}
    absent = can_be_absent and changes.get("ways", 1) == 0
    source = f"{field}: {given.source}; {structure.source}"
    return replace(structure, **changes, source=f"absent: {source}" if absent else source)


def _of_entries(structure: Any, given: _Given) -> dict[str, int]:
    entries = given.whole()
    if entries == 0 and isinstance(structure, WalkCache):
        return {"ways": 0}
    if structure.sets == 1:
        return {"ways": entries}
    if entries < 1 or entries % structure.ways:
        raise InputError(f"{given.shown}: expected a multiple of its {structure.ways} ways")
    return {"sets": entries // structure.ways}


def _field_value(field: str, old: Any, given: _Given) -> Any:
    if isinstance(old, Cited):
        return given.cited()
    if isinstance(old, tuple):
        return given.names()
    if isinstance(old, int):
        return given.whole()
    return given.choice(_CHOICES[field]) if field in _CHOICES else str(given.exact())
