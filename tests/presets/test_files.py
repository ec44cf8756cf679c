"""Preset files: what they change, that they are read as they are written, and bad ones."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmulab.mmu import presets
from mmulab.mmu.config.preset_files import from_toml, load, to_toml
from mmulab.mmu.errors import InputError
from mmulab.mmu.presets.cited import Cited
from mmulab.mmu.presets.overrides import override, settable

NESTED = """
base = "zen-4"
title = "mine"
year = 2026
notes = ["measured"]
pcid = false
memory_latency = {value = 480, low = 450, high = 520, source = "measured"}

[walk_cache.ntlb]
entries = 0

[tlb.dtlb]
entries = 96

[tlb.l2-dtlb]
ways = "full"
entries = 1536

[cache.L3.latency]
value = 60
source = "a chase over 16 MiB"

[cost.shadow]
pte_write = 700
"""

DOTTED = """
cost.shadow.pte_write = 700
cache.L3.latency = {source = "a chase over 16 MiB", value = 60}
tlb.l2-dtlb.entries = {value = 1536}
tlb.l2-dtlb.ways.value = "full"
tlb.dtlb = {entries = 96}
walk_cache.ntlb.entries = 0
memory_latency.value = 480
memory_latency.source = "measured"
memory_latency.low = 450
memory_latency.high = 520
pcid = false
notes = ["measured"]
year = 2026
title = "mine"
base = "zen-4"
"""


def costs() -> list[str]:
    return ["shadow.pte_write"]


def test_each_preset_is_read_as_it_is_written(preset):
    text = to_toml(preset)
    again = from_toml(text, preset.name)
    assert again == preset and again.base == preset.name
    assert to_toml(again) == text


def test_what_a_file_changes():
    mine, base = from_toml(NESTED, "mine", costs), presets.load("zen-4")
    assert (mine.name, mine.base, mine.title, mine.year) == ("mine", "zen-4", "mine", 2026)
    assert mine.notes == ("measured",) and not mine.pcid and mine.vpid
    assert mine.memory_latency == Cited(480, "measured", 450, 520)
    assert mine.costs["shadow.pte_write"] == Cited(700, "mine.toml")
    assert mine.costs["vm_exit"] == base.costs["vm_exit"]
    shapes = {unit.name: (unit.sets, unit.ways) for unit in (*mine.tlbs, *mine.walk_caches)}
    assert (shapes["dtlb"], shapes["ntlb"]) == ((1, 96), (1, 0))
    assert shapes["l2-dtlb"] == (1, 1536)
    assert mine.caches[2].latency == Cited(60, "a chase over 16 MiB")
    assert mine.caches[2].source.startswith("latency: a chase over 16 MiB; ")


def test_nested_and_dotted_keys_in_any_order_are_one():
    assert from_toml(NESTED, "mine", costs) == from_toml(DOTTED, "mine", costs)


def test_a_changed_preset_is_read_as_it_is_written():
    mine = from_toml(NESTED, "mine", costs)
    assert from_toml(to_toml(mine), "mine", costs) == mine
    changed = override(mine, "prefetchers", "stride+stream")
    assert from_toml(to_toml(changed), "mine", costs).prefetchers.names == ("stride", "stream")


def test_a_base_can_be_a_file_beside_it(tmp_path: Path):
    (tmp_path / "one.toml").write_text('base = "haswell"\ncost.vm_exit = 900\n')
    (tmp_path / "two.toml").write_text('base = "one.toml"\ncost.invlpg = 90\n')
    two = load(str(tmp_path / "two.toml"))
    assert (two.name, two.base) == ("two", "haswell")
    assert (two.costs["vm_exit"].value, two.costs["invlpg"].value) == (900, 90)
    assert two.costs["vm_exit"].source == "one.toml"
    assert load(tmp_path / "two.toml") == two
    assert load("haswell") == presets.load("haswell")


BAD = {
    "": "no base; expected base = ",
    "base = 3": "no base",
    'base = "zen4"': "base: unknown preset 'zen4'; did you mean 'zen-4'?",
    'base = "none.toml"': "none.toml: No such file",
    'base = "zen-4"\ncost.vm_exits = 3': "did you mean 'cost.vm_exit'?",
    'base = "zen-4"\ncost.shadow.pte_write = 3': "unknown key 'cost.shadow.pte_write'",
    'base = "zen-4"\n[tlbs.dtlb]\nways = 3': "unknown key 'tlbs.dtlb.ways'",
    'base = "zen-4"\ncost.vm_exit = "x"': "cost.vm_exit=x: expected a number",
    'base = "zen-4"\ncost.vm_exit = {value = 1, low = 2}': "cost.vm_exit: 1: expected a value from",
    'base = "zen-4"\ncost.vm_exit = {value = 1, hi = 2}': "unknown key 'cost.vm_exit.hi'",
    'base = "zen-4"\ncost.vm_exit = {low = 1}': "unknown key 'cost.vm_exit.low'",
    'base = "zen-4"\npcid = 7': "pcid=7: expected true or false",
    'base = "zen-4"\nyear = "x"': "year=x: expected a whole number",
    'base = "zen-4"\ntlb.dtlb.source = 7': "unknown key 'tlb.dtlb.source'",
    'base = "zen-4"\ntlb.l2-dtlb.sets = 48': "TLB l2-dtlb: 48 sets; the index needs",
    'base = "zen-4"\ntlb.dtlb.kinds = "X"': "kinds 'X'; expected I, D or ID",
    'base = "zen-4"\nwalk_cache.pde.policy = "plrus"': "did you mean 'plru'?",
    "base = zen-4": "not TOML",
}


@pytest.mark.parametrize("text", BAD)
def test_bad_files(tmp_path: Path, text: str):
    path = tmp_path / "bad.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load(str(path))
    said = str(error.value)
    assert BAD[text] in said and said.startswith(f"preset {tmp_path}") and "\n" not in said


def test_circles_are_refused(tmp_path: Path):
    (tmp_path / "one.toml").write_text('base = "two.toml"')
    (tmp_path / "two.toml").write_text('base = "one.toml"')
    with pytest.raises(InputError, match=r"preset .*one.toml: its base leads back to it"):
        load(str(tmp_path / "one.toml"))


def test_the_command_takes_what_it_prints(mmulab, tmp_path: Path) -> None:  # type: ignore
    path = tmp_path / "mine.toml"
    path.write_text(mmulab("presets", "neoverse-v2", "--toml").out)
    assert load(str(path)).costs == presets.load("neoverse-v2").costs
    assert mmulab("presets", path).out.startswith("mine: Arm Neoverse V2 (AWS Graviton4) (2024)")
    path.write_text('base = "haswell"\ncost.nested.ept_violation = 70\ncost.nested.ept = 1')
    result = mmulab("compare", "gups:size=4M,accesses=1K", "--preset", path)
    assert result.code == 2
    assert f"preset {path}: unknown key 'cost.nested.ept'" in result.err
    assert mmulab("presets", "--toml").code == 2


PAGE = (Path(__file__).parents[2] / "docs" / "presets.md").read_text(encoding="utf-8")


def test_the_page_on_presets_shows_a_file_that_is_taken():
    (text,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, flags=re.M | re.S)
    mine = from_toml(text, "mine", costs)
    assert mine.costs["vm_exit"] == Cited(1500, "mine.toml")
    assert [unit.ways for unit in mine.walk_caches if unit.name == "ntlb"] == [0]


def test_the_page_on_presets_has_each_of_them_and_each_key(preset):
    table, keys = (PAGE.split(head)[1].split("\n\n")[0] for head in ("| preset |", "| key |"))
    assert f"`{preset.name}`" in table
    for key in settable(preset):
        group, _, rest = key.partition(".")
        assert f"`{group}.NAME" in keys if rest else f"`{key}`" in keys, key
