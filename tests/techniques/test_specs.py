"""Specs of techniques: how they are written, what they come to, and where they are shown."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from drivers.command_line import SMALL, check_error
from hypothesis import given
from hypothesis import strategies as st

from mmulab import workloads
from mmulab.mmu import presets, simulate
from mmulab.mmu.config import Config
from mmulab.mmu.errors import InputError, MMULabError
from mmulab.mmu.techniques import registry
from mmulab.mmu.techniques.specs import costs, parse, parse_all, split
from mmulab.mmu.techniques.technique import Variant
from mmulab.plots import compare as figure
from mmulab.plots.terminal.compare_table import table

EXAMPLE = Path(__file__).parents[2] / "docs" / "extending" / "fault_around.py"

# --- Lists ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("native", ["native"]),
        ("native,shadow,nested", ["native", "shadow", "nested"]),
        (" native , nested ", ["native", "nested"]),
        ("native,,nested,", ["native", "nested"]),
        ("", []),
        (",", []),
        (
            "native,shadow:policy=trap,nested:host_page_size=2m",
            ["native", "shadow:policy=trap", "nested:host_page_size=2m"],
        ),
        # What is key=value goes on with the spec before it,
        ("shadow:policy=trap,host_page_size=2m", ["shadow:policy=trap,host_page_size=2m"]),
        (
            "shadow:policy=trap,host_page_size=2m,nested",
            ["shadow:policy=trap,host_page_size=2m", "nested"],
        ),
        # unless a colon stands before its equals sign; one behind it is of the value.
        ("native,zipf:a=1,b=x:y", ["native", "zipf:a=1,b=x:y"]),
        ("a=b", ["a=b"]),
        ("./a.py:x=1,../b/c.py", ["./a.py:x=1", "../b/c.py"]),
    ],
)
def test_split(text: str, expected: list[str]) -> None:
    assert split(text) == expected


WORDS = st.text("abcxyz_./0123456789", min_size=1, max_size=8)
SPECS = st.builds(
    lambda name, values: name + (":" + ",".join(f"{k}={v}" for k, v in values) if values else ""),
    WORDS,
    st.lists(st.tuples(WORDS, WORDS), max_size=3),
)


@given(st.lists(SPECS, max_size=5))
def test_split_finds_what_was_joined(specs: list[str]) -> None:
    assert split(",".join(specs)) == specs


# --- One spec -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("shadow", "shadow"),
        ("shadow:", "shadow"),
        ("shadow:policy=unsync", "shadow"),
        ("shadow:policy=trap", "shadow:policy=trap"),
        (" shadow : policy = TRAP ", "shadow:policy=trap"),
        ("shadow:host_page_size=4k,policy=trap", "shadow:policy=trap"),
        ("shadow:host_page_size=2M,policy=trap", "shadow:policy=trap,host_page_size=2m"),
        (f"{EXAMPLE}:around=16", f"{EXAMPLE}"),
        (f"{EXAMPLE}:host_page_size=2m,around=0x8", f"{EXAMPLE}:around=8,host_page_size=2m"),
    ],
)
def test_canonical_form(text: str, canonical: str) -> None:
    assert parse(text).text == canonical


SHADOW = registry.get("shadow")
VALUES = st.fixed_dictionaries(
    {}, optional={each.name: st.sampled_from(each.choices) for each in SHADOW.parameters}
)
CONFIGS = st.builds(
    Config,
    shadow_policy=st.sampled_from(["unsync", "trap"]),
    host_page_size=st.sampled_from(["4k", "2m", "1g"]),
)


@given(VALUES, CONFIGS, st.randoms())
def test_a_canonical_form_says_what_the_spec_does(values, config: Config, random) -> None:  # type: ignore
    items = [f"{key}={value}" for key, value in values.items()]
    random.shuffle(items)
    spec = parse("shadow:" + ",".join(items) if items else "shadow", config)
    assert parse(spec.text, config) == spec
    assert spec.values == {
        "policy": values.get("policy", config.shadow_policy),
        "host_page_size": values.get("host_page_size", config.host_page_size),
    }


def test_a_parameter_overrides_an_option_which_overrides_the_default() -> None:
    trap = Config(shadow_policy="trap")
    assert parse("shadow").values["policy"] == "unsync"
    assert parse("shadow", trap).values["policy"] == "trap"
    assert parse("shadow:policy=unsync", trap).values["policy"] == "unsync"
    # What options say is left out of the canonical form.
    assert parse("shadow:policy=trap", trap).text == "shadow"
    assert parse("shadow:policy=unsync", trap).text == "shadow:policy=unsync"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("shadw", "unknown technique 'shadw'; did you mean 'shadow'?"),
        ("", f"unknown technique ''; known: {', '.join(sorted(registry.names()))}"),
        ("shadow:polcy=trap", "unknown parameter 'polcy'; did you mean 'policy'?"),
        ("shadow:policy=tarp", "unknown value of shadow:policy 'tarp'; did you mean 'trap'?"),
        ("shadow:policy=", "unknown value of shadow:policy ''; known: trap, unsync"),
        ("shadow:policy", "technique shadow:policy: 'policy': expected KEY=VALUE"),
        ("shadow:policy=trap,policy=trap", "policy is given twice"),
        ("native:policy=trap", "native has no parameters"),
        (f"{EXAMPLE}:around=0", "around=0: expected 1 to 512"),
        (f"{EXAMPLE}:around=513", "around=513: expected 1 to 512"),
        (f"{EXAMPLE}:around=many", "around=many: expected a whole number"),
    ],
)
def test_a_wrong_spec_is_one_sentence(text: str, expected: str) -> None:
    with pytest.raises(InputError) as error:
        parse(text)
    assert expected in str(error.value) and "\n" not in str(error.value)


def test_a_wrong_option_is_named_as_such() -> None:
    with pytest.raises(InputError, match="unknown shadow policy 'tarp'; did you mean"):
        parse("shadow", Config(shadow_policy="tarp"))
    assert parse("shadow:policy=trap").values["policy"] == "trap"


@pytest.mark.parametrize(
    "text",
    ["shadow,shadow", "shadow,shadow:policy=unsync", "shadow:policy=trap,shadow:policy=TRAP",
     f"{EXAMPLE},{EXAMPLE.parent}/../extending/{EXAMPLE.name}:around=16"],
)  # fmt: skip
def test_equal_specs_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="is named twice; expected each once"):
        parse_all(text)


@pytest.mark.parametrize("nothing", ["", " , ", []])
def test_no_technique_is_refused(nothing: str) -> None:
    with pytest.raises(InputError, match="no technique; expected one or more of native, shadow"):
        parse_all(nothing)


def test_lists_may_hold_specs_and_texts() -> None:
    trap = parse("shadow:policy=trap")
    assert parse_all([trap, "native"]) == (trap, parse("native"))


def test_costs_are_named_after_the_technique() -> None:
    found = costs([registry.get("native"), registry.get("nested"), registry.get(str(EXAMPLE))])
    assert list(found) == [
        "nested.ept_violation", "nested.pml_full", "fault_around.ept_violation",
        "fault_around.pml_full", "fault_around.mapped_around",
    ]  # fmt: skip


# --- Variants side by side -------------------------------------------------------------------

VARIANTS = ("native", "shadow", "shadow:policy=trap", "nested:host_page_size=2m")


@pytest.fixture(scope="module")
def compared() -> simulate.Comparison:
    trace = workloads.resolve("microchurn:heap=64K,arena=32K,work=100,accesses=20K")
    config = Config(memory=64 << 20)
    return simulate.compare(trace, presets.load("skylake-sp"), config, VARIANTS, check=True)


def test_results_are_found_by_spec_or_by_a_name_that_is_one_variants(
    compared: simulate.Comparison,
) -> None:
    for number, text in enumerate(VARIANTS):
        assert compared[text] is compared.results[number]
    assert compared["nested"] is compared.results[3]
    assert compared["shadow"] is compared.results[1]  # a spec before it is a name
    assert compared["shadow"].exits != compared["shadow:policy=trap"].exits
    two = [each for each in compared.results if each.technique != "shadow"]
    assert replace(compared, results=tuple(two))["shadow"] is two[1]


def test_a_name_of_two_variants_is_none() -> None:
    trace = workloads.resolve(SMALL)
    found = simulate.compare(
        trace,
        presets.load("skylake-sp"),
        Config(shadow_policy="trap", host_page_size="2m"),
        "shadow:policy=unsync,shadow:host_page_size=4k",
    )
    with pytest.raises(KeyError):
        found["shadow"]


def test_variants_stand_side_by_side(mmulab, tmp_path: Path) -> None:  # type: ignore
    result = mmulab("compare", SMALL, "--techniques", ",".join(VARIANTS), "--memory", "64M",
                    "--json", tmp_path / "a.json", "--csv", tmp_path / "a.csv",
                    "--plot", tmp_path / "a.svg")  # fmt: skip
    assert result.code == 0
    # In the table the parameters stand below the names, and columns do not run together.
    lines = result.out.splitlines()
    assert lines[2].split() == ["native", "shadow", "shadow", "nested"]
    assert lines[3].split() == ["policy=trap", "host_page_size=2m"]
    assert lines[2].index("nested") + len("nested") == len(lines[3])
    assert len(next(line for line in lines if line.startswith("page walks")).split()) == 2 + 4
    bars = [line.split()[0] for line in lines if "█" in line]
    assert bars[:4] == list(VARIANTS)
    assert len({line.index("█") for line in lines if "█" in line}) == 1
    # In files each is named in full,
    (comparison,) = json.loads((tmp_path / "a.json").read_text())
    assert [each["technique"] for each in comparison["results"]] == list(VARIANTS)
    trap = comparison["results"][2]
    assert trap["name"] == "shadow"
    assert trap["parameters"] == {"policy": "trap", "host_page_size": "4k"}
    table = list(csv.DictReader((tmp_path / "a.csv").open()))
    assert [row["technique"] for row in table] == list(VARIANTS)
    assert [row["parameters"] for row in table] == [
        "",
        "host_page_size=4k;policy=unsync",
        "host_page_size=4k;policy=trap",
        "host_page_size=2m",
    ]
    # and in the plot.
    drawn = (tmp_path / "a.svg").read_text()
    for text in ("native", "shadow", "policy=trap", "nested", "host_page_size=2m"):
        assert f">{text}</text>" in drawn


def test_long_names_are_not_cut_off_in_plots(compared: simulate.Comparison) -> None:
    drawn = figure.draw([compared, compared])
    drawn.draw_without_rendering()
    labels = [label for axes in drawn.axes[::2] for label in axes.get_yticklabels()]
    assert [label.get_text().split("\n")[0] for label in labels] == 2 * [
        "native", "shadow", "shadow", "nested",
    ]  # fmt: skip
    boxes = [label.get_window_extent() for label in labels]
    assert all(box.x0 >= 0 and box.y0 >= 0 for box in boxes)
    assert all(above.y0 > below.y1 for above, below in zip(boxes, boxes[1:], strict=False))


def test_a_parameter_does_what_its_option_does() -> None:
    trace = workloads.resolve("gups:size=8M,accesses=20K")
    preset = presets.load("skylake-sp")
    (by_parameter,) = simulate.compare(trace, preset, Config(), "nested:host_page_size=2m").results
    (by_option,) = simulate.compare(trace, preset, Config(host_page_size="2m"), "nested").results
    (without,) = simulate.compare(trace, preset, Config(), "nested").results
    same, other, plain = (
        (each.counts, each.references, each.structures, each.cycles, each.frames)
        for each in (by_parameter, by_option, without)
    )
    assert same == other != plain
    assert by_parameter.technique == "nested:host_page_size=2m" and by_option.technique == "nested"


def test_wrong_specs_on_the_command_line(mmulab) -> None:  # type: ignore
    check_error(mmulab("compare", SMALL, "--techniques", "shadow:policy=tarp"), 2,
                "unknown value of shadow:policy 'tarp'; did you mean 'trap'?")  # fmt: skip
    check_error(mmulab("compare", SMALL, "--techniques", "nested,nested"), 2, "is named twice")


# --- Every technique --------------------------------------------------------------------


def test_all_stands_for_those_that_the_list_does_not_name() -> None:
    named = [spec.text for spec in parse_all("nested:host_page_size=2m,all,native")]
    assert named[0] == "nested:host_page_size=2m" and named[-1] == "native"
    rest = [name for name in registry.of_package() if name not in ("nested", "native")]
    assert named[1:-1] == rest
    assert [spec.optional for spec in parse_all("native,all")] == [False] + [True] * (len(rest) + 1)


def test_one_of_all_that_cannot_run_is_left_out_with_a_reason() -> None:
    trace = workloads.resolve("gups:size=8M,accesses=10K")
    config = Config(memory=64 << 20, host_memory=40 << 20)
    comparison = simulate.compare(trace, presets.load("skylake-sp"), config, "native,all")
    ran = [result.technique for result in comparison.results]
    assert ran[0] == "native" and "nested" in ran and "partition" not in ran
    (said,) = [each for each in comparison.warnings if "partition" in each]
    assert said.startswith("left out: partition: at access 0: the host has no free run of frames")
    assert comparison.input["techniques"] == ran
    with pytest.raises(MMULabError, match="no free run of frames"):
        simulate.compare(trace, presets.load("skylake-sp"), config, "native,partition")


def test_all_are_those_of_the_architecture() -> None:
    trace = workloads.resolve("gups:size=8M,accesses=1K")
    found = simulate.compare(trace, presets.load("kunminghu"), Config(memory=1 << 30), "native,all")
    ran = [result.technique for result in found.results]
    assert ran == [
        name for name in registry.of_package() if registry.get(name).is_on(Variant("riscv64"))
    ]
    assert 2 <= len(ran) < len(registry.of_package())
    with pytest.raises(InputError, match="technique pvm: it is not there on riscv64"):
        simulate.compare(trace, presets.load("kunminghu"), Config(memory=1 << 30), "all,pvm")


def test_where_none_of_all_can_run_the_first_says_why() -> None:
    trace = workloads.resolve("gups:size=8M,accesses=10K")
    with pytest.raises(MMULabError, match="native: at access .*: guest memory is too small"):
        simulate.compare(trace, presets.load("skylake-sp"), Config(memory=4 << 20), "all")


def test_many_techniques_are_rows_and_panels(tmp_path: Path) -> None:
    traces = [workloads.resolve(f"{name}accesses=10K") for name in ("gups:size=8M,", "scan:")]
    preset, config = presets.load("skylake-sp"), Config(memory=1 << 30)
    found = [simulate.compare(each, preset, config, "native,all") for each in traces]
    lines = table(found[0]).splitlines()
    rows = {line.split()[0]: line.split() for line in lines[4 : 4 + len(found[0].results)]}
    assert list(rows) == [result.technique for result in found[0].results]
    assert all(f"{r.cycles_per_access:.3f}" == rows[r.technique][1] for r in found[0].results)
    panels = figure.draw(found).axes
    assert [panel.get_title(loc="left") for panel in panels] == [each.trace for each in found]
    bars = {len(panel.containers[0]) for panel in panels}
    assert bars == {len(found[0].results)}
