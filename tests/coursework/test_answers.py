"""Answer files: what is written is read back, what is wrong is said, nothing raises."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmulab.coursework.answers import (
    FILE,
    Choice,
    Items,
    Number,
    Question,
    Whole,
    mark,
    read,
    write,
)
from mmulab.coursework.assignment import Part
from mmulab.coursework.toml_text import NotTOML, parse

PARTS = (Part("split", "The split", 4), Part("time", "Time", 6))
QUESTIONS = (
    Question("split", "index", "Index?", Whole(high=511), hint="Count nine bits."),
    Question("split", "entry", "Entry?", Whole(hex=True)),
    Question("time", "eat", "Time?", Number(0.01), unit="ns", weight=2),
    Question("time", "rights", "Rights?", Items(Choice(("R", "W", "X")))),
    Question("time", "order", "Order?", Items(Whole(high=9), ordered=True, count=4)),
)
RIGHT = {
    "split": {"index": 31, "entry": 0x8000_0000_1234_5067},
    "time": {"eat": 12.5, "rights": ["R", "X"], "order": [4, 3, 2, 1]},
}


def graded(text: str) -> dict[str, tuple[float, str]]:
    results = mark(PARTS, QUESTIONS, RIGHT, {FILE: text})
    return {result.part.key: (result.earned, result.feedback) for result in results}


def answered(**changes: str) -> str:
    """The solution, with the literals of some keys replaced."""
    lines = []
    for line in write("T", PARTS, QUESTIONS, RIGHT).splitlines():
        key = line.partition(" = ")[0]
        lines.append(f"{key} = {changes[key]}" if key in changes else line)
    return "\n".join(lines)


def test_solution_is_full_and_template_is_nothing():
    assert graded(answered()) == {"split": (4, "right"), "time": (6, "right")}
    template = write("T", PARTS, QUESTIONS)
    assert graded(template) == {"split": (0, "not answered"), "time": (0, "not answered")}
    assert {v for part in read(template, QUESTIONS).values() for v in part.values()} == {None}


@pytest.mark.parametrize("literal", ["31", "0x1f", '"0x1F"', '"31"', '" 31 "', '"0b1_1111"'])
def test_spellings_of_a_whole_number(literal):
    assert graded(answered(index=literal))["split"][0] == 4


@pytest.mark.parametrize(
    ("literal", "says"),
    [
        ("30", "index: wrong. Count nine bits."),
        ('""', "index: not answered."),
        ("512", "index: is out of range; expected a whole number, 0 to 511."),
        ("-1", "index: is out of range; expected a whole number, 0 to 511."),
        ("31.0", "index: is a fraction; expected a whole number, 0 to 511."),
        ("true", "index: is true or false; expected a whole number, 0 to 511."),
        ('"31 ns"', "index: is a text; expected a whole number, 0 to 511."),
        ("[31]", "index: is a list; expected a whole number, 0 to 511."),
        ("{a = 1}", "index: is a table; expected a whole number, 0 to 511."),
        ("2020-01-01", "index: is a date or time; expected a whole number, 0 to 511."),
        ("0x" + "f" * 9000, "index: is out of range; expected a whole number, 0 to 511."),
    ],
)
def test_wrong_whole_numbers_lose_their_share(literal, says):
    assert graded(answered(index=literal)) == {"split": (2, says), "time": (6, "right")}


@pytest.mark.parametrize(
    ("literal", "earned"),
    [("12.5", 6), ("12.624", 6), ("12.376", 6), ('"12.5"', 6), ("12.63", 3), ("12", 3)]
    + [("nan", 3), ("inf", 3), ("-inf", 3), ('"nan"', 3), ("1e400", 3), ("0", 3)],
)
def test_numbers_within_the_tolerance(literal, earned):
    assert graded(answered(eat=literal))["time"][0] == earned


@pytest.mark.parametrize(
    ("literal", "lost"),
    [
        ('["X", "R"]', 0),
        ('["x", "r", "r"]', 0),
        ('["R"]', 0.75),
        ('["R", "W", "X"]', 0.75),
        ('["R", "W"]', 1.5),
        ("[]", 1.5),
        ('["R", "Q"]', 1.5),
    ],
)
def test_sets_earn_by_item_and_lose_for_wrong_ones(literal, lost):
    assert graded(answered(rights=literal))["time"][0] == 6 - lost


def test_an_empty_set_is_an_answer_when_it_is_written():
    kind = Items(Whole())
    assert kind.credit([], []) == 1 and kind.credit([1], []) == 0
    question = Question("p", "k", "?", kind)
    results = [
        mark([Part("p", "P", 1)], [question], {"p": {"k": []}}, {FILE: f"[p]\nk = {text}"})
        for text in ("[]", '""', "[3]")
    ]
    assert [result[0].earned for result in results] == [1, 0, 0]


@pytest.mark.parametrize(
    ("literal", "earned", "says"),
    [
        ("[4, 3, 1, 2]", 5.25, "order: 50% right. Wrong: item 3, 4."),
        ('[4, 3, 2, ""]', 5.625, "order: 75% right. Wrong: item 4."),
        ("[1, 2, 3, 4]", 4.5, "order: wrong."),
        ("[4, 3, 2]", 4.5, "order: has 3 items; expected a list of 4 items in order, "
         "each a whole number, 0 to 9."),
        ('[4, 3, 2, "one"]', 4.5, "order: item 4 is a text; expected a whole number, 0 to 9."),
    ],
)  # fmt: skip
def test_lists_earn_by_place(literal, earned, says):
    assert graded(answered(order=literal))["time"] == (earned, says)


def test_no_file_and_no_toml_say_so_in_each_part():
    assert {r.feedback for r in mark(PARTS, QUESTIONS, RIGHT, {})} == {
        "answers.toml was not handed in"
    }
    (earned, says), _ = graded("[split\nindex = 3").values()
    assert earned == 0 and says.startswith("answers.toml: is not TOML: ") and "line 1" in says


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 40_000,
        "a = " + "[" * 40_000 + "]" * 40_000,
        "a = " + "{a=" * 30_000,
        "a." * 50_000 + "a = 1",
        "[" + "a." * 50_000 + "a]",
        "b = {" + "a." * 50_000 + "a = 1}",
        "a\n.\n" * 30_000,
        "a = " + "9" * 150_000,
        "x" * 300_000,
        "\0" * 100,
        "a = 1\na = 2",
        "a = \"" + "\\u0041" * 20_000,
    ],
)  # fmt: skip
def test_hostile_texts_are_refused_at_once(text):
    with pytest.raises(NotTOML) as refused:
        parse(text)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300


literals = st.one_of(
    st.integers().map(str),
    st.floats().map(str),
    st.text(st.characters(max_codepoint=0x2FF)).map(repr),
    st.lists(st.integers(-20, 20)).map(str),
    st.text(alphabet="[]{}=.,\"'#\n0x1 aR", max_size=40),
)


@given(st.dictionaries(st.sampled_from([q.key for q in QUESTIONS]), literals))
def test_nothing_in_a_file_raises(changes):
    results = mark(PARTS, QUESTIONS, RIGHT, {FILE: answered(**changes)})
    assert [result.part for result in results] == list(PARTS)
    for result in results:
        assert 0 <= result.earned <= result.part.points and result.feedback


@given(
    st.integers(0, (1 << 64) - 1),
    st.floats(0, 1e18),
    st.sets(st.sampled_from("RWX")).map(sorted),
    st.integers(0, 511),
)
def test_what_is_written_is_read_back(entry, eat, rights, index):
    right = {
        "split": {"index": index, "entry": entry},
        "time": {"eat": eat, "rights": rights, "order": [4, 3, 2, 1]},
    }
    assert read(write("T", PARTS, QUESTIONS, right), QUESTIONS) == right


@given(st.floats(1e-6, 1e9), st.floats(0, 0.02))
def test_tolerance_is_relative(expected, off):
    kind = Number(0.01)
    right = math.isclose(off, 0.01, rel_tol=1e-6) or off < 0.01
    if not math.isclose(off, 0.01, rel_tol=1e-6):
        assert kind.credit(expected * (1 + off), expected) == right
