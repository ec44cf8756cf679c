"""What figures show: colours that mean one thing, axes with names, numbers at their places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from drivers.command_line import check_error
from drivers.small_studies import load

import mmulab
from mmulab.mmu.errors import InputError
from mmulab.mmu.report.study_results import StudyResults
from mmulab.mmu.report.study_results import load as load_results
from mmulab.plots import figures, mrc, scenario, study, sweep, walk
from mmulab.studies.sweep import sweep as make

DOUBLE = {"set": ["vm.workload=zipf:keys=2k,accesses=20K", "host.preset=skylake-sp"]}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> StudyResults:
    folder = tmp_path_factory.mktemp("studies")
    made = load(folder).swept({"tlb.stlb.entries": ("384", "768", "1536")})
    make(made, folder / "out")
    return load_results(folder / "out")


@pytest.fixture(scope="module")
def variants() -> list[Any]:
    return mmulab.run("@double-paging", compare=True, **DOUBLE)  # type: ignore[call-overload]


def visible(figure: Any) -> list[Any]:
    return [axes for axes in figure.get_axes() if axes.get_visible()]


def bars(axes: Any) -> dict[str, list[float]]:
    """Heights by label."""
    return {
        each.get_label(): [bar.get_height() for bar in each] for each in axes.containers
        if hasattr(each, "patches") and each.patches
    }  # fmt: skip


def test_a_colour_means_one_thing_in_a_figure() -> None:
    of_memory = {colour for colour, _ in scenario.MEMORY.values()}
    guests = {colour for name, (colour, *_) in scenario.PAGING.items() if "guest" in name}
    host = {colour for name, (colour, *_) in scenario.PAGING.items() if "host" in name}
    assert host == {scenario.MEMORY["paged_out"][0]}
    assert not guests & of_memory
    assert not set(scenario.VARIANTS) & (of_memory | guests | host)
    assert len(set(figures.SERIES)) == len(figures.SERIES)


def test_variants_have_names_on_their_axes_and_all_memory(variants: list[Any]) -> None:
    figure = scenario.draw(variants)
    first, *_, slowdown, moved = visible(figure)
    assert slowdown.get_ylabel() and moved.get_ylabel() and moved.get_xlabel()
    lines = {line.get_label(): line.get_ydata() for line in first.get_lines()}
    assert set(lines) == {"in guests' balloons", "paged out by the host"}
    balloon = next(run for run in variants if run.variant == "balloon")
    panel = visible(figure)[[run.variant for run in variants].index("balloon")]
    drawn = {line.get_label(): line.get_ydata() for line in panel.get_lines()}
    expected = balloon.vms[0].series["balloon"] / 256
    assert drawn["in guests' balloons"].tolist() == expected.tolist()


def test_a_sweep_of_numbers_has_an_axis_of_numbers(variants: list[Any]) -> None:
    values = {"44M": [variants[2]], "48M": [variants[2]], "80M": [variants[2]]}
    for axes in visible(sweep.draw("vm.memory", values))[:2]:
        assert [tick / 2**20 for tick in axes.get_xticks()] == [44, 48, 80]
        assert axes.get_ylabel() and axes.get_xlabel() == "vm.memory"
    named = sweep.draw("host.victims", {"clock": [variants[2]], "random": [variants[2]]})
    assert visible(named)[0].get_xticks().tolist() == [0, 1]


@pytest.mark.parametrize("technique", ["native", "nested", "shadow", "flattened", "flat-nested"])
def test_arrows_follow_a_walk_from_its_root(technique: str) -> None:
    from mmulab.mmu.techniques import registry

    if technique not in registry.names():
        pytest.skip("not a technique here")
    one = mmulab.walk("0x7f1234567abc", technique, preset="skylake-sp")
    figure = walk.draw([one])
    (axes,) = visible(figure)
    texts = [each for each in axes.texts if each.get_text()]
    arrows = [each for each in axes.texts if getattr(each, "arrow_patch", None)]
    assert len(arrows) == len(one.references)
    assert sum("CR3" in each.get_text() for each in texts) == 1
    nested = any(each.is_nested for each in one.references)
    assert len(figure.legends[0].get_texts()) == 1 + nested
    assert all(each.xyann != each.xy for each in arrows)


def test_a_miss_ratio_ends_at_one_miss_and_marks_real_sizes() -> None:
    measured = mmulab.miss_ratio("gups:size=16M,accesses=20K", page_sizes="4k")
    (axes,) = visible(mrc.draw([measured]))
    touches = measured.curves[0].touches
    assert 0.5 / touches < axes.get_ylim()[0] < 1 / touches
    marks = [line.get_xdata()[0] for line in axes.get_lines() if line.get_label() == mrc._MARK]
    assert 1536 in marks and set(marks) <= set(mrc.real_sizes())
    assert "skylake-sp" in mrc.real_sizes()[1536]


def test_regions_of_a_trace_are_named() -> None:
    from mmulab.plots import info

    found = mmulab.trace_info("@python")
    above, _ = visible(info.draw(found))
    named = [text.get_text() for text in above.texts]
    assert f"{found.regions[0].start:#x}" in named and len(named) <= len(found.regions)


def test_lines_over_numbers(small: StudyResults) -> None:
    figure = study.draw(small)
    shown = study.layout(small)
    assert shown.lines and shown.x == "tlb.stlb.entries" and shown.panels == "trace"
    assert [axes.get_title(loc="left") for axes in visible(figure)] == list(small.axes["trace"])
    for axes in visible(figure):
        assert axes.get_xscale() == "log" and axes.get_xlabel() == "tlb.stlb.entries"
        assert axes.get_xticks().tolist() == [384, 768, 1536]
    assert visible(figure)[0].get_ylabel() == "cycles per access"
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [f"{t}, {p}" for p in ("4k", "thp") for t in ("native", "nested")]


def test_bars_with_their_geometric_mean(small: StudyResults) -> None:
    some = small.where({"page_size": ["4k"]})
    figure = study.draw(some, by="trace", normal="native", bars=True)
    for axes in visible(figure):
        native, nested = bars(axes).values()
        assert native == [1, 1, 1]
        assert nested[2] == pytest.approx((nested[0] * nested[1]) ** 0.5)
        assert [label.get_text() for label in axes.get_xticklabels()][-1] == "geometric mean"
    cells = some.cells(["cycles_per_access"], ["trace", "tlb.stlb.entries"])
    first = {series.subject: cell.value for series, cell in next(iter(cells.values())).items()}
    heights = list(bars(visible(figure)[0]).values())[1]
    assert heights[0] == pytest.approx(first["nested"] / first["native"])


def test_whiskers_are_of_seeds_or_else_of_costs(small: StudyResults) -> None:
    assert "whiskers: least to most" in study.draw(small).get_suptitle()
    of_one = small.where({"seed": ["1"]})
    assert "whiskers: costs low to high" in study.draw(of_one).get_suptitle()
    exact = study.draw(of_one, "counts.walks").get_suptitle()
    assert "whiskers" not in exact and "all panels in one scale" in exact


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ({"by": "page-size"}, "did you mean 'page_size'"),
        ({"metric": "cycles"}, "unknown metric"),
        ({"normal": "nativ", "by": "trace"}, "did you mean 'native'"),
        ({"normal": "native", "metric": "total_exits"}, "native: is 0"),
    ],
)
def test_what_cannot_be_drawn(small: StudyResults, how: dict[str, Any], expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        study.draw(small, **how)


def test_width_and_style(mmulab, tmp_path: Path) -> None:  # type: ignore
    words = ["mrc", "gups:size=1M,accesses=5K", "--plot"]
    sizes = {}
    for name, more in {
        "plain": [], "narrow": ["--width", "84mm"], "slides": ["--style", "slides"],
        "again": [],
    }.items():  # fmt: skip
        path = tmp_path / f"{name}.svg"
        assert mmulab(*words, path, *more).code == 0
        text = path.read_text()
        sizes[name] = float(text.partition('width="')[2].partition("pt")[0]), len(set(text.split()))
    assert sizes["narrow"][0] == pytest.approx(84 / 25.4 * 72, abs=0.1)
    assert sizes["plain"] == sizes["again"] and sizes["slides"] != sizes["plain"]
    check_error(mmulab(*words, "a.svg", "--width", "3"), 2, "expected 1in to 40in")
    check_error(mmulab(*words, "a.svg", "--style", "poster"), 2, "poster")


def test_results_are_drawn(mmulab, small: StudyResults, tmp_path: Path) -> None:  # type: ignore
    make(load(tmp_path), tmp_path / "out")
    path = tmp_path / "a.png"
    words = ["results", "show", tmp_path / "out", "--plot", path, "--by", "page_size", "--bars"]
    assert mmulab(*words).code == 0 and path.read_bytes().startswith(b"\x89PNG")
