"""Every assignment of the registry: its problems and handouts."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from drivers.coursework import NAMES, SEED, problem_of

from mmulab.coursework import assignments, grading, identity
from mmulab.mmu.errors import InputError

#: SHA-256 of the problem of student "golden" under SEED, cut to 16 digits. A change here
#: changes every student's numbers: what was set with the version before cannot be graded.
GOLDEN = json.loads((Path(__file__).parents[2] / "data" / "assignments.json").read_text())


def digest(problem: Any) -> str:
    """Of a problem, which must be plain data."""
    text = json.dumps(problem, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def test_names_and_numbers_are_unique() -> None:
    everything = [assignments.get(name) for name in NAMES]
    assert len({each.number for each in everything}) == len(NAMES) > 0
    for each in everything:
        assert re.fullmatch(r"[a-z][a-z0-9-]+", each.name) and each.title and each.minutes > 0
        assert len({part.key for part in each.parts}) == len(each.parts) > 0
        assert all(part.points > 0 for part in each.parts) and each.files
    with pytest.raises(InputError, match="unknown assignment"):
        assignments.get("no-such-assignment")


@pytest.mark.parametrize("name", NAMES)
def test_problem_is_that_of_this_version(name: str) -> None:
    found = digest(problem_of(name, "golden"))
    assert found == GOLDEN.get(name), f"tests/data/assignments.json: {name}: {found}"


@pytest.mark.parametrize("name", NAMES)
def test_students_and_seeds_have_different_problems(name: str) -> None:
    students = [digest(problem_of(name, f"student {number}")) for number in range(200)]
    seeds = [digest(problem_of(name, "ada", f"seed {number}")) for number in range(5)]
    assert len({*students, *seeds}) == 205


@pytest.mark.parametrize("name", NAMES)
def test_handout_is_complete(name: str, handed_out: dict[str, Path]) -> None:
    text = (handed_out[name] / grading.HANDOUT).read_text()
    assert text.startswith("# ") and "ada" in text and SEED not in text
    for file in [*assignments.get(name).files, identity.FILE]:
        assert file in text and (handed_out[name] / file).is_file()
    for figure in re.findall(r"!\[[^]]*\]\(([^)]+)\)", text):
        assert (handed_out[name] / figure).stat().st_size > 0
    assert not re.search(r"\$\{?[a-z_]{3,}", text), "a placeholder was left"


@pytest.mark.parametrize("name", NAMES)
def test_handout_is_the_same_each_time(
    name: str, handed_out: dict[str, Path], tmp_path: Path
) -> None:
    grading.make(name, {"ada": tmp_path / "again"}, SEED)
    first, again = [
        {file.name: file.read_bytes() for file in place.iterdir()}
        for place in (handed_out[name], tmp_path / "again")
    ]
    assert first == again
