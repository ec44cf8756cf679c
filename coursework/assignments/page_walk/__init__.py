"""Assignment 1: page walks by hand, from a dump of memory."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmulab.coursework.answers import Choice, Items, Question, Whole
from mmulab.coursework.assignment import Part, Problem
from mmulab.coursework.assignments.page_walk import tables
from mmulab.coursework.sheet import AnswerSheet, Values

DUMP, FIGURE = "memory.txt", "formats.svg"

_INDEX = Whole(high=511)
_WORD = Whole(hex=True)
_ADDRESS = Whole(high=(1 << 52) - 1, hex=True)

_SPLIT = "Draw the 48 bits of the address as 9 + 9 + 9 + 9 + 12 (figure, top)."
_FOLLOW = (
    "Each entry lies at bits 51:12 of the entry above it, taken as an address, plus 8 times the "
    "index; check the entry above first."
)
_RIGHTS = "Every entry on the path has a say: R/W and U/S must be 1 in all, XD in none."
_CODE = "Read again which event sets each bit of the error code, and who tried what."


def _split_questions(letter: str) -> list[Question]:
    names = ("pml4", "pdpt", "pd", "pt")
    asked = [
        Question("split", f"{letter}_{name}", f"Address {letter}: index into the {name.upper()}?",
                 _INDEX, hint=_SPLIT)
        for name in names
    ]  # fmt: skip
    offset = f"Address {letter}: offset into the 4 KiB page?"
    return [*asked, Question("split", f"{letter}_offset", offset, Whole(high=4095), hint=_SPLIT)]


def _walk_questions() -> list[Question]:
    asked = []
    for name in tables.ENTRIES:
        key = name.lower()
        where = f"Address a: physical address of the {name}?"
        asked.append(Question("walk", f"{key}_at", where, _ADDRESS, hint=_FOLLOW))
        what = f"Address a: the {name} itself, 64 bits?"
        look = "Take the word that stands at the address you gave."
        asked.append(Question("walk", key, what, _WORD, hint=look))
    final = "Physical address that a translates to?"
    hint = "Frame of the PTE (bits 51:12 only, no flags), then the offset."
    return [*asked, Question("walk", "physical", final, _ADDRESS, hint=hint, weight=2)]


def _fault_questions(letter: str) -> list[Question]:
    part = f"fault-{letter}"
    reasons = Choice((tables.ABSENT, *tables.REFUSALS))
    look = "Compare each entry on the path, top first, with what the access needs."
    return [
        Question(part, "reason", f"Why does address {letter} fault?", reasons, hint=look),
        Question(part, "entry", "Which entry on the path is the reason?", Choice(tables.ENTRIES),
                 hint=look),
        Question(part, "code", "The error code that is pushed?", Whole(high=31), hint=_CODE,
                 weight=2),
    ]  # fmt: skip


_ACCESSES = Items(Choice(tuple(tables.ACCESSES)))
_QUESTIONS = (
    *_split_questions("a"),
    *_split_questions("b"),
    *_walk_questions(),
    Question("rights", "flags", "Address a: the flags that are set in the PTE?",
             Items(Choice(tables.FLAGS)),
             hint="Mark the bits of its last three digits, and bit 63."),
    Question("rights", "permitted_a", "Address a: which accesses succeed?", _ACCESSES,
             hint=_RIGHTS),
    Question("rights", "permitted_b", "Address b: which accesses succeed?", _ACCESSES,
             hint=_RIGHTS),
    Question("kernel", "pte", "Address b: the PTE, 64 bits?", _WORD, hint=_FOLLOW),
    Question("kernel", "physical", "Physical address that b translates to?", _ADDRESS,
             hint="Bits 63:48 of an address take no part in the walk."),
    Question("large", "leaf", "Address c: which entry maps the page?", Choice(tables.ENTRIES),
             hint="Which flag says that an entry is a leaf?"),
    Question("large", "offset", "Address c: offset into the page?", Whole(high=(1 << 30) - 1,
             hex=True), hint="How many bytes has this page?"),
    Question("large", "physical", "Physical address that c translates to?", _ADDRESS, weight=2,
             hint="Which bits of this leaf are the frame, and which of c the offset?"),
    Question("large", "after", "The leaf as it stands in memory after the store?", _WORD,
             hint="What does the processor itself write into a leaf?"),
    *_fault_questions("d"),
    *_fault_questions("e"),
)  # fmt: skip


class PageWalk(AnswerSheet):
    """Five addresses to translate by hand; see handout.md."""

    name = "page-walk"
    number = 1
    title = "Page walks by hand"
    summary = (
        "Split addresses, find their entries in a dump of memory, decode flags and rights, and "
        "say what faults and with which error code. x86-64, four levels, 4 KiB and 2 MiB pages."
    )
    minutes = 90
    parts = (
        Part("split", "Split two addresses", 10),
        Part("walk", "Walk to a 4 KiB page", 30),
        Part("rights", "Flags and rights", 15),
        Part("kernel", "An address of the kernel", 10),
        Part("large", "A 2 MiB page and its A and D bits", 15),
        Part("fault-d", "A fault", 10),
        Part("fault-e", "Another fault", 10),
    )
    asked = _QUESTIONS
    numbers = tables

    def attach(self, problem: Problem, directory: Path) -> None:
        from mmulab.coursework.assignments.page_walk import figure

        figure.write(directory / FIGURE)
        (directory / DUMP).write_text(tables.dump(problem["tables"]), encoding="utf-8")

    def shown(self, problem: Problem) -> Values:
        rows = [f"| {letter} | `{_hex(walk['gva'])}` | {_who(walk)} |" for letter, walk in
                problem["walks"].items()]  # fmt: skip
        return {
            "cr3": f"{problem['cr3']:#x}",
            "addresses": "\n".join(rows),
            "accesses": ", ".join(f"`{access}`" for access in tables.ACCESSES),
            "pages": len(problem["tables"]),
        }

    def explanation(self, problem: Problem) -> str:
        from mmulab.coursework.assignments.page_walk.explanation import write

        return write(problem, self.expected(problem))


def _hex(address: int) -> str:
    """An address in groups of four digits, as TOML and Python read it."""
    digits = f"{address:016x}"
    return "0x" + "_".join(digits[i : i + 4] for i in range(0, 16, 4))


def _who(walk: Mapping[str, Any]) -> str:
    what = {"load": "reads", "store": "writes", "fetch": "executes"}[walk["access"]]
    return f"{'a user program' if walk['user'] else 'the kernel'} {what} it"


ASSIGNMENT = PageWalk()
