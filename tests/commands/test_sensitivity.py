"""`mmulab compare --sensitivity`: the table, the figure, and which techniques."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from drivers.command_line import SMALL, check_error

import mmulab as public
from mmulab.plots import compare as figure
from mmulab.plots.terminal.verdict import matter, of_two

TWO = ("--techniques", "native,shadow,nested", "--preset", "skylake-sp")


def test_the_table_stands_below_each_trace(mmulab) -> None:  # type: ignore
    plain = mmulab("compare", SMALL, "gups:size=4M,accesses=10K", *TWO)
    result = mmulab("compare", SMALL, "gups:size=4M,accesses=10K", *TWO, "--sensitivity")
    assert result.code == 0
    assert result.out.count("cycles of nested / cycles of shadow: ") == 2
    assert "cycles of nested / " not in plain.out
    rows = [line for line in result.out.splitlines() if line.startswith("vm_exit ")]
    assert len(rows) == 2 and all("assumption: as Sandy Bridge" in row for row in rows)


@pytest.mark.parametrize(
    ("techniques", "compared"),
    [
        ("shadow,native,nested", "nested / cycles of shadow"),
        ("nested,native,shadow", "shadow / cycles of nested"),
        ("shadow,nested,nested:host_page_size=2m", "nested:host_page_size=2m / cycles of shadow"),
        ("nested,nested:host_page_size=2m", "nested:host_page_size=2m / cycles of nested"),
        ("native,nested", "nested / cycles of native"),
    ],
)
def test_the_last_two_are_compared(mmulab, techniques: str, compared: str) -> None:  # type: ignore
    """Bare metal apart, where there are two others; variants of one where there is no other."""
    result = mmulab("compare", SMALL, "--techniques", techniques, "--sensitivity")
    assert f"cycles of {compared}: " in result.out


def test_one_technique_has_no_ratio(mmulab) -> None:  # type: ignore
    result = mmulab("compare", SMALL, "--techniques", "nested", "--sensitivity")
    check_error(result, 2, "at least two")


def test_json_to_standard_output_stays_json(mmulab) -> None:  # type: ignore
    result = mmulab("compare", SMALL, "--sensitivity", "--json", "-")
    assert json.loads(result.out)[0]["verdict"]


def test_a_config_file_can_ask_for_it(mmulab, tmp_path: Path) -> None:  # type: ignore
    config = tmp_path / "run.toml"
    config.write_text(f'traces = ["{SMALL}"]\nsensitivity = true\ntechniques = "shadow,nested"\n')
    assert "cycles of nested / cycles of shadow" in mmulab("compare", "--config", config).out


def test_the_figure_has_a_panel_more_for_each_trace(mmulab, tmp_path: Path) -> None:  # type: ignore
    path = tmp_path / "a.svg"
    result = mmulab("compare", SMALL, *TWO, "--sensitivity", "--plot", path)
    assert result.code == 0
    text = path.read_text()
    assert "what each cost does" in text and "cycles of nested / cycles of shadow" in text
    assert "vm_exit (1,018 to 2,559)" in text
    again = tmp_path / "b.svg"
    mmulab("compare", SMALL, *TWO, "--sensitivity", "--plot", again)
    assert again.read_bytes() == path.read_bytes()


def test_bars_go_from_the_low_end_to_the_high() -> None:
    comparison = public.compare(SMALL, techniques="native,shadow,nested")
    pair = of_two(comparison)
    (axes,) = figure.draw([comparison], [pair]).subfigs[1].axes
    ends = {round(bar.get_x() + bar.get_width(), 9) for bar in axes.patches}
    shown = matter(pair)[: len(axes.get_yticks())]
    expected = {round(end, 9) for each in shown for end in (each.ratio_low, each.ratio_high)}
    assert ends == expected
    # No label touches a bar: all bars lie within the panel, all labels beyond it.
    left, right = axes.get_xlim()
    assert left < min(ends) and max(ends) < right
    assert axes.get_xlabel() == "cycles of nested / cycles of shadow"
