"""docs/extending.md shows the file and the hooks as they are."""

from __future__ import annotations

from pathlib import Path

from mmulab.mmu.techniques import registry, seam

DOCS = Path(__file__).parents[2] / "docs"
TEXT = (DOCS / "extending.md").read_text()
FILE = DOCS / "extending" / "fault_around.py"

#: What the defaults do, where they do something.
DEFAULTS = {
    "store": "writes it",
    "invlpg": "drops the page's translations",
    "load_cr3": "loads it, and without `keep` drops what was cached of its PCID",
    "flush_range": "loads CR3 anew",
    "fault": "returns `status`",
    "place_table": "returns -1",
    "place_page": "returns -1",
}


def hooks_table() -> str:
    """The table of hooks, as the document has to have it."""
    rows = ["| hook | arguments | when | returns | default |", "|---|---|---|---|---|"]
    for name, hook in seam.HOOKS.items():
        takes = ", ".join(hook.takes)
        default = DEFAULTS.get(name, "nothing")
        rows.append(f"| `{name}` | {takes} | {hook.meaning} | {hook.returns} | {default} |")
    return "\n".join(rows) + "\n"


def test_the_listing_is_the_file() -> None:
    (listing,) = TEXT.split("```python\n")[1:]
    assert listing.split("```\n")[0] == FILE.read_text()


def test_the_table_of_hooks_is_the_seams() -> None:
    assert hooks_table() in TEXT


def test_defaults_that_do_something_are_known() -> None:
    """The defaults of the others only return OK."""
    others = {op.default for name, op in seam.HOOKS.items() if name not in DEFAULTS}
    named = {getattr(each, "py_func", each).__name__ for each in others}
    assert named == {"_nothing", "_nothing_1", "_nothing_2", "_nothing_3"}


def test_what_the_text_says_of_the_file_holds() -> None:
    technique = registry.get(str(FILE))
    nested = registry.get("nested")
    changed = {name for name, hook in technique.hooks.items() if hook is not nested.hooks[name]}
    assert changed == {"touch", "read", "fault"}
    assert "fault_around.mapped_around" in TEXT and "mapped_around" in technique.costs
