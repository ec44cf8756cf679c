"""How many VMs fit: the answer of bisection, its closed forms, and that it goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from drivers.command_line import check_error
from hypothesis import given
from hypothesis import strategies as st

from mmulab.mmu.errors import InputError
from mmulab.mmu.report.consolidation import Tried
from mmulab.mmu.report.study_results import load
from mmulab.mmu.scenario import crowd, parsing
from mmulab.studies import engines
from mmulab.studies.consolidate import _Search, consolidate

#: VMs that hold all of their 2 MiB and 30 tables or so; a host of 16 MiB has room for seven.
MIX = """
name = "mix"
[host]
memory = "16M"
swap = "64M"
preset = "skylake-sp"
quantum = 500
[[vm]]
name = "a"
memory = "4M"
workload = "guest:size=2M,accesses=4k,zero=0,file=1,active=1,write=0"
[[vm]]
name = "b"
memory = "4M"
workload = "guest:size=2M,accesses=4k,zero=0,file=1,active=1,write=0"
[ksm]
sleep = "50us"
pages_to_scan = 2000
method = "hints"
"""


def mix(text: str = MIX) -> parsing.Scenario:
    return parsing.parse(text, "mix.toml")


@given(st.integers(0, 200), st.integers(1, 150))
def test_a_search_finds_the_last_that_fits(answer: int, most: int) -> None:
    search = _Search("x", most)
    while (count := search.next()) is not None:
        assert count not in search.tried and 1 <= count <= most
        fits = count <= answer
        search.note(Tried(count, fits, 1.0, 1.0, 1.0))
    found = search.result()
    assert found.vms == min(answer, most) and found.most == (answer >= most)
    assert len(found.tried) <= 2 * most.bit_length() + 1
    if not found.most:
        assert {found.vms + 1, found.vms} - {0} <= {tried.vms for tried in found.tried}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=60), st.integers(1, 100))
def test_percentile_is_the_nearest_rank(values: list[int], percent: int) -> None:
    found = crowd.percentile(values, percent)
    below = sum(value <= found for value in values)
    assert found in values and 100 * below >= percent * len(values)
    under = sum(value < found for value in values)
    assert 100 * under < percent * len(values)


def test_a_crowd_has_the_mix_in_turn() -> None:
    found = crowd.crowd(mix(), 5, "swap+ksm")
    assert [vm.name for vm in found.vms] == ["a", "b", "a#2", "b#2", "a#3"]
    assert len({vm.seed for vm in found.vms}) == 5
    assert found.ksm and not found.balloon and found.host.swap
    assert not crowd.crowd(mix(), 1, "nothing").host.swap
    assert crowd.sets_of(mix()) == ("nothing", "swap", "swap+ksm")
    assert crowd.read_set(mix(), "ksm + swap") == "swap+ksm"


def test_without_mechanisms_as_many_fit_as_there_are_frames_for() -> None:
    found = consolidate(mix(), 1.5, sets=["nothing"])["nothing"]
    tried = {each.vms: each for each in found.tried}
    assert tried[found.vms].fits and tried[found.vms + 1].why == "out of memory"
    assert found.vms == 7


def test_merging_fits_more_of_one_image() -> None:
    """All pages are an image's files: what is shared by all takes one frame each."""
    found = consolidate(mix(), 1e3, sets=["nothing", "ksm"], most=16)
    assert found["nothing"].vms == 7
    assert found["ksm"].most and found["ksm"].vms == 16
    assert found["ksm"].tried[-1].saved > 7 * 512


def test_a_limit_of_one_is_met_by_one_that_nothing_disturbs() -> None:
    found = consolidate(mix(), 1.0, sets=["nothing"], most=1)["nothing"]
    assert (found.vms, found.tried[0].slowdown) == (1, 1.0)


class Counted(engines.Inline):
    made = 0

    def outcomes(self, points):  # type: ignore
        for outcome in super().outcomes(points):
            self.made += 1
            yield outcome


def test_what_is_kept_is_not_made_again(tmp_path: Path) -> None:
    first, second = Counted(), Counted()
    whole = consolidate(mix(), 1.5, sets=["nothing"], folder=tmp_path / "kept", engine=first)
    again = consolidate(mix(), 1.5, sets=["nothing"], folder=tmp_path / "kept", engine=second)
    assert first.made > 3 and second.made == 0 and again == whole
    third = Counted()  # more of the same study: what is there already stays
    found = consolidate(mix(), 1e3, sets=["nothing"], folder=tmp_path / "kept", engine=third)
    assert third.made < first.made and found["nothing"].vms == 7
    kept = load(tmp_path / "kept")
    assert kept.missing == 0 and kept.axes["mechanisms"] == ("nothing",)
    assert {row[-2] for row in kept.rows if row[9] == "slowdown"} >= {""}
    with pytest.raises(InputError, match="holds another study"):
        consolidate(replace(mix(), seed=2), folder=tmp_path / "kept", most=1)


def test_a_study_that_is_ended_goes_on(tmp_path: Path) -> None:
    class Ended(BaseException):
        pass

    def end(_name: str, tried: Tried) -> None:
        if tried.vms == 4:
            raise Ended

    whole = consolidate(mix(), 1.5, sets=["nothing"])
    with pytest.raises(Ended):
        consolidate(mix(), 1.5, sets=["nothing"], folder=tmp_path / "kept", said=end)
    rest = Counted()
    found = consolidate(mix(), 1.5, sets=["nothing"], folder=tmp_path / "kept", engine=rest)
    assert found == whole and rest.made == len(whole["nothing"].tried) - 3


def test_the_command(mmulab: Callable, tmp_path: Path) -> None:
    (tmp_path / "mix.toml").write_text(MIX)
    command = ("consolidate", tmp_path / "mix.toml", "--most", 8, "--percentile", "worst")
    found = mmulab(*command, "--plot", tmp_path / "a.svg", "--json", tmp_path / "a.json")
    assert found.code == 0, found.err
    lines = {line.split()[0]: line.split()[1] for line in found.out.splitlines()[3:6]}
    plain = json.loads((tmp_path / "a.json").read_text())
    assert lines == {each["mechanisms"]: str(each["vms"]) for each in plain["sets"]}
    assert lines["nothing"] == "7"
    assert b"swap+ksm" in (tmp_path / "a.svg").read_bytes()
    assert mmulab(*command, "--jobs", 3).out == found.out


@pytest.mark.parametrize(
    "options, said",
    [
        (["--mechanisms", "swop"], "unknown mechanism"),
        (["--mechanisms", "vswapper"], "no VM has map_disk"),
        (["--percentile", "all"], "expected 1 to 100, or worst"),
        (["--percentile", "0"], "percentile"),
        (["--slowdown", "0.5"], "slowdown"),
        (["--set", "host.swap=0", "--mechanisms", "swap"], "nowhere to page to"),
    ],
)
def test_bad_options(mmulab: Callable, tmp_path: Path, options: list[str], said: str) -> None:
    (tmp_path / "mix.toml").write_text(MIX)
    check_error(mmulab("consolidate", tmp_path / "mix.toml", *options), 2, said)


@pytest.mark.parametrize("scenario, said", [("@clones", "without events"), ("@migration", "hosts")])
def test_a_mix_that_there_is_one_of(mmulab: Callable, scenario: str, said: str) -> None:
    check_error(mmulab("consolidate", scenario), 2, said)
