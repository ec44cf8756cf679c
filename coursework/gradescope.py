"""A report as the results.json of a Gradescope autograder.

Fields and their meaning: Gradescope Autograder Documentation, "Autograder Specifications",
"Output format" (gradescope-autograders.readthedocs.io/en/latest/specs, kept in the
repository gradescope/autograder_samples, docs/specs.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mmulab import __version__

if TYPE_CHECKING:
    from mmulab.coursework.grading import Report

#: When students see a result: at once, or later, or never.
VISIBILITIES = ("visible", "after_due_date", "after_published", "hidden")


def results(report: Report, seconds: float = 0.0, visibility: str = "visible") -> dict[str, Any]:
    """The content of results.json. seconds: that grading took. visibility: of the marks
    and the feedback of each part. What is printed on standard output stays hidden.

    The total is the sum of the tests' scores, so no total is given besides; without any
    test, Gradescope would ask for one.
    """
    return {
        "execution_time": round(seconds, 3),
        "output": "\n".join([f"{report.title}, for {report.student}", *report.notes]),
        "output_format": "text",
        "test_output_format": "text",
        "test_name_format": "text",
        "visibility": visibility,
        "stdout_visibility": "hidden",
        "extra_data": {
            "assignment": report.assignment,
            "student": report.student,
            "version": __version__,
        },
        "tests": [
            {
                "score": result.earned,
                "max_score": result.part.points,
                "status": "passed" if result.earned >= result.part.points else "failed",
                "name": result.part.title,
                "number": str(number),
                "output": result.feedback,
                "tags": [result.part.key],
                "extra_data": {},
            }
            for number, result in enumerate(report.results, start=1)
        ],
    }
