"""The worked solution of the page walks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmulab.coursework.assignment import Problem

_TABLES = ("PML4", "PDPT", "PD", "PT")
_SHIFTS = (39, 30, 21, 12)
_BITS = ("P", "W/R", "U/S", "RSVD", "I/D")
_FLAGS = {0: "P", 1: "RW", 2: "US", 5: "A", 6: "D", 7: "PS", 8: "G", 63: "XD"}


def write(problem: Problem, expected: Mapping[str, Mapping[str, Any]]) -> str:
    """Each walk, entry by entry, and what follows from it."""
    lines = ["# Page walks by hand: solution", "", f"CR3 = {problem['cr3']:#x}"]
    for letter, walk in problem["walks"].items():
        who = "user" if walk["user"] else "supervisor"
        lines += ["", f"## Address {letter}: {walk['gva']:#018x}, {who} {walk['access']}", ""]
        lines += _walk(walk)
        lines += [""] + _outcome(walk)
        if letter in problem["permitted"]:
            lines += ["", _rights(walk), "Permitted: " + ", ".join(problem["permitted"][letter])]
        if letter == "c":
            lines += ["", f"The store sets A and D: the leaf becomes {walk['after']:#018x}."]
    return "\n".join(lines) + "\n"


def _walk(walk: Mapping[str, Any]) -> list[str]:
    """A table row an entry that is read."""
    rows = ["| table | index | at | entry | flags |", "|---|---:|---|---|---|"]
    for name, shift, step in zip(_TABLES, _SHIFTS, walk["steps"], strict=False):
        index = walk["gva"] >> shift & 511
        cells = name, index, f"`{step['at']:#x}`", f"`{step['entry']:#018x}`"
        rows.append("| " + " | ".join(map(str, cells)) + f" | {_flags(step['entry'])} |")
    return rows


def _outcome(walk: Mapping[str, Any]) -> list[str]:
    if walk["physical"] is None:
        bits = [name for bit, name in enumerate(_BITS) if walk["code"] >> bit & 1]
        return [
            f"#PF, {walk['reason']}: the {_TABLES[4 - walk['level']]} entry is the reason. "
            f"Error code {walk['code']} ({', '.join(bits) or 'no bit set'})."
        ]
    size = 12 if len(walk["steps"]) == 4 else 21
    offset = walk["gva"] & (1 << size) - 1
    base = walk["physical"] - offset
    return [f"Frame at {base:#x}, offset {offset:#x} ({size} bits): {walk['physical']:#x}."]


def _rights(walk: Mapping[str, Any]) -> str:
    entries = [step["entry"] for step in walk["steps"]]
    writable = all(entry >> 1 & 1 for entry in entries)
    user = all(entry >> 2 & 1 for entry in entries)
    executable = not any(entry >> 63 for entry in entries)
    return (
        f"On the whole path: {'writable' if writable else 'read-only'}, "
        f"{'user' if user else 'supervisor'}, "
        f"{'executable' if executable else 'execute-disable'}."
    )


def _flags(entry: int) -> str:
    return " ".join(name for bit, name in _FLAGS.items() if entry >> bit & 1)
