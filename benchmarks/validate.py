"""Calibrates, validates with the calibrated preset and the one it is based on, and writes both.

    python benchmarks/validate.py [PAGE] [--tiny]

PAGE, docs/validation.md unless given, gets its tables between its `begin` and `end` marks, and
beside it calibration.svg and validation.svg. Takes some five minutes; should be alone on the
machine. With --tiny, all of it goes to a folder that is removed.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from pathlib import Path

from tiny import ARGUMENTS, TINY, sized

from mmulab.mmu.report.files import replacing
from mmulab.plots import calibration as calibration_figure
from mmulab.plots import validation as validation_figure
from mmulab.workloads.probes.calibrated import Calibrated, calibrate
from mmulab.workloads.probes.findings import Finding
from mmulab.workloads.probes.validation import Measured, Validation

PAGE = Path(__file__).parent.parent / "docs" / "validation.md"
BEGIN, END = "<!-- begin: benchmarks/validate.py -->", "<!-- end -->"

CALIBRATING, VALIDATING = sized((90, 120), (1, 1))  # seconds


def of_machine(result: Calibrated) -> list[str]:
    """What calibration found, beside what the base has."""
    virtual = f", a virtual machine ({result.measured.facts.virtual})" if (
        result.measured.facts.virtual) else ""  # fmt: skip
    lines = [
        f"{result.measured.facts.model}{virtual}; base `{result.base.name}`.",
        "",
        "| number | measured | from | to | |",
        "|---|---|---|---|---|",
    ]
    lines += [f"| `{key}` | {_row(one)} |" for key, one in result.found.numbers.items()]
    lines += ["", *(f"- {note}" for note in result.preset.notes[: -len(result.base.notes) or None])]
    lines += ["", "![Curves of latency by size, with the knees found](calibration.svg)"]
    return lines


def _row(one: Finding) -> str:
    cells = [f"{round(each, 2):,}".removesuffix(".0") for each in (one.value, one.low, one.high)]
    return " | ".join([*cells, "the base's, confirmed" if one.confirmed else ""])


def of_workloads(mine: Validation, its: Validation) -> list[str]:
    """Every point with both presets, and what they come to."""
    lines = [
        "",
        f"ns an access, predicted as `{mine.technique}` by the calibrated preset, and as "
        f"`{its.technique}` by `{its.preset}` as published:",
        "",
        "| workload | pages | measured | predicted | range | error | error as published |",
        "|---|---|---|---|---|---|---|",
    ]
    for one, other in zip(mine.points, its.points, strict=True):
        low, likely, high = one.predicted[mine.technique]
        lines.append(
            f"| `{one.workload}` | {one.page_size} | {one.measured.value:.2f} | {likely:.2f} "
            f"| {low:.2f} to {high:.2f} | {100 * one.error(mine.technique):.0f} % "
            f"| {100 * other.error(its.technique):.0f} % |"
        )
    lines += ["", "| | calibrated | as published |", "|---|---|---|"]
    errors = " | ".join(f"{100 * each.median_error():.0f} %" for each in (mine, its))
    ranks = " | ".join(f"{each.rank_correlation:.2f}" for each in (mine, its))
    lines += [f"| median error | {errors} |", f"| rank correlation | {ranks} |"]
    lines += ["", "![Predicted against measured time of an access](validation.svg)"]
    return lines


def write(page: Path) -> None:
    """Measures all, and puts it into a page and beside it."""
    result = calibrate(CALIBRATING, progress=_say)
    measured = Measured(VALIDATING, _say)
    mine, its = measured.against(result.preset), measured.against(result.base)
    calibration_figure.write(result, page.with_name("calibration.svg"))
    validation_figure.write([mine, its], page.with_name("validation.svg"))
    text = "\n".join([*of_machine(result), *of_workloads(mine, its)])
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    whole = pattern.sub(lambda _: f"{BEGIN}\n{text}\n{END}", page.read_text(encoding="utf-8"))
    with replacing(page) as temporary:
        temporary.write_text(whole, encoding="utf-8")
    print(text)


def _say(percent: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{percent:3} %", end="", file=sys.stderr)


def main() -> None:
    page = Path(ARGUMENTS[0]) if ARGUMENTS else PAGE
    if not TINY:
        write(page)
        return
    with tempfile.TemporaryDirectory() as folder:
        write(Path(shutil.copy(page, folder)))


if __name__ == "__main__":
    main()
