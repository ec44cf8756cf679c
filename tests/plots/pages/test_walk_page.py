"""`mmulab walk --html`: what stands on the page."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from drivers.browser import LOOKS, visit

import mmulab as package
from mmulab.mmu.by_hand import entry_bits, variants, walkthrough
from mmulab.mmu.by_hand.walkthrough import Reference
from mmulab.mmu.config import Config
from mmulab.mmu.memory.formats import FORMATS
from mmulab.mmu.techniques.specs import parse_all
from mmulab.plots.pages import walk_page, walk_words

GVA = 0x3F12345ABC
SKYLAKE = package.preset("skylake-sp")
NESTED = variants.variants(GVA, "nested", SKYLAKE, Config())


def count(*on: str) -> int:
    """References of the nested walk with these switched on."""
    return len(NESTED.walks[NESTED.of[frozenset(on)]].references)


def test_switches_shorten_a_nested_walk() -> None:
    """24 references (Bhargava et al., ASPLOS 2008); a paging-structure cache leaves the leaf's
    alone, the nested TLB what locates the guest's tables."""
    assert count() == 24
    assert count("nested-psc") == 5 + 3 * 2 + 1  # each nested walk but the first is its leaf
    assert count("beside", "ntlb") == 4 + 4  # the guest's entries, and the nested walk of the page
    assert count("beside", "psc", "nested-psc", "ntlb") == 2  # gPTE and nPTE
    assert count("beside") == count("ntlb") == count("psc") == 24  # what is empty shortens nothing


def test_a_switch_that_does_nothing_is_known() -> None:
    native = variants.variants(GVA, "native", SKYLAKE, Config())
    assert native.matter == {"psc", "beside"}
    assert [len(walk.references) for walk in native.walks] == [4, 1]
    assert {each.key for each in variants.switches(package.preset("opteron-2008"))} == {
        "pwc", "ntlb", "beside",
    }  # fmt: skip


@pytest.mark.parametrize("page_size", ["4k", "2m", "1g"])
@pytest.mark.parametrize("technique", ["native", "shadow", "nested", "flat-nested"])
def test_all_walks_end_at_one_address(technique: str, page_size: str) -> None:
    config = Config(page_size=page_size, host_page_size="2m")
    found = variants.variants(GVA, technique, SKYLAKE, config)
    (address,) = {walk_words.address_found(walk) for walk in found.walks}
    assert address is not None and address & 0xFFF == GVA & 0xFFF


@pytest.mark.parametrize("arch", FORMATS)
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("level", [1, 2, 4])
def test_an_entrys_fields_are_its_bits(arch: str, nested: bool, level: int) -> None:
    """Each bit once, by the name that it has among the format's flags."""
    entry = FORMATS[arch].encode(0x12345067, level, nested)
    levels = (0, level) if nested else (level, 0)
    reference = Reference("nPT" if nested else "gPT", *levels, 0, 0, entry, "L1D", arch)
    found = entry_bits.fields(reference)
    places = [bit for each in found for bit in range(each.high, each.low - 1, -1)]
    assert places == list(range(63, -1, -1))
    assert sum(each.value << each.low for each in found) == entry
    assert entry_bits.frame(reference) == 0x12345
    names = {each.low: each.name for each in found}
    for bit, name in FORMATS[arch].flags[nested]:
        if (name, level) not in (("PS", 1), ("large", 1)):  # an entry of level 1 has none
            assert names[(bit % (1 << 64)).bit_length() - 1] == name


def test_a_leaf_says_which_frame() -> None:
    *_, last = package.walk(GVA, "native", preset="skylake-sp").references
    said = {each.name: each.meaning for each in entry_bits.fields(last)}
    assert said["frame"] == f"the page begins at frame {last.entry >> 12 & (1 << 40) - 1:#x}"
    assert said["P"] == "present" and said["D"] == "clean: the page has not been stored to"


def test_memory_type_of_an_nptes_is_write_back() -> None:
    nested = package.walk(GVA, "nested", preset="skylake-sp").references
    said = [{each.name: each.meaning for each in entry_bits.fields(one)} for one in nested[:4]]
    assert [each["type"] for each in said] == ["reserved: it points to a table"] * 3 + [
        "memory type 6: write back"
    ]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("walk") / "walk.html"
    found = [variants.variants(GVA, each, SKYLAKE, Config()) for each in ("native", "nested")]
    config = Config(walk_caches=False)
    path.write_text(walk_page.html(walk_page.shown(found, SKYLAKE, config)))
    return path


def test_the_page_has_a_table_of_each_walk_that_differs(page: Path) -> None:
    text = page.read_text()
    assert text.count('class="walk"') == text.count("<svg") == 2 + len(NESTED.walks)
    assert text.count('class="walk" hidden') == text.count('class="walk"') - 2
    data = json.loads(re.findall(r'<script type="application/json" id="walks-data">(.*)</script>',
                                 text)[0])  # fmt: skip
    assert len(data["steps"]) == 2 + len(NESTED.walks)
    assert data["techniques"][1]["walks"]["0"] == 2


@pytest.mark.parametrize(
    ("page_size", "offset"), [("4k", "11:0 0xabc"), ("2m", "20:0 0x145abc"), ("1g", "29:0")]
)
def test_the_address_is_split_as_the_pages_are(page_size: str, offset: str) -> None:
    config = Config(page_size=page_size, walk_caches=False)
    found = variants.variants(GVA, "native", SKYLAKE, config)
    text = walk_page.html(walk_page.shown([found], SKYLAKE, config))
    items = re.findall(r"<li[^>]*>(.*?)</li>", text[: text.index("</ol>")])
    parts = [" ".join(re.findall(r">([^<]+)<", item)) for item in items]
    assert parts[0] == f"47:39 {GVA >> 39 & 511} index into the PML4"
    assert parts[-1].startswith(offset) and parts[-1].endswith("offset in the page")


def test_every_technique_has_its_references_on_a_page() -> None:
    config = Config(walk_caches=False)
    specs = parse_all("native,shadow,nested,all", config)
    for spec in specs:
        walk = walkthrough.walk(GVA, spec, SKYLAKE, config)
        found = variants.Variants((walk,), {frozenset(): 0}, frozenset())
        text = walk_page.html(walk_page.shown([found], SKYLAKE, config))
        first, _, _ = text.partition("</section>")
        assert first.count("<tr") == (len(walk.references) + 1 if walk.references else 0)
    assert len(specs) >= 22


def test_the_command_writes_it(mmulab, tmp_path: Path) -> None:  # type: ignore
    path = tmp_path / "walk.html"
    result = mmulab("walk", hex(GVA), "--preset", "skylake-sp", "--walk-caches", "--html", path)
    assert result.code == 0 and "nested: 12 memory references" in result.out
    text = path.read_text()
    assert f"mmulab walk {GVA:#x} --preset skylake-sp" in text
    assert re.search(r'value="ntlb" checked', text)


def test_every_button_in_a_browser(browser, page: Path) -> None:  # type: ignore
    with visit(browser, page) as seen:
        count = seen.page.locator("#count")
        assert count.text_content() == "step 0 of 24"
        assert seen.page.is_disabled("#back") and seen.page.is_disabled("#reset")
        for _ in range(5):
            seen.page.click("#next")
        assert "gPML4E" in seen.page.text_content("#says")
        assert seen.page.locator("#walk-2 g.now").get_attribute("data-step") == "5"
        assert seen.page.locator("#walk-2 tr.now").get_attribute("data-step") == "5"
        assert seen.page.locator(".address .used b").text_content() == str(GVA >> 39 & 511)
        assert "user mode may" in seen.page.text_content("#decoded")
        seen.page.click("#back")
        assert count.text_content() == "step 4 of 24"
        assert "memory type 6: write back" in seen.page.text_content("#decoded")
        seen.page.click("#play")
        assert seen.page.text_content("#play") == "Pause"
        seen.page.locator("#walk-2 g.now[data-step='6']").wait_for()
        seen.page.click("#play")
        assert seen.page.text_content("#play") == "Play"
        seen.page.click("#reset")
        assert count.text_content() == "step 0 of 24" and not seen.page.is_visible("#decoded")
        seen.page.click("#walk-2 tr[data-step='7']")
        assert count.text_content() == "step 7 of 24"


def test_keys_in_a_browser(browser, page: Path) -> None:  # type: ignore
    with visit(browser, page) as seen:
        count = seen.page.locator("#count")
        for key, expected in (
            ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("p", 2), ("p", 2), ("r", 0),
        ):  # fmt: skip
            seen.page.keyboard.press(key)
            assert count.text_content() == f"step {expected} of 24"
        seen.page.focus("input[name=technique]:checked")
        seen.page.keyboard.press("ArrowLeft")  # chooses; does not step
        assert count.text_content() == "step 0 of 4"


def test_switches_in_a_browser(browser, page: Path) -> None:  # type: ignore
    with visit(browser, page) as seen:
        for key in ("psc", "nested-psc", "ntlb", "beside"):
            seen.page.locator(f"input[value={key}]").check()
        assert seen.page.text_content("#count") == "step 0 of 2"
        assert seen.page.locator(".walk:visible .left-out").count() > 10
        seen.page.locator("input[name=technique]").first.check()
        assert seen.page.text_content("#count") == "step 0 of 1"
        assert seen.page.is_disabled("input[value=ntlb]")


@pytest.mark.parametrize(("scheme", "width"), LOOKS)
def test_it_is_accessible(browser, page: Path, scheme: str, width: int) -> None:  # type: ignore
    with visit(browser, page, scheme, width) as seen:
        seen.page.click("#next")
        assert seen.violations() == []
        assert not seen.is_too_wide


def test_it_is_tables_without_a_script(browser, page: Path) -> None:  # type: ignore
    with visit(browser, page, scripts=False) as seen:
        assert seen.page.locator("table:visible").count() == 2
        assert seen.page.locator("button:visible").count() == 0
        assert seen.page.locator("svg:visible").count() == 2
