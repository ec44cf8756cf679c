"""Reports as text for a terminal, and as rows of a CSV file."""

from __future__ import annotations

import csv
import io
import textwrap
from collections.abc import Sequence

from mmulab.coursework.assignment import Assignment
from mmulab.coursework.grading import Report


def table(report: Report) -> str:
    """A line a part, with its marks, and the feedback of those that are not right."""
    width = max(len(result.part.title) for result in report.results)
    lines = [f"{report.title} ({report.assignment}), {report.student}", ""]
    lines += [f"note: {printable(note)}" for note in report.notes]
    lines += [""] if report.notes else []
    for result in report.results:
        marks = f"{result.earned:6.4g} of {result.part.points:3g}"
        lines.append(f"{result.part.title:<{width}}  {marks}")
        if result.earned < result.part.points:
            lines += _indented(result.feedback)
    lines += ["", f"{'total':<{width}}  {report.earned:6.4g} of {report.points:3g}"]
    if report.layers:
        lines += ["", f"sandbox: {', '.join(report.layers)}"]
    return "\n".join(lines)


def line(report: Report) -> str:
    """One line: student, marks, the parts that lost some."""
    lost = [
        f"{result.part.key} {result.earned:g}/{result.part.points:g}"
        for result in report.results
        if result.earned < result.part.points
    ]
    remarks = "; ".join([*lost, *map(printable, report.notes)])
    return f"{report.student}: {report.earned:g} of {report.points:g}  {remarks}".rstrip()


def marks_csv(rows: Sequence[tuple[str, Report | str]]) -> str:
    """A row a submission: its directory, and its report or why it was not graded. Columns
    of parts are those of all assignments that occur."""
    reports = [report for _, report in rows if isinstance(report, Report)]
    keys = list(dict.fromkeys(r.part.key for report in reports for r in report.results))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["submission", "student", "assignment", "earned", "points", *keys, "notes"])
    for place, report in rows:
        if isinstance(report, str):
            writer.writerow([place, "", "", "", "", *[""] * len(keys), report])
            continue
        earned = {result.part.key: f"{result.earned:g}" for result in report.results}
        head = [place, report.student, report.assignment, f"{report.earned:g}"]
        marks = [earned.get(key, "") for key in keys]
        notes = printable("; ".join(report.notes))
        writer.writerow([*head, f"{report.points:g}", *marks, notes])
    return text.getvalue()


def listing(assignments: Sequence[Assignment]) -> str:
    """The assignments, a paragraph each."""
    if not assignments:
        return "no assignments are installed"
    blocks = []
    for each in assignments:
        points = sum(part.points for part in each.parts)
        files = ", ".join(each.files)
        head = f"{each.number:2d}  {each.name}: {each.title}"
        facts = f"{points:g} points, some {each.minutes} minutes, hand in {files}"
        body = textwrap.wrap(each.summary, 94, initial_indent="    ", subsequent_indent="    ")
        blocks.append("\n".join([head, *body, f"    {facts}"]))
    return "\n".join(blocks)


def printable(text: str) -> str:
    """The text without what a terminal would obey: control characters but for new lines."""
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text.expandtabs(4))


def _indented(feedback: str) -> list[str]:
    lines = []
    for paragraph in printable(feedback).splitlines():
        lines += textwrap.wrap(
            paragraph,
            96,
            initial_indent="    ",
            subsequent_indent="      ",
            drop_whitespace=True,
            break_long_words=False,
        )
    return lines
