"""The figure of the handout: what the programs need, phase by phase, in an example."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mmulab.coursework.assignments.balloon_policy import workload
from mmulab.coursework.draws import Draws
from mmulab.plots.figures import COLOURS, new_figure, save


def write(path: Path) -> None:
    """Writes the figure, for numbers that are no student's."""
    draws = Draws("the example of the handout", "everybody", "balloon-policy")
    phases = workload.draw_phases(draws)
    figure = new_figure(5.6, 2.8)
    axes = figure.subplots()
    bottom = np.zeros(workload.PHASES)
    colours = [COLOURS[key] for key in ("nested_walk", "guest_walk", "exit_fault", "exit_flush")]
    for number, (vm, colour) in enumerate(zip(phases, colours, strict=True), start=1):
        pages = np.array([phase["pages"] for phase in vm])
        name = f"vm{number}"
        axes.bar(range(1, workload.PHASES + 1), pages, 0.6, bottom, color=colour, label=name)
        bottom += pages
    frames = workload.HOST // workload.PAGE
    held = workload.VMS * workload.TOUCHED
    for level, told, style in (
        (frames, f"the host has {frames:,} frames", "-"),
        (held, f"the programs have {held:,} pages", ":"),
    ):
        axes.axhline(level, color="#000000", linewidth=1, linestyle=style)
        axes.annotate(told, (0.55, level), (0, 3), textcoords="offset points", fontsize=8)
    axes.set_ylim(0, held * 1.12)
    axes.set_xticks(range(1, workload.PHASES + 1))
    axes.set_xlabel("phase")
    axes.set_ylabel("pages worked on")
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)
