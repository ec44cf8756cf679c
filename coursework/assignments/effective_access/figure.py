"""What an access pays for its translation, step by step."""

from __future__ import annotations

from pathlib import Path

from mmulab.plots.figures import COLOURS, new_figure, save

_STEPS = (
    ("L1 TLB", "looked up in any case", "work"),
    ("L2 TLB", "c cycles more", "l2_tlb"),
    ("page walk", "n references,\nr cycles each, more", "guest_walk"),
)


def write(path: Path) -> None:
    """Draws the steps into a .svg, .png or .pdf file."""
    from matplotlib.patches import Rectangle

    figure = new_figure(7.5, 1.7)
    axes = figure.subplots()
    for place, (name, cost, colour) in enumerate(_STEPS):
        x = 3.4 * place
        axes.add_patch(Rectangle((x, 0), 1.9, 1, facecolor=COLOURS[colour], edgecolor="none"))
        axes.text(x + 0.95, 0.68, name, ha="center", va="center", fontsize=10)
        axes.text(x + 0.95, 0.3, cost, ha="center", va="center", fontsize=7.5)
        axes.annotate("", (x + 0.95, -0.55), (x + 0.95, 0), arrowprops={"arrowstyle": "->"})
        axes.text(x + 1.05, -0.35, "hit" if place < 2 else "done", fontsize=8)
        if place < 2:
            axes.annotate("", (x + 3.4, 0.5), (x + 1.9, 0.5), arrowprops={"arrowstyle": "->"})
            share = ("miss: m1 of all\naccesses", "miss: m2 of those\nthat come here")[place]
            axes.text(x + 2.65, 0.62, share, ha="center", va="bottom", fontsize=7.5)
    axes.set_xlim(-0.1, 8.9)
    axes.set_ylim(-0.65, 1.15)
    axes.axis("off")
    save(figure, path)
