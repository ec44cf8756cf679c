"""What a run is configured with, checked before anything is allocated."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from typing import Any

from mmulab.mmu.errors import InputError, unknown
from mmulab.mmu.memory.entries import SIZE_NAMES
from mmulab.mmu.presets.preset import POLICIES, Cited, Preset

HUGE_POLICIES = (*SIZE_NAMES, "thp")
SHADOW_POLICIES = ("unsync", "trap")

#: A slot's number must fit beside time stamps in an age (`hardware.clocks`); far above any
#: real structure.
MAX_ENTRIES = 1 << 20


@dataclass(frozen=True)
class Config:
    """A simulated machine, apart from its technique.

    memory, host_memory: bytes of guest-physical and host-physical memory; the host has
    an eighth more than the guest unless told otherwise. page_size: of the guest, "4k",
    "2m", "1g", or "thp" (2 MiB wherever a mapping covers an aligned range, else 4 KiB).
    host_page_size: what the VMM backs guest memory with. levels, host_levels: of the
    guest's and the nested page table. pcid, vpid, ept_ad: None: as the preset has it.
    walk_caches: False removes paging-structure caches and nested TLB. seed: of random
    replacement.
    """

    memory: int = 16 << 30
    host_memory: int = 0
    page_size: str = "4k"
    host_page_size: str = "4k"
    levels: int = 4
    host_levels: int = 4
    shadow_policy: str = "unsync"
    pcid: bool | None = None
    vpid: bool | None = None
    ept_ad: bool | None = None
    walk_caches: bool = True
    seed: int = 1

    def __post_init__(self) -> None:
        _choice("page size", self.page_size, HUGE_POLICIES)
        _choice("host page size", self.host_page_size, SIZE_NAMES)
        _choice("shadow policy", self.shadow_policy, SHADOW_POLICIES)
        for name in ("levels", "host_levels"):
            if getattr(self, name) not in (4, 5):
                raise InputError(f"{name.replace('_', ' ')} {getattr(self, name)}: expected 4 or 5")
        for name in ("memory", "host_memory"):
            value = getattr(self, name)
            if value and not 1 << 20 <= value <= 1 << 42:
                raise InputError(
                    f"{name.replace('_', ' ')} of {value} bytes: expected 1 MiB to 4 TiB"
                )
        if not 0 < self.seed < 1 << 62:
            raise InputError(f"seed {self.seed}: expected 1 to 2**62 - 1")

    @property
    def guest_frames(self) -> int:
        return self.memory >> 12

    @property
    def host_frames(self) -> int:
        return (self.host_memory or self.memory + self.memory // 8) >> 12


def _choice(what: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise unknown(what, value, known)


# --- `--set key=value` on a preset ----------------------------------------------

_GROUPS = {"tlb": "tlbs", "walk_cache": "walk_caches", "cache": "caches"}
_CITED = ("page_table_share", "memory_latency")


def override(preset: Preset, key: str, text: str) -> Preset:
    """The preset with one value changed.

    Keys: `cost.NAME`, `memory_latency`, `page_table_share`, and for each structure
    `tlb.NAME.FIELD`, `walk_cache.NAME.FIELD`, `cache.NAME.FIELD` with the fields of
    `mmu.presets.preset`. Raises InputError for an unknown key, with the nearest, or a
    value of the wrong type.
    """
    group, _, rest = key.partition(".")
    if key in _CITED:
        changed: dict[str, Any] = {key: Cited(_number(key, text), "set by the user")}
        return replace(preset, **changed)
    if group == "cost":
        if rest not in preset.costs:
            raise unknown("key", key, [f"cost.{name}" for name in preset.costs])
        costs = {**preset.costs, rest: Cited(_number(key, text), "set by the user")}
        return replace(preset, costs=costs)
    if group not in _GROUPS:
        raise unknown("key", key, settable(preset))
    name, _, field = rest.rpartition(".")
    structures = list(getattr(preset, _GROUPS[group]))
    for position, structure in enumerate(structures):
        if structure.name == name and field in _fields(structure):
            value = _field_value(key, field, getattr(structure, field), text)
            structures[position] = replace(
                structure, **{field: value, "source": f"{field} set by the user"}
            )
            new: dict[str, Any] = {_GROUPS[group]: tuple(structures)}
            return replace(preset, **new)
    raise unknown("key", key, settable(preset))


def _fields(structure: Any) -> list[str]:
    return [f.name for f in dataclasses.fields(structure) if f.name not in ("name", "source")]


def settable(preset: Preset) -> list[str]:
    """Every key that `override` takes for a preset."""
    keys = list(_CITED) + [f"cost.{name}" for name in preset.costs]
    for group, attribute in _GROUPS.items():
        for structure in getattr(preset, attribute):
            keys += [f"{group}.{structure.name}.{field}" for field in _fields(structure)]
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
        _choice(f"value of {key}", text, POLICIES)
    return text


def check_geometry(name: str, sets: int, ways: int, policy: str) -> None:
    """Raises InputError where no such array can be built."""
    if sets < 1 or sets & (sets - 1):
        raise InputError(f"{name}: {sets} sets; the index needs a power of two")
    if ways < 1:
        raise InputError(f"{name}: {ways} ways; expected at least 1")
    if sets * ways > MAX_ENTRIES:
        raise InputError(f"{name}: {sets} x {ways} entries; expected at most {MAX_ENTRIES}")
    _choice(f"policy of {name}", policy, POLICIES)
    if policy == "plru" and (ways & (ways - 1) or ways > 64):
        raise InputError(f"{name}: tree-PLRU needs a power of two of at most 64 ways, not {ways}")
