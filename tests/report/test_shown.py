"""Results show themselves: in one line, in a notebook, as a figure, as a DataFrame."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import mmulab

SMALL = "gups:size=1M,accesses=5K"
RUN = {"set": ["vm.workload=zipf:keys=2k,accesses=20K", "host.preset=skylake-sp"]}


@pytest.fixture(scope="module")
def results() -> dict[str, Any]:
    return {
        "<comparison of native, nested over gups:size=1M,accesses=5K, skylake-sp>": mmulab.compare(
            SMALL, techniques="native,nested", preset="skylake-sp"
        ),
        "<run of double paging, as given: 1 VMs, finished>": mmulab.run("@double-paging", **RUN),
        "<miss ratios of gups:size=1M,accesses=5K, 4k, 2m pages>": mmulab.miss_ratio(
            SMALL, page_sizes="4k,2m"
        ),
        "<misses of gups:size=1M,accesses=5K with up to 8 sets of 2 ways>": mmulab.geometries(
            SMALL, sets=8, ways=2
        ),
        "<what gups:size=1M,accesses=5K is like: 5,000 accesses>": mmulab.trace_info(SMALL),
        "<walk for 0x1000, nested: 24 references>": mmulab.walk(4096, preset="skylake-sp"),
    }


def test_in_one_line(results: dict[str, Any]) -> None:
    assert [repr(one) for one in results.values()] == list(results)


def test_in_a_notebook_and_as_a_figure(results: dict[str, Any], tmp_path: Path) -> None:
    for number, one in enumerate(results.values()):
        shown = one._repr_html_()
        assert shown.startswith("<pre>") and "<" not in shown[5:-6]
        path = tmp_path / f"{number}.svg"
        assert one.plot(str(path)).get_axes() and path.stat().st_size > 1000


def test_as_a_frame(results: dict[str, Any]) -> None:
    pytest.importorskip("pandas")
    compared, run, curves, every, info, _ = results.values()
    frame = compared.to_frame()
    assert frame.technique.tolist() == ["native", "nested"]
    assert frame.cycles_per_access_likely.tolist() == [
        one.cycles_per_access for one in compared.results
    ]
    assert frame.walks.dtype == "int64"
    assert run.to_frame().vm.tolist() == ["guest"] and run.to_frame().exits_ept_violation[0] > 0
    frame = curves.to_frame().set_index(["page_size", "entries"])
    assert frame.miss_ratio["4k", 64] == pytest.approx(curves.curves[0].misses(64) / 5000)
    frame = every.to_frame().set_index(["sets", "ways"])
    assert frame.misses[8, 2] == every.sizes[0].misses(8, 2)
    with pytest.raises(mmulab.InputError, match="no table of TraceInfo"):
        info.to_frame()


def test_without_pandas(results: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(mmulab.InputError, match=r"pandas is not installed: pip install 'mmulab\["):
        next(iter(results.values())).to_frame()
