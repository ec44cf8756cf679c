"""A walk as an SVG grid: guest levels across, nested levels down, as `plots.walk` has it.

Each cell and arrow says by data-step when it is made, so that a page can light them up in turn.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmulab.mmu.by_hand.walkthrough import ENTRY_NAMES, Reference, Walk
from mmulab.plots.pages.elements import Markup, tag
from mmulab.plots.pages.walk_words import address_found, is_two_dimensional

Place = tuple[int, int]

_WIDE, _HIGH = 104, 52  # of a cell
_ACROSS, _DOWN = 140, 82  # from one to the next
_LEFT, _TOP = 142, 64  # of the first

#: Where a walk begins.
_START: Place = (-2, 0)

#: What holds the addresses of root tables: of one dimension, of two.
_ROOTS = {
    "x86-64": ("CR3", ("gCR3", "EPTP")),
    "aarch64": ("TTBR", ("TTBR", "VTTBR")),
    "riscv64": ("satp", ("vsatp", "hgatp")),
}


def place(walk: Walk, reference: Reference) -> Place:
    """(column, row) of a reference: guest levels from the top down, then the page itself. What is
    no table stands before them where it is read first, else behind."""
    two = is_two_dimensional(walk)
    if not reference.is_of_table:
        first = next(each for each in walk.references if not each.background)
        column = -1 if not first.is_of_table else walk.levels + 1
        return column, walk.host_levels if two else 0
    column = walk.levels - reference.guest_level if reference.guest_level else walk.levels
    return column, walk.host_levels - reference.host_level if two else 0


class _Grid:
    """Columns and rows that there are, side by side. walks: of one technique."""

    def __init__(self, walks: Iterable[Walk]) -> None:
        known = list(walks)
        self.walk = next((each for each in known if is_two_dimensional(each)), known[0])
        self.of_two = is_two_dimensional(self.walk)
        self.places = {self.place(each) for walk in known for each in walk.references}
        self.tables = {
            self.place(each)[0]: each.table
            for walk in known
            for each in walk.references
            if not each.is_of_table
        }
        self.end = self._free()
        every = self.places | {self.end}
        self.columns = sorted({column for column, _ in every})
        self.rows = sorted({row for _, row in every})

    def place(self, reference: Reference) -> Place:
        return place(self.walk, reference)

    def _free(self) -> Place:
        """Where the page is drawn: a place at the end of the last row."""
        last = (self.walk.levels, self.walk.host_levels if self.of_two else 0)
        taken = [column for column, row in self.places if row == last[1]]
        return (max([last[0] - 1, *taken]) + 1, last[1])

    def corner(self, at: Place) -> tuple[int, int]:
        """Of a cell, or of what stands before the first one in its row."""
        column = self.columns.index(at[0]) if at != _START else -1
        row = self.rows.index(at[1]) if at != _START else 0
        return _LEFT + column * _ACROSS, _TOP + row * _DOWN


def picture(walk: Walk, identity: str, others: Sequence[Walk] = ()) -> Markup:
    """The grid. identity: of the element, for its title. others: walks of the same technique, of
    which the places that this one leaves out are drawn empty."""
    grid = _Grid([walk, *others])
    numbered: dict[Place, list[tuple[int, Reference]]] = {}
    arrows = []
    before = _START
    for number, step in enumerate(walk.steps, start=1):
        for reference in step:
            numbered.setdefault(grid.place(reference), []).append((number, reference))
        there = grid.place(step[-1])
        if there != before:
            arrows.append(_arrow(grid, before, there, number, identity))
        before = there
    found = address_found(walk)
    if found is not None:
        arrows.append(_arrow(grid, before, grid.end, len(walk.steps) + 1, identity))
    return tag(
        "svg",
        tag("title", f"The walk of {walk.technique} as a grid", id=f"{identity}-title"),
        tag("desc", _described(walk), id=f"{identity}-desc"),
        tag("defs", _head(identity)),
        _heads(grid),
        _roots(grid),
        *arrows,
        *(_left_out(grid, each) for each in sorted(grid.places - set(numbered))),
        *(_cell(grid, each, of) for each, of in numbered.items()),
        _target(grid, found, len(walk.steps) + 1) if found is not None else None,
        class_="grid",
        viewBox=f"0 0 {_LEFT + max(4, len(grid.columns)) * _ACROSS - 20} "
        f"{_TOP + len(grid.rows) * _DOWN - 18}",
        role="img",
        aria_labelledby=f"{identity}-title {identity}-desc",
    )


def _described(walk: Walk) -> str:
    count, steps = len(walk.references), len(walk.steps)
    made = f"{count} memory reference{'s' if count != 1 else ''} in {steps} steps"
    if is_two_dimensional(walk):
        made += "; a column for each level of the guest's table, a row for each of the nested one"
    return f"{made}. The table below has them in words."


def _text(x: float, y: float, text: str, class_: str) -> Markup:
    return tag("text", text, x=f"{x:g}", y=f"{y:g}", class_=class_)


def _heads(grid: _Grid) -> list[Markup]:
    """What columns and rows are."""
    heads = []
    for column in grid.columns:
        x = grid.corner((column, grid.rows[0]))[0] + _WIDE / 2
        level = grid.walk.levels - column
        if column in grid.tables:
            heads.append(_text(x, 42, grid.tables[column], "head small"))
        elif grid.of_two:
            what = f"g{ENTRY_NAMES[level][:-1]} page" if level > 0 else "the page"
            heads += [_text(x, 22, "locate", "head small"), _text(x, 42, what, "head")]
        elif level > 0:
            heads.append(_text(x, 42, f"level {level}", "head"))
    for row in grid.rows if grid.of_two else ():
        level = grid.walk.host_levels - row
        what = f"nested level {level}" if level > 0 else "guest's entry"
        y = grid.corner((grid.columns[0], row))[1]
        heads.append(_text(8, y + _HIGH / 2 + 5, what, "row"))
    return heads


def _roots(grid: _Grid) -> list[Markup]:
    """Where the tables' roots are kept."""
    if not any(reference.is_of_table for reference in grid.walk.references):
        return []
    one, two = _ROOTS[grid.walk.references[0].arch]
    if not grid.of_two:
        return [_text(_LEFT - 44, _TOP + _HIGH / 2 + 5, one, "root")]
    return [_text(8, 22, f"{two[0]}: guest's root", "head start small"),
            _text(8, 40, f"{two[1]}: nested root", "head start small")]  # fmt: skip


def _cell(grid: _Grid, at: Place, there: Sequence[tuple[int, Reference]]) -> list[Markup]:
    """The references at a place, side by side, each with the number of its step."""
    x, y = grid.corner(at)
    wide = _WIDE / len(there)
    made = []
    for slot, (number, reference) in enumerate(there):
        left, alone = x + slot * wide, len(there) == 1
        middle = left + wide / 2
        made.append(
            tag(
                "g",
                tag("rect", x=f"{left:g}", y=y, width=f"{wide - (0 if alone else 2):g}",
                    height=_HIGH, rx=8 if alone else 3),
                _text(middle, y + (24 if alone else 32), str(number), "number"),
                _text(middle, y + 42, reference.name, "name") if alone else None,
                class_=f"cell {'nested' if reference.is_nested else 'guest'}"
                f"{'' if alone else ' narrow'}",
                data_step=number,
            )
        )  # fmt: skip
    return made


def _left_out(grid: _Grid, at: Place) -> Markup:
    x, y = grid.corner(at)
    rect = tag("rect", x=x, y=y, width=_WIDE, height=_HIGH, rx=8)
    return tag("g", rect, _text(x + _WIDE / 2, y + 31, "not read", "name"), class_="left-out")


def _target(grid: _Grid, found: int, number: int) -> Markup:
    """The page."""
    x, y = grid.corner(grid.end)
    return tag(
        "g",
        tag("rect", x=x, y=y, width=_WIDE, height=_HIGH, rx=26),
        _text(x + _WIDE / 2, y + 22, "the page is at", "name"),
        _text(x + _WIDE / 2, y + 41, f"{found:#x}", "found"),
        class_="target",
        data_step=number,
    )


def _head(identity: str) -> Markup:
    return tag(
        "marker",
        tag("path", d="M0 0L8 4L0 8z"),
        id=f"{identity}-head", viewBox="0 0 8 8", refX=7, refY=4, markerWidth=9, markerHeight=9,
        orient="auto", markerUnits="userSpaceOnUse", class_="arrow-head",
    )  # fmt: skip


def _arrow(grid: _Grid, start: Place, end: Place, number: int, identity: str) -> Markup:
    """From one place to the next: straight within a row or column, else through the gap
    before the next column."""
    from_x, from_y = grid.corner(start)
    to_x, to_y = grid.corner(end)
    middle, to_middle = from_y + _HIGH / 2, to_y + _HIGH / 2
    if from_x == to_x:
        x = from_x + _WIDE / 2
        ends = (from_y + _HIGH, to_y - 3) if to_y > from_y else (from_y, to_y + _HIGH + 3)
        path = f"M{x:g} {ends[0]:g}V{ends[1]:g}"
    elif from_y == to_y:
        path = f"M{from_x + _WIDE:g} {middle:g}H{to_x - 3:g}"
    else:
        turn, bend = to_x - (_ACROSS - _WIDE) / 2, 8 if to_y > from_y else -8
        path = (
            f"M{from_x + _WIDE:g} {middle:g}H{turn - 8:g}Q{turn:g} {middle:g} {turn:g} "
            f"{middle + bend:g}V{to_middle - bend:g}Q{turn:g} {to_middle:g} {turn + 8:g} "
            f"{to_middle:g}H{to_x - 3:g}"
        )
    if from_x > to_x and from_y == to_y:
        path = f"M{from_x:g} {middle:g}H{to_x + _WIDE + 3:g}"
    head = f"url(#{identity}-head)"
    return tag("path", d=path, class_="arrow", marker_end=head, data_step=number)
