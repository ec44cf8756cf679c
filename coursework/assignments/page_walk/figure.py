"""The bits of an address and of its entries, as the handout shows them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmulab.plots.figures import COLOURS, new_figure, save

_LIGHT = "#f2f2f2"
#: Fields as (label, highest bit, lowest bit).
_ROWS = {
    "4 KiB page": [("PML4", 47, 39), ("PDPT", 38, 30), ("PD", 29, 21), ("PT", 20, 12),
                   ("offset", 11, 0)],
    "2 MiB page": [("PML4", 47, 39), ("PDPT", 38, 30), ("PD", 29, 21), ("offset", 20, 0)],
}  # fmt: skip
_ENTRY = [("XD", 63, 63), ("ignored", 62, 52), ("frame: address bits 51:12", 51, 12),
          ("ign.", 11, 9), ("G", 8, 8), ("PS", 7, 7), ("D", 6, 6), ("A", 5, 5), ("PCD", 4, 4),
          ("PWT", 3, 3), ("US", 2, 2), ("RW", 1, 1), ("P", 0, 0)]  # fmt: skip


def write(path: Path) -> None:
    """Draws the formats into a .svg, .png or .pdf file."""
    figure = new_figure(8.0, 3.4)
    axes = figure.subplots(3, 1)
    for one, (name, fields) in zip(axes, _ROWS.items(), strict=False):
        places = [(label, high, low, 47 - high, high - low + 1) for label, high, low in fields]
        _row(one, f"linear address, {name} (bits 63:48 repeat bit 47)", places, 48)
    at = 0.0
    wide: list[tuple[str, int, int, float, float]] = []
    for label, high, low in _ENTRY:
        width = {"ignored": 5.0, "ign.": 4.0}.get(label, 16.0 if high - low > 20 else 3.2)
        wide.append((label, high, low, at, width))
        at += width
    title = "entry (not to scale): PS in PDPTEs and PDEs only, D and G in leaves only"
    _row(axes[2], title, wide, at)
    save(figure, path)


def _row(axes: Any, title: str, places: Sequence[tuple[Any, ...]], width: float) -> None:
    from matplotlib.patches import Rectangle

    for label, high, low, at, wide in places:
        colour = _LIGHT if label.startswith("ign") else COLOURS["guest_walk"]
        if label == "offset" or label.startswith("frame"):
            colour = COLOURS["work"]
        axes.add_patch(Rectangle((at, 0), wide, 1, facecolor=colour, edgecolor="white", lw=1.5))
        axes.text(at + wide / 2, 0.5, label, ha="center", va="center", fontsize=8)
        bits = str(high) if high == low else f"{high}:{low}"
        axes.text(at + wide / 2, 1.12, bits, ha="center", va="bottom", fontsize=7)
    axes.set_xlim(0, width)
    axes.set_ylim(0, 1.5)
    axes.set_title(title, fontsize=9, loc="left")
    axes.axis("off")
