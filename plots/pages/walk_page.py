"""`mmulab walk --html`: walks step by step, on a page of its own.

All that can be seen is made here, once for each walk that differs; the page's script shows one
of them and lights up its steps. Without a script all walks stand below each other, as tables.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

from mmulab import __version__
from mmulab.mmu.by_hand.entry_bits import Field, fields
from mmulab.mmu.by_hand.variants import Switch, Variants, switches
from mmulab.mmu.by_hand.walkthrough import ENTRY_NAMES, Reference, Walk
from mmulab.mmu.config import Config
from mmulab.mmu.presets.preset import Preset
from mmulab.mmu.report.made import command
from mmulab.plots.pages import walk_words
from mmulab.plots.pages.elements import Markup, data, page, tag
from mmulab.plots.pages.walk_picture import picture


class Shown(NamedTuple):
    """What a page of walks shows. techniques: their walks; the last is shown first. switches:
    there are on this machine. on: keys of those that are on at first. machine: in words."""

    techniques: Sequence[Variants]
    switches: Sequence[Switch]
    on: frozenset[str]
    machine: str


def shown(
    techniques: Sequence[Variants], preset: Preset, config: Config, store: bool = False
) -> Shown:
    """What a page shows of walks on a machine; at first with all its caches, or with none."""
    known = switches(preset)
    on = frozenset(each.key for each in known if each.caches) if config.walk_caches else frozenset()
    machine = (
        f"A {'store' if store else 'load'} on {preset.title}: guest pages of {config.page_size}, "
        f"host pages of {config.host_page_size}, tables of {config.on(preset.arch).levels} levels."
    )
    return Shown(techniques, known, on, machine)


class _Entries:
    """Decoded entries, each once, by number."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, tuple[Field, ...]], int] = {}

    def number(self, reference: Reference) -> int | None:
        found = fields(reference)
        if not found:
            return None
        return self.known.setdefault((f"{reference.name} {reference.entry:#018x}", found),
                                     len(self.known))  # fmt: skip


def html(shown: Shown) -> str:
    """The page."""
    gva = shown.techniques[0].walks[0].gva
    entries = _Entries()
    sections: list[Markup] = []
    plain: list[list[dict[str, Any]]] = []
    for of in shown.techniques:
        first = len(plain)
        at_first = of.of[shown.on]
        for number, walk in enumerate(of.walks):
            identity = f"walk-{first + number}"
            hidden = number != at_first
            sections.append(_section(walk, identity, of.walks, hidden))
            plain.append([_step(walk, step, entries) for step in walk.steps])
    body = tag(
        "main",
        tag("h1", "The page walk for ", tag("code", f"{gva:#x}")),
        tag("p", shown.machine, class_="lead"),
        _address(shown.techniques[-1].walks[0]),
        _controls(shown),
        tag("div", *sections, id="walks"),
        tag("section", tag("h2", "The entry, bit by bit"), tag("div", id="entry"),
            id="decoded", hidden=True, aria_live="off"),
        _footer(),
        *(tag("template", _bits(name, of), id=f"entry-{number}")
          for (name, of), number in entries.known.items()),
        data("walks-data", _data(shown, plain)),
    )  # fmt: skip
    title = f"Page walk for {gva:#x}: " + ", ".join(each.walks[0].technique
                                                    for each in shown.techniques)  # fmt: skip
    return page(title, body, ("page.css", "walk.css"), ("walk.js",))


def _data(shown: Shown, steps: list[Any]) -> dict[str, Any]:
    """For the script: which walk each state of the switches shows, and each walk's steps."""
    keys = [switch.key for switch in shown.switches]
    techniques, first = [], 0
    for of in shown.techniques:
        walk_of = {
            str(sum(1 << at for at, key in enumerate(keys) if key in on)): first + number
            for on, number in of.of.items()
        }
        techniques.append({"walks": walk_of, "matter": [key in of.matter for key in keys]})
        first += len(of.walks)
    return {"techniques": techniques, "steps": steps}


def _step(walk: Walk, step: Sequence[Reference], entries: _Entries) -> dict[str, Any]:
    """level: of the address's part that the step uses; 0: none."""
    numbers = [entries.number(reference) for reference in step]
    first = step[0]
    uses = first.guest_level if first.is_of_table and not first.is_nested else 0
    part = _index(walk.gva, uses) if uses else None
    return {
        "says": walk_words.step_in_words(walk, step),
        "entries": list(dict.fromkeys(each for each in numbers if each is not None)),
        "level": uses if part == first.index else 0,
    }


def _index(address: int, level: int) -> int:
    return address >> 12 + 9 * (level - 1) & 511


def _address(walk: Walk) -> Markup:
    """The address, split into an index for each level down to the page's, and the offset."""
    levels = [each.guest_level for each in walk.references if each.is_of_table]
    last = min((level for level in levels if level), default=1)
    parts = [
        tag("li", tag("span", f"{20 + 9 * (level - 1)}:{12 + 9 * (level - 1)}", class_="bits"),
            tag("b", _index(walk.gva, level)),
            tag("span", f"index into the {ENTRY_NAMES[level][:-1]}", class_="name"),
            data_level=level)
        for level in range(walk.levels, last - 1, -1)
    ]  # fmt: skip
    top = 11 + 9 * (last - 1)
    offset = walk.gva & (2 << top) - 1
    parts.append(tag("li", tag("span", f"{top}:0", class_="bits"), tag("b", f"{offset:#x}"),
                     tag("span", "offset in the page", class_="name")))  # fmt: skip
    return tag("ol", *parts, class_="address", aria_label="The address, split into its parts")


def _controls(shown: Shown) -> Markup:
    """What needs a script, hidden without one."""
    last = len(shown.techniques) - 1
    choice = [
        tag("label", tag("input", type="radio", name="technique", value=number,
                         checked=number == last),
            tag("span", of.walks[0].technique))
        for number, of in enumerate(shown.techniques)
    ]  # fmt: skip
    boxes = [
        tag("label", tag("input", type="checkbox", name="switch", value=switch.key,
                         checked=switch.key in shown.on),
            tag("span", switch.label))
        for switch in shown.switches
    ]  # fmt: skip
    buttons = [
        tag("button", label, type="button", id=identity, aria_keyshortcuts=keys)
        for label, identity, keys in (
            ("Reset", "reset", "r"),
            ("\u25c2 Back", "back", "ArrowLeft"),
            ("Next \u25b8", "next", "ArrowRight"),
            ("Play", "play", "p"),
        )
    ]
    return tag(
        "div",
        tag("fieldset", tag("legend", "Technique"), *choice, class_="pills"),
        tag("fieldset", tag("legend", "Caches of walks, and what is in them"), *boxes,
            class_="pills"),
        tag("div", *buttons, tag("output", id="count", for_="back next reset play"),
            class_="buttons", role="group", aria_label="Steps of the walk"),
        tag("p", "Keys: ", tag("kbd", "\u2192"), " next, ", tag("kbd", "\u2190"), " back, ",
            tag("kbd", "P"), " play or pause, ", tag("kbd", "R"), " reset.", class_="keys"),
        tag("p", id="says", role="status"),
        id="controls",
        hidden=True,
    )  # fmt: skip


def _section(walk: Walk, identity: str, others: Sequence[Walk], hidden: bool) -> Markup:
    count, steps = len(walk.references), len(walk.steps)
    together = f" in {steps} step{'s' if steps != 1 else ''}" if steps != count else ""
    heading = f"{walk.technique}: {count} memory reference{'s' if count != 1 else ''}{together}"
    inner = [tag("h2", heading, id=f"{identity}-heading")]
    if walk.references:
        scrolled = tag("div", picture(walk, identity, others), class_="scrolled", tabindex=0,
                       role="group", aria_label=f"Grid of {walk.technique}")  # fmt: skip
        inner += [
            tag("div", tag("div", scrolled, _legend(walk)), class_="stage"),
            _table(walk, heading),
        ]
    else:
        inner.append(tag("p", "No table is read: the processor translates without one."))
    return tag("section", *inner, id=identity, class_="walk", hidden=hidden,
               aria_labelledby=f"{identity}-heading")  # fmt: skip


def _legend(walk: Walk) -> Markup:
    kinds = [("guest", "the guest's table, or the only one")]
    if walk_words.is_two_dimensional(walk):
        kinds.append(("nested", "the nested table"))
    return tag("ul", *(tag("li", tag("i", class_=kind), what) for kind, what in kinds),
               class_="legend", aria_label="A reference to")  # fmt: skip


_HEADS = ("step", "entry", "index", "address (HPA)", "value", "flags", "served by", "what for")


def _table(walk: Walk, caption: str) -> Markup:
    rows = []
    number_of = {id(each): n for n, step in enumerate(walk.steps, start=1) for each in step}
    for reference in walk.references:
        number = number_of.get(id(reference))
        kind = "nested" if reference.is_nested else "guest"
        cells = [tag("i", class_=kind), " ", reference.name]
        purpose = "in the background" if number is None else reference.purpose
        rows.append(
            tag("tr", tag("th", "\u2013" if number is None else number, scope="row"),
                tag("td", cells), tag("td", reference.index, class_="right"),
                tag("td", tag("code", f"{reference.hpa:#x}"), class_="right"),
                tag("td", tag("code", f"{reference.entry:#018x}")),
                tag("td", reference.flags), tag("td", reference.served_by), tag("td", purpose),
                data_step=number)
        )  # fmt: skip
    head = tag("tr", *(tag("th", name, scope="col") for name in _HEADS))
    table = tag("table", tag("caption", caption, class_="unseen"), tag("thead", head),
                tag("tbody", *rows))  # fmt: skip
    return tag("div", table, class_="scrolled", tabindex=0, role="group",
               aria_label=f"References of {walk.technique}")  # fmt: skip


def _bits(name: str, of: tuple[Field, ...]) -> Markup:
    """An entry as a row of its bits, and what each says."""
    boxes = []
    for field in of:
        wide = field.high - field.low + 1
        value = f"{field.value:0{wide}b}" if wide <= 4 else f"{field.value:#x}"
        boxes.append(
            tag("span", tag("small", field.bits), tag("b", value), tag("em", field.name),
                class_=f"{'set' if field.value else 'clear'}{' frame' if wide > 30 else ''}")
        )  # fmt: skip
    rows = [
        tag("tr", tag("th", field.name, scope="row"), tag("td", field.bits),
            tag("td", tag("code", f"{field.value:#x}")), tag("td", field.meaning))
        for field in of
    ]  # fmt: skip
    head = tag("tr", *(tag("th", name, scope="col") for name in ("name", "bits", "value", "says")))
    return tag(
        "div",
        tag("h3", name),
        tag("div", *boxes, class_="bit-row", aria_hidden="true"),
        tag("div", tag("table", tag("caption", f"Bits of {name}", class_="unseen"),
                       tag("thead", head), tag("tbody", *rows)), class_="scrolled", tabindex=0,
            role="group", aria_label=f"Bits of {name}"),
        class_="decoded",
    )  # fmt: skip


def _footer() -> Markup:
    words = command.get()
    how = tag("p", "Made by ", tag("code", shlex.join(words))) if words else None
    about = tag("p", f"mmulab {__version__}. The page of this address has been touched once; TLBs "
                "are empty when the walk begins. Addresses of the host are those of this "
                "simulated machine.")  # fmt: skip
    return tag("footer", how, about)
