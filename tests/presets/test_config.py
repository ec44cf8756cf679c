"""Configuration and overrides: what is impossible is refused in one sentence."""

from __future__ import annotations

import pytest

from mmulab.mmu import presets
from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.hardware.build import build_core
from mmulab.mmu.presets.listing import listing
from mmulab.mmu.presets.overrides import override, settable
from mmulab.mmu.techniques.specs import parse

SKYLAKE = presets.load("skylake-sp")


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("tlb.L9.ways", "4", "unknown key 'tlb.L9.ways'"),
        ("cost.vm_exits", "4", "did you mean 'cost.vm_exit'?"),
        ("cost.vm_exit", "lots", "expected a number"),
        ("cost.vm_exit", "-1", "expected a number from 0"),
        ("cost.vm_exit", "nan", "expected a number from 0"),
        ("nonsense", "4", "unknown key 'nonsense'"),
        ("pcid", "maybe", "pcid=maybe: expected true or false"),
        ("va_levels", "6", "va_levels=6: expected 4 or 5"),
        ("arch", "x86", "unknown value of arch 'x86'; did you mean 'x86-64'?"),
        ("prefetchers", "streams", "did you mean 'stream'?"),
        ("walks_enter", "L4", "unknown value of walks_enter 'L4'"),
        ("cache.L3.inclusion", "inclusiv", "did you mean 'inclusive'?"),
        ("tlb.stlb.entries", "1000", "entries=1000: expected a multiple of its 12 ways"),
        ("tlb.stlb.ways", "half", "expected a whole number"),
        ("tlb.stlb.source", "mine", "unknown key 'tlb.stlb.source'"),
        ("cost.vm_exit", {"value": 5, "low": 6}, "cost.vm_exit: 5: expected a value from 6 to 5"),
        ("cost.vm_exit", {"low": 6}, "cost.vm_exit: no value"),
        ("cost.vm_exit", {"value": 6, "hihg": 7}, "did you mean 'cost.vm_exit.high'?"),
        ("cost.vm_exit", {"value": True}, "cost.vm_exit=True: expected a number"),
        ("tlb.stlb.ways", {"value": 6, "high": 7}, "tlb.stlb.ways: a range; expected one value"),
    ],
)
def test_bad_override(key: str, text: object, expected: str) -> None:
    with pytest.raises(InputError, match=expected.replace("?", r"\?")):
        override(SKYLAKE, key, text)


@pytest.mark.parametrize("key", settable(SKYLAKE))
def test_each_settable_key_is_taken(key: str) -> None:
    field = key.rpartition(".")[2]
    text = {
        "kinds": "D",
        "page_sizes": "4k+2m",
        "policy": "fifo",
        "level": "2",
        "index": "hashed",
        "inclusion": "inclusive" if ".L3." not in key else "neither",
        "arch": "aarch64",
        "va_levels": "5",
        "walks_enter": "L2",
        "prefetchers": "stream+stride",
        "tlb_prefetch": "distance",
        "entries": "48",
        "pcid": "off",
        "vpid": "false",
        "ept_ad": "no",
        "final_walk_cached": "no",
    }.get(field, "8")
    changed = override(SKYLAKE, key, text)
    assert changed != SKYLAKE
    assert {**listing(SKYLAKE), **listing(changed)} != listing(SKYLAKE)


def shape(preset, name: str) -> tuple[int, int]:  # type: ignore[no-untyped-def]
    units = {unit.name: unit for unit in (*preset.tlbs, *preset.walk_caches)}
    return units[name].sets, units[name].ways


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("tlb.stlb.entries", "768", (64, 12)),  # keeps its 12 ways
        ("tlb.stlb.ways", "full", (1, 1536)),
        ("tlb.itlb-2m.entries", "16", (1, 16)),  # stays fully associative
        ("walk_cache.ntlb.entries", "0", (1, 0)),
        ("walk_cache.ntlb.ways", "0", (1, 0)),
    ],
)
def test_entries_and_full_associativity(key: str, text: str, expected: tuple) -> None:
    changed = override(SKYLAKE, key, text)
    name = key.split(".")[1]
    assert shape(changed, name) == expected
    build_core(changed)


def test_a_walk_cache_is_removed_alone() -> None:
    changed = override(SKYLAKE, "walk_cache.pde.entries", "0")
    names = build_core(SKYLAKE)[1]
    assert build_core(changed)[1] == [name for name in names if name != "walk cache pde"]
    listed = listing(changed)["walk_cache.pde.ways"]
    assert listed["value"] == 0 and listed["source"].startswith("absent: entries: set by the user")


def test_the_source_of_what_else_a_structure_has_stays() -> None:
    changed = override(SKYLAKE, "tlb.stlb.ways", "8")
    (stlb,) = [tlb for tlb in changed.tlbs if tlb.name == "stlb"]
    (before,) = [tlb for tlb in SKYLAKE.tlbs if tlb.name == "stlb"]
    assert stlb.source == f"ways: set by the user; {before.source}"


def l2_name() -> str:
    return next(tlb.name for tlb in SKYLAKE.tlbs if tlb.level == 2)


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        ("sets", "48", "48 sets; the index needs a power of two"),
        ("sets", "0", "0 sets"),
        ("ways", "0", "0 ways"),
        ("ways", "2097152", "expected at most"),
        ("level", "3", "level 3; expected 1 or 2"),
        ("kinds", "X", "expected I, D or ID"),
        ("page_sizes", "4k+8k", "page size '8k'"),
    ],
)
def test_impossible_geometry(field: str, text: str, expected: str) -> None:
    preset = override(SKYLAKE, f"tlb.{l2_name()}.{field}", text)
    with pytest.raises(InputError, match=expected):
        build_core(preset)


def test_tree_plru_needs_a_power_of_two() -> None:
    preset = override(SKYLAKE, f"tlb.{l2_name()}.policy", "plru")
    with pytest.raises(InputError, match="tree-PLRU needs a power of two"):
        build_core(override(preset, f"tlb.{l2_name()}.ways", "12"))


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("page_size", "8k", "unknown page size '8k'"),
        ("host_page_size", "thp", "unknown host page size 'thp'"),
        ("shadow_policy", "unsinc", "did you mean 'unsync'"),
        ("levels", 2, "expected 3 to 5"),
        ("host_levels", 6, "expected 2 to 5"),
        ("memory", 100, "expected 1 MiB to 4 TiB"),
        ("seed", 0, "expected 1"),
    ],
)
def test_bad_config(field: str, value: object, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        parse("native", Config(**{field: value}))  # type: ignore[arg-type]
