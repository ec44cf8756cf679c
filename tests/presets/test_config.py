"""Configuration and overrides: what is impossible is refused in one sentence."""

from __future__ import annotations

import pytest

from mmulab.mmu import presets
from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError
from mmulab.mmu.hardware.build import build_core
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
    ],
)
def test_bad_override(key: str, text: str, expected: str) -> None:
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
        "page_table_share": "0.5",
    }.get(field, "8")
    changed = override(SKYLAKE, key, text)
    assert changed != SKYLAKE


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
        build_core(preset, 1)


def test_tree_plru_needs_a_power_of_two() -> None:
    preset = override(SKYLAKE, f"tlb.{l2_name()}.policy", "plru")
    with pytest.raises(InputError, match="tree-PLRU needs a power of two"):
        build_core(override(preset, f"tlb.{l2_name()}.ways", "12"), 1)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("page_size", "8k", "unknown page size '8k'"),
        ("host_page_size", "thp", "unknown host page size 'thp'"),
        ("shadow_policy", "unsinc", "did you mean 'unsync'"),
        ("levels", 3, "expected 4 or 5"),
        ("host_levels", 6, "expected 4 or 5"),
        ("memory", 100, "expected 1 MiB to 4 TiB"),
        ("seed", 0, "expected 1"),
    ],
)
def test_bad_config(field: str, value: object, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        parse("native", Config(**{field: value}))  # type: ignore[arg-type]
