"""How submissions are graded for Gradescope."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from drivers.coursework import SEED, solved

from mmulab.coursework import gradescope, grading

#: The fields of results.json and of its tests, with their types: Gradescope Autograder
#: Documentation, "Autograder Specifications", sections "Output format" and "Output String
#: Formatting".
FORMATS = {"text", "html", "simple_format", "md", "ansi"}
TOP = {
    "score": float, "execution_time": float, "output": str, "output_format": FORMATS,
    "test_output_format": FORMATS, "test_name_format": FORMATS,
    "visibility": set(gradescope.VISIBILITIES), "stdout_visibility": set(gradescope.VISIBILITIES),
    "extra_data": dict, "tests": list, "leaderboard": list,
}  # fmt: skip
TEST = {
    "score": float, "max_score": float, "status": {"passed", "failed"}, "name": str,
    "name_format": FORMATS, "number": str, "output": str, "output_format": FORMATS, "tags": list,
    "visibility": set(gradescope.VISIBILITIES), "extra_data": dict,
}  # fmt: skip


def check_fields(found: dict[str, Any], known: dict[str, Any]) -> None:
    for key, value in found.items():
        expected = known[key]
        if isinstance(expected, set):
            assert value in expected, key
        elif expected is float:
            assert isinstance(value, int | float) and not isinstance(value, bool) and value >= 0
        else:
            assert isinstance(value, expected), key


def check_results(found: dict[str, Any]) -> None:
    """Raises AssertionError for what Gradescope does not document."""
    check_fields(found, TOP)
    assert "score" in found or found["tests"], "a score at the top or in each test"
    for test in found["tests"]:
        check_fields(test, TEST)
        assert "score" in found or "score" in test
        assert test["score"] <= test["max_score"]
        assert all(isinstance(tag, str) for tag in test["tags"])
        assert (test["status"] == "passed") == (test["score"] == test["max_score"])


def test_gradescope_results_are_as_documented(tmp_path: Path) -> None:
    report = grading.grade(solved(tmp_path / "s"), SEED)
    nothing = grading.nothing("page-walk", "ada", "why")
    check_results(json.loads(json.dumps(gradescope.results(nothing))))
    for visibility in gradescope.VISIBILITIES:
        check_results(json.loads(json.dumps(gradescope.results(report, 1.25, visibility))))


def test_gradescope_gets_a_result_from_the_command(mmulab: Any, tmp_path: Path) -> None:
    place, out = solved(tmp_path / "s"), tmp_path / "results.json"
    command = ("assignment", "grade", place, "--assignment", "effective-access", "--gradescope")
    assert mmulab(*command, out)[0] == 0
    results = json.loads(out.read_text())
    check_results(results)
    assert sum(test["score"] for test in results["tests"]) == 100
    code, _, err = mmulab(*command, out, "--student", "bob")
    assert code == 2 and "is of student 'ada'" in err
    results = json.loads(out.read_text())
    check_results(results)
    assert sum(test["score"] for test in results["tests"]) == 0
    assert "is of student 'ada'; expected 'bob'" in results["output"]
