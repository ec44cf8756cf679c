"""Setting an assignment for a student, and grading what comes back."""

from __future__ import annotations

import os
import secrets
import shutil
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmulab import __version__
from mmulab.coursework import assignments, identity, sandbox
from mmulab.coursework.assignment import Assignment, PartResult, Submission
from mmulab.coursework.draws import Draws
from mmulab.coursework.intake import read_file
from mmulab.mmu.errors import InputError, MMULabError, RunError
from mmulab.mmu.outputs import taking_their_places

HANDOUT, EXPLANATION = "handout.md", "explanation.md"

#: Seconds that a submission may take in all: some times what the sandbox's limits leave to any
#: one part, and what compiling takes at the first of a class.
MOST_SECONDS = 300.0


@dataclass(frozen=True)
class Report:
    """The marks of one submission. notes: what is to be said of its files. layers: of the
    sandbox that held, and missing: why others did not; both empty where no program was run."""

    assignment: str
    title: str
    student: str
    results: tuple[PartResult, ...]
    notes: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def earned(self) -> float:
        return round(sum(result.earned for result in self.results), 6)

    @property
    def points(self) -> float:
        return sum(result.part.points for result in self.results)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, ready for JSON; docs/teaching.md describes it."""
        return {
            "schema": "mmulab.grade",
            "schema_version": 1,
            "version": __version__,
            "assignment": self.assignment,
            "student": self.student,
            "earned": self.earned,
            "points": self.points,
            "notes": list(self.notes),
            "sandbox": {"layers": list(self.layers), "missing": dict(self.missing)},
            "parts": [
                {
                    "key": result.part.key,
                    "title": result.part.title,
                    "earned": result.earned,
                    "points": result.part.points,
                    "feedback": result.feedback,
                }
                for result in self.results
            ],
        }


def make(name: str, places: Mapping[str, Path], seed: str) -> None:
    """Writes what students get, each into a directory of places[student]: handout, figures,
    files to fill in, assignment.toml.

    Raises InputError for an unknown assignment, a bad student id or seed, or a directory
    that is not empty. All directories are made elsewhere first and then moved into place.
    """
    _write_each(name, places, seed, _handed_out)


def solve(name: str, places: Mapping[str, Path], seed: str) -> None:
    """Writes the files that score full marks and explanation.md, as `make` does."""
    _write_each(name, places, seed, _solved)


def grade(
    directory: str | Path,
    seed: str,
    student: str | None = None,
    name: str | None = None,
    *,
    seconds: float = MOST_SECONDS,
    unsafe: bool = False,
) -> Report:
    """Grades a submission. student, name: who and what it must be of, else as its
    assignment.toml says, which may be missing where both are given. seconds: that it may take
    in all, after which it has no marks. unsafe: run programs even where a layer of the sandbox
    is missing.

    Raises InputError where it is not known whose and what it is: no directory, no or a changed
    assignment.toml, another seed, student or assignment. Raises RunError where the sandbox
    cannot be had, or grading meets an error of its own; such a submission is for people to look
    at. Whatever else is wrong costs marks.
    """
    place = Path(directory)
    if not place.is_dir():
        raise InputError(f"submission {place}: not a directory")
    identity.checked_seed(seed)
    known: tuple[str, str, list[str]] | None = None
    try:
        with sandbox.terms(seconds, unsafe) as terms:
            known = _known(place, seed, student, name)
            return _graded(place, seed, *known, terms)
    except sandbox.TimeUp:
        why = f"grading took longer than {seconds:g} s, the most for a submission"
        if known is None:
            raise RunError(f"submission {place}: {why}") from None
        return nothing(known[0], known[1], why, terms)
    except MMULabError:
        raise
    except Exception as error:  # one submission must not take the others with it
        raise RunError(f"submission {place}: {_met(error)}") from error


def _met(error: Exception) -> str:
    """Where grading failed. The error's own text is left out: what a student's program sent may
    stand in it."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{Path(last.filename).name}, line {last.lineno}"
    return f"grading met an error of its own, {type(error).__name__} in {where}"


def _graded(
    place: Path, seed: str, name: str, student: str, notes: list[str], terms: sandbox.Terms
) -> Report:
    assignment = assignments.get(name)
    files: dict[str, str] = {}
    for each in assignment.files:
        try:
            text = read_file(place / each)
        except InputError as error:
            notes.append(str(error))
        else:
            if text is not None:
                files[each] = text
    problem = assignment.problem(Draws(seed, student, assignment.name))
    results = assignment.grade(problem, Submission(place, files))
    notes += [f"run without {layer}: {why}" for layer, why in terms.missing.items()]
    return _report(assignment, student, results, notes, terms)


def nothing(name: str, student: str, why: str, terms: sandbox.Terms | None = None) -> Report:
    """A report of no marks, for a submission that cannot be graded. terms: held so far."""
    assignment = assignments.get(name)
    results = [PartResult(part, 0.0, "not graded") for part in assignment.parts]
    return _report(assignment, student, results, [why], terms or sandbox.Terms())


def _report(
    assignment: Assignment,
    student: str,
    results: Sequence[PartResult],
    notes: Sequence[str],
    terms: sandbox.Terms,
) -> Report:
    return Report(
        assignment.name, assignment.title, student, tuple(results), tuple(notes),
        terms.layers, terms.missing,
    )  # fmt: skip


def _known(
    place: Path, seed: str, student: str | None, name: str | None
) -> tuple[str, str, list[str]]:
    """(assignment, student, notes) of a submission; raises InputError as `grade` says."""
    student = None if student is None else identity.checked_student(student)
    try:
        text = read_file(place / identity.FILE)
        if text is None:
            if student is None or name is None:
                raise InputError(f"no {identity.FILE}; give the student and the assignment")
            return name, student, []
        found = identity.read(text, seed)
        if student not in (None, found.student):
            raise InputError(f"is of student {found.student!r}; expected {student!r}")
        if name not in (None, found.assignment):
            raise InputError(f"is of assignment {found.assignment!r}; expected {name!r}")
    except InputError as error:
        raise InputError(f"submission {place}: {error}") from None
    notes = []
    if found.version != __version__:
        notes.append(
            f"set with mmulab {found.version}, graded with {__version__}: the numbers may differ"
        )
    return found.assignment, found.student, notes


def _write_each(
    name: str,
    places: Mapping[str, Path],
    seed: str,
    content: Callable[[Assignment, str, str, Path], dict[str, str]],
) -> None:
    assignment = assignments.get(name)
    identity.checked_seed(seed)
    students = [identity.checked_student(student) for student in places]
    for place in places.values():
        _check_free(place)
    parents = {place.parent for place in places.values()}
    for parent in parents:
        parent.mkdir(parents=True, exist_ok=True)
    workshop = min(parents) / f".mmulab-{secrets.token_hex(8)}"
    try:
        workshop.mkdir(0o700)
        made = []
        for number, (student, place) in enumerate(zip(students, places.values(), strict=True)):
            directory = workshop / str(number)
            directory.mkdir()
            files = content(assignment, student, seed, directory)
            for file, text in {**files, identity.FILE: identity.write(name, student, seed)}.items():
                (directory / file).write_text(text, encoding="utf-8")
            made.append((directory, place))
        with taking_their_places():
            for directory, place in made:
                _move(directory, place)
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def _move(directory: Path, place: Path) -> None:
    if place.exists():  # someone may stand in it, so it stays, and is filled
        for entry in sorted(directory.iterdir()):
            os.replace(entry, place / entry.name)
    else:
        os.replace(directory, place)


def _check_free(place: Path) -> None:
    if place.is_symlink() or (place.exists() and not place.is_dir()):
        raise InputError(f"directory {place}: exists and is not a directory")
    if place.is_dir() and any(place.iterdir()):
        raise InputError(f"directory {place}: is not empty")
    above = place.parent
    while not above.exists():
        above = above.parent
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise InputError(f"directory {place}: {above} is not a directory to write in")


def _handed_out(assignment: Assignment, student: str, seed: str, directory: Path) -> dict[str, str]:
    problem = assignment.problem(Draws(seed, student, assignment.name))
    text = assignment.handout(problem, directory)
    files = ", ".join(f"`{file}`" for file in assignment.files)
    footer = (
        f"\n---\nAssignment {assignment.name} for {student}. Hand in {files} and, unchanged, "
        f"`{identity.FILE}`. mmulab {__version__}.\n"
    )
    return {**assignment.template(problem), HANDOUT: text.rstrip("\n") + "\n" + footer}


def _solved(assignment: Assignment, student: str, seed: str, directory: Path) -> dict[str, str]:
    problem = assignment.problem(Draws(seed, student, assignment.name))
    return {**assignment.solution(problem), EXPLANATION: assignment.explanation(problem)}
