"""Answer files: TOML that a student fills in, read with care and marked.

    QUESTIONS = (
        Question("split", "pml4", "Index into the PML4 table?", Whole(high=511)),
        Question("time", "eat", "Effective access time?", Number(0.01), unit="ns"),
        Question("fault", "bits", "Bits of the error code that are set?", Items(Whole(high=63))),
    )
    template = write("Page walk", PARTS, QUESTIONS)            # what students get
    solution = write("Page walk", PARTS, QUESTIONS, expected)  # expected[part][key]
    results = mark(PARTS, QUESTIONS, expected, submission.files)

Each part is a TOML table, each of its questions a key; the empty string is "not answered".
Nothing that stands in a file raises: each wrong type, range or length is a sentence in the
feedback of its part. What a student may write is decided by the four kinds of answer:

    Whole   exact: a TOML integer, or a string "0x1f" or "31"
    Number  within a relative tolerance
    Choice  one of some words, in upper or lower case
    Items   a list of one of these, in order or as a set, with partial credit
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmulab.coursework.assignment import Part, PartResult
from mmulab.coursework.toml_text import NotTOML, parse

FILE = "answers.toml"

_LONGEST_NUMBER = 100  # characters; the longest 64-bit number in binary has 66


class WrongAnswer(ValueError):
    """What is given cannot be an answer to the question; the text says what was expected."""


@dataclass(frozen=True)
class Whole:
    """A whole number from low to high, both included. hex: it is written as 0x..."""

    low: int = 0
    high: int = (1 << 64) - 1
    hex: bool = False

    def parse(self, given: Any) -> int:
        if isinstance(given, str) and len(given) <= _LONGEST_NUMBER:
            given = _whole(given)
        if isinstance(given, bool) or not isinstance(given, int):
            raise WrongAnswer(f"is {_kind(given)}; expected {self.expects()}")
        if not self.low <= given <= self.high:
            raise WrongAnswer(f"is out of range; expected {self.expects()}")
        return given

    def credit(self, given: int, expected: int) -> float:
        return float(given == expected)

    def expects(self) -> str:
        if (self.low, self.high) == (0, (1 << 64) - 1):
            return "a 64-bit number"
        return f"a whole number, {self.show(self.low)} to {self.show(self.high)}"

    def show(self, value: int) -> str:
        text = hex(value) if self.hex else str(value)
        return text if value < 1 << 63 else f'"{text}"'  # TOML's integers end there


@dataclass(frozen=True)
class Number:
    """A number from low to high, right within `tolerance`, a fraction of what is expected
    (or of 1 where 0 is expected)."""

    tolerance: float
    low: float = 0.0
    high: float = 1e18

    def parse(self, given: Any) -> float:
        if isinstance(given, str) and len(given) <= _LONGEST_NUMBER:
            given = _number(given)
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise WrongAnswer(f"is {_kind(given)}; expected {self.expects()}")
        if not self.low <= given <= self.high:  # not a number (NaN) is in no range
            raise WrongAnswer(f"is out of range; expected {self.expects()}")
        return float(given)

    def credit(self, given: float, expected: float) -> float:
        allowed = self.tolerance * (abs(expected) or 1.0)
        # Somewhat more than the tolerance, so that a value at its edge is right in binary too.
        return float(abs(given - expected) <= allowed * (1 + 1e-9))

    def expects(self) -> str:
        limits = "" if (self.low, self.high) == (0.0, 1e18) else f", {self.low:g} to {self.high:g}"
        return f"a number{limits}, right to {100 * self.tolerance:g} %"

    def show(self, value: float) -> str:
        return repr(float(value))


@dataclass(frozen=True)
class Choice:
    """One of some words."""

    words: tuple[str, ...]

    def parse(self, given: Any) -> str:
        if not isinstance(given, str):
            raise WrongAnswer(f"is {_kind(given)}; expected {self.expects()}")
        for word in self.words:
            if word.lower() == given.strip().lower():
                return word
        raise WrongAnswer(f"is none of the choices; expected {self.expects()}")

    def credit(self, given: str, expected: str) -> float:
        return float(given == expected)

    def expects(self) -> str:
        return "one of " + ", ".join(self.show(word) for word in self.words)

    def show(self, value: str) -> str:
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'


@dataclass(frozen=True)
class Items:
    """A list. ordered: the place of each item matters, and each right one earns its share;
    an item may be left out as "". Otherwise it is a set, and each wrong item takes back
    what a right one earns. count: how many items; None: any number, which is not told."""

    of: Whole | Number | Choice
    ordered: bool = False
    count: int | None = None

    def parse(self, given: Any) -> list[Any]:
        if not isinstance(given, list):
            raise WrongAnswer(f"is {_kind(given)}; expected {self.expects()}")
        if self.count is not None and len(given) != self.count:
            raise WrongAnswer(f"has {len(given):,} items; expected {self.expects()}")
        items: list[Any] = []
        for number, item in enumerate(given, start=1):
            if self.ordered and item == "":
                items.append(None)
                continue
            try:
                items.append(self.of.parse(item))
            except WrongAnswer as error:
                raise WrongAnswer(f"item {number} {error}") from None
        return items

    def credit(self, given: Sequence[Any], expected: Sequence[Any]) -> float:
        if self.ordered:
            longest = max(len(given), len(expected))
            wrong = len(self.wrong(given, expected)) + abs(len(given) - len(expected))
            return (longest - wrong) / longest if longest else 1.0
        chosen, right = set(given), set(expected)
        if not right:
            return float(not chosen)
        return max(0.0, (len(chosen & right) - len(chosen - right)) / len(right))

    def wrong(self, given: Sequence[Any], expected: Sequence[Any]) -> list[int]:
        """Places, from 1, of the items of an ordered list that are not right."""
        pairs = enumerate(zip(given, expected, strict=False), start=1)
        return [
            place for place, (one, other) in pairs if one is None or not self.of.credit(one, other)
        ]

    def expects(self) -> str:
        many = "items" if self.count is None else f"{self.count} items"
        order = "in order" if self.ordered else "in any order, [] for none"
        return f"a list of {many} {order}, each {self.of.expects()}"

    def show(self, value: Sequence[Any]) -> str:
        return "[" + ", ".join(self.of.show(item) for item in value) + "]"


@dataclass(frozen=True)
class Question:
    """One question of a part.

    part, key: its table and key in the file. text: the question. unit: of the answer.
    hint: what to look at again, shown where the answer is wrong. weight: its share of the
    part's points, beside the part's other questions.
    """

    part: str
    key: str
    text: str
    kind: Whole | Number | Choice | Items
    unit: str = ""
    hint: str = ""
    weight: float = 1.0


def write(
    title: str,
    parts: Sequence[Part],
    questions: Sequence[Question],
    answers: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """An answer file: a template where nothing is answered or, with answers[part][key],
    one that is filled in. `read` of it gives the answers back."""
    lines = [f"# {title}", '# Replace each "" by your answer; comments are not read.']
    lines += ['# Numbers: 31, 0x1f or "0x1f" (from 2**63 on in quotes).']
    for part in parts:
        lines += ["", f"[{part.key}]  # {part.title} ({part.points:g} points)"]
        for question in questions:
            if question.part != part.key:
                continue
            unit = f" Unit: {question.unit}." if question.unit else ""
            text = f"{question.text}{unit} Expected: {question.kind.expects()}."
            lines += ["", *textwrap.wrap(text, 92, initial_indent="# ", subsequent_indent="# ")]
            value = '""'
            if answers is not None:
                value = question.kind.show(answers[part.key][question.key])
            lines.append(f"{question.key} = {value}")
    return "\n".join(lines) + "\n"


def read(
    text: str, questions: Sequence[Question]
) -> dict[str, dict[str, Any | WrongAnswer | None]]:
    """What a file answers, as [part][key]: the value, None where it is not answered, a
    WrongAnswer where it cannot be an answer. Raises NotTOML for a text that is not TOML."""
    document = parse(text)
    found: dict[str, dict[str, Any]] = {}
    for question in questions:
        table = document.get(question.part)
        given = table.get(question.key) if isinstance(table, dict) else None
        answer: Any = None
        if given is not None and given != "":
            try:
                answer = question.kind.parse(given)
            except WrongAnswer as error:
                answer = error
        found.setdefault(question.part, {})[question.key] = answer
    return found


def mark(
    parts: Sequence[Part],
    questions: Sequence[Question],
    expected: Mapping[str, Mapping[str, Any]],
    files: Mapping[str, str],
) -> list[PartResult]:
    """Marks for each of parts, in their order. files: those of the submission, by name."""
    if FILE not in files:
        return [PartResult(part, 0.0, f"{FILE} was not handed in") for part in parts]
    try:
        found = read(files[FILE], questions)
    except NotTOML as error:
        return [PartResult(part, 0.0, f"{FILE}: {error}") for part in parts]
    return [
        _mark_part(part, [q for q in questions if q.part == part.key], found, expected)
        for part in parts
    ]


def _mark_part(
    part: Part,
    questions: Sequence[Question],
    found: Mapping[str, Mapping[str, Any]],
    expected: Mapping[str, Mapping[str, Any]],
) -> PartResult:
    if all(found[part.key][question.key] is None for question in questions):
        return PartResult(part, 0.0, "not answered")
    share = 0.0
    remarks = []
    for question in questions:
        given, right = found[part.key][question.key], expected[part.key][question.key]
        usable = given is not None and not isinstance(given, WrongAnswer)
        credit = question.kind.credit(given, right) if usable else 0.0
        share += credit * question.weight
        if credit < 1.0:
            remarks.append(f"{question.key}: {' '.join(_remarks(question, given, right, credit))}")
    total = sum(question.weight for question in questions)
    earned = part.points * share / total if remarks else part.points
    return PartResult(part, round(earned, 6), "\n".join(remarks) or "right")


def _remarks(question: Question, given: Any, right: Any, credit: float) -> Iterator[str]:
    """What is wrong with an answer that does not earn full credit, and where to look."""
    if given is None:
        yield "not answered."
        return
    if isinstance(given, WrongAnswer):
        yield f"{given}."
        return
    yield f"{credit:.0%} right." if credit > 0 else "wrong."
    kind = question.kind
    if isinstance(kind, Items) and kind.ordered:
        places = kind.wrong(given, right)
        if places and credit > 0:
            more = ", ..." if len(places) > 8 else ""
            yield f"Wrong: item {', '.join(map(str, places[:8]))}{more}."
        if len(given) != len(right):
            yield "The list has not the right length."
    if question.hint:
        yield question.hint


def _whole(text: str) -> int | str:
    """The number that a text writes in base 2, 8, 10 or 16, or the text."""
    try:
        return int(text.strip(), 0)
    except ValueError:
        pass
    try:
        return int(text.strip(), 10)  # with leading zeros
    except ValueError:
        return text


def _number(text: str) -> float | str:
    try:
        number = float(text.strip())
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _kind(given: Any) -> str:
    """What a TOML value is, in words; never the value, which may be of any size."""
    if isinstance(given, bool):
        return "true or false"
    names = {int: "a whole number", float: "a fraction", str: "a text", list: "a list"}
    return names.get(type(given), "a table" if isinstance(given, dict) else "a date or time")
