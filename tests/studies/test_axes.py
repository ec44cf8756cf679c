"""What a study file says: axes, ranges, exclusions, derived settings; and the runs they make."""

from __future__ import annotations

from pathlib import Path

import pytest
from drivers.small_studies import SCENARIO, load
from hypothesis import given
from hypothesis import strategies as st

from mmulab.mmu.errors import InputError
from mmulab.studies.derive import derived
from mmulab.studies.points import expand
from mmulab.studies.study import Study, parse
from mmulab.studies.values import listed


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("512..8192*2", ["512", "1024", "2048", "4096", "8192"]),
        ("64M..200M*2", ["64M", "128M"]),
        ("1..4", ["1", "2", "3", "4"]),
        ("0..9+4,20", ["0", "4", "8", "20"]),
        ("gups:size=1M,accesses=5,zipf", ["gups:size=1M,accesses=5", "zipf"]),
        (["a,b", True, 3, "1..2"], ["a,b", "true", "3", "1", "2"]),
        (7, ["7"]),
    ],
)
def test_values(given: object, expected: list[str]) -> None:
    assert list(listed("key", given)) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("", "no value"),
        ([], "no value"),
        ("1,2,1", "1 twice"),
        ("1..3,2", "2 twice"),
        ("8..4", "a range that rises"),
        ("0..4*2", "a range that rises"),
        ("1..4*1", "a range that rises"),
        ("1..4+0", "a range that rises"),
        ("64K..1M*2", "both ends in one unit"),
        ("1..1000000", "10,000 values at most"),
    ],
)
def test_bad_values(given: object, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        listed("key", given)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 9))
def test_a_range_is_what_python_counts(first: int, more: int, step: int) -> None:
    expected = list(map(str, range(first, first + more + 1, step)))
    assert list(listed("key", f"{first}..{first + more}+{step}")) == expected


def test_derived_settings() -> None:
    settings = {"memory": "16G", "trace.size": "1M", "n": "3"}
    assert derived("k", "= {memory} / 4 + 1K", settings) == str((16 << 30) // 4 + 1024)
    assert derived("k", "= {n} // 2 * -1 % 5", settings) == str(3 // 2 * -1 % 5)
    assert derived("k", "= {n} / 2", settings) == "1.5"
    assert derived("k", "gups:size={trace.size},accesses=5K", settings) == (
        "gups:size=1M,accesses=5K"
    )
    for rule, expected in (
        ("= {memry}", "did you mean 'memory'"),
        ("= __import__('os')", "expected arithmetic"),
        ("= 1 / 0", "expected arithmetic"),
        ("= 'a' * 3", "expected arithmetic"),
        ("= 2 ** 9 ** 9", "expected arithmetic"),
    ):
        with pytest.raises(InputError, match=expected):
            derived("k", rule, settings)


def test_the_last_axis_varies_fastest_and_rules_leave_runs_out(tmp_path: Path) -> None:
    found = expand(load(tmp_path))
    axes = [dict(point.axes) for point in found]
    assert len(found) == 2 * (2 * 2 * 2 - 2)
    assert [each["seed"] for each in axes[:4]] == ["1", "2", "1", "2"]
    assert not any(each["page_size"] == "thp" and each["seed"] == "2" for each in axes)
    assert len({point.key for point in found}) == len(found)
    assert found == expand(load(tmp_path))


def test_a_key_is_of_what_the_run_is_made_of(tmp_path: Path) -> None:
    """Not of how it is said, nor of what else is in the study."""
    one = parse({"traces": "gups", "preset": "skylake-sp", "memory": "16G"}, "a")
    same = parse(
        {"preset": "skylake-sp", "axes": {"trace": ["gups"], "memory": [1 << 34, "8G"]}}, "b"
    )
    other = parse({"traces": "gups", "preset": "skylake-sp", "set": {"cost": {"vm_exit": 9}}}, "c")
    ((key,), keys, (changed,)) = ([p.key for p in expand(each)] for each in (one, same, other))
    assert key == keys[0] != keys[1] and changed not in (key, *keys)
    trace = tmp_path / "t.din"
    study = parse({"traces": [str(trace)], "preset": "skylake-sp"}, "d")
    found = []
    for text in ("0 1000\n", "0 2000\n", "0 1000\n"):
        trace.write_text(text)
        found.append(expand(study)[0].key)
    assert found[0] == found[2] != found[1]


def test_parameters_of_a_generator(tmp_path: Path) -> None:
    axes = {"trace": ["gups:size=1M,accesses=5K"], "trace.size": ["2M", "4M"]}
    found = expand(parse({"preset": "skylake-sp", "axes": axes}, "a"))
    from mmulab.studies.calls import trace_of

    assert [trace_of(point.settings) for point in found] == [
        "gups:accesses=5K,size=2M", "gups:accesses=5K,size=4M",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"axes": {"pagesize": ["4k"]}}, "unknown key 'pagesize'; did you mean 'page_size'"),
        ({"axes": {"page_size": ["4k", "3m"]}}, "page_size=3m"),
        ({"axes": {"tlb.stlb.entries": [768, 1000]}}, "tlb.stlb.entries=1000: .*multiple"),
        ({"axes": {"pcid": ["maybe"]}}, "expected true or false"),
        ({"axes": {"memory": ["4M", "4096K"]}}, "memory: 4M and 4096K are equal"),
        ({"axes": {"preset": ["skylake"]}}, "did you mean 'skylake-sp'"),
        ({"axes": {"trace": ["@python"], "trace.size": ["1M"]}}, "is no generator"),
        ({"axes": {"seed": [1]}, "exclude": [{"sed": 1}]}, "did you mean 'seed'"),
        ({"axes": {"seed": [1]}, "exclude": [{"seed": 1}]}, "every run is excluded"),
        ({"axes": {"seed": [1]}, "exclude": [{}]}, "nothing in it"),
        ({"command": "walk"}, "unknown command 'walk'"),
        ({"axis": {"seed": [1]}}, "unknown table 'axis'; did you mean 'axes'"),
        ({"axes": {"seed": "1..1000", "llc": "1..2000"}}, "2,000,000 runs"),
        ({"traces": ["-"]}, "can be read once only"),
        ({"command": "mrc", "axes": {"preset": ["skylake-sp"]}}, "unknown key 'preset'"),
    ],
)
def test_mistakes_in_a_study(table: dict, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        expand(parse({"traces": ["gups:size=1M,accesses=5K"], **table}, "a"))


def test_what_one_combination_cannot_have_is_that_runs_failure() -> None:
    axes = {"tlb.stlb.ways": [12, 8], "tlb.stlb.entries": [1536, 1024]}
    study = parse({"traces": "gups", "preset": "skylake-sp", "axes": axes}, "a")
    refused = [point.refused for point in expand(study)]
    assert refused == [
        "", "tlb.stlb.entries=1024: expected a multiple of its 12 ways", "", "",
    ]  # fmt: skip


def test_a_seed_of_a_scenario_moves_those_of_its_vms(tmp_path: Path) -> None:
    from mmulab.studies.calls import scenario_of

    study = load(tmp_path, SCENARIO)
    assert isinstance(study, Study) and study.command == "run"
    seeds = [
        [vm.seed for vm in scenario_of(point.settings, study.scenario).vms]  # type: ignore
        for point in expand(study)
    ]
    assert seeds == [[1, 2], [2, 3]] * 2


def test_numbers_of_a_preset_are_axes_of_a_scenario(tmp_path: Path) -> None:
    found = load(tmp_path, SCENARIO).swept({"cost.vm_exit": ("1", "2"), "seed": ("1",)})
    keys = [point.key for point in expand(found)]
    assert len(set(keys)) == 4
    with pytest.raises(InputError, match="unknown key 'cost.vmexit'"):
        expand(found.swept({"cost.vmexit": ("1",)}))
