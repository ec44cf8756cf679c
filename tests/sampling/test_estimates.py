"""Estimates of whole runs: by a census the same, by a sample within their intervals."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

import mmulab as public
from mmulab import rerun
from mmulab.mmu.errors import InputError
from mmulab.mmu.sampling.results import Estimates

TECHNIQUES = "native,shadow,nested"
MACHINE = {"techniques": TECHNIQUES, "preset": "skylake-sp"}
SMALL = "gups:size=2M,accesses=60K"


def estimate(trace: str, how: str, **more: object) -> Estimates:
    return public.estimate(trace, how, jobs=1, **{**MACHINE, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize("trace", [SMALL, "microchurn:accesses=60K"])
def test_a_census_is_a_whole_run(trace: str) -> None:
    """All units measured, one after the other: every count, every cycle, and no doubt."""
    whole = public.compare(trace, warmup="20K", **MACHINE)  # type: ignore[arg-type]
    found = estimate(trace, "smarts:unit=1K,units=40", warmup="20K")
    assert found.accesses == whole.accesses and found.units == 40
    for one, of_whole in zip(found.results, whole.results, strict=True):
        metrics = one.metrics
        wanted = {f"counts.{name}": value for name, value in of_whole.counts.items()}
        wanted |= {f"exits.{name}": value for name, value in of_whole.exits.items()}
        wanted |= {f"cycles.{name}": value.likely for name, value in of_whole.cycles.items()}
        for unit, counts in of_whole.structures.items():
            wanted |= {f"structures.{unit}.{name}": value for name, value in counts.items()}
        wanted["cycles_per_access"] = of_whole.cycles_per_access
        wanted["references_per_walk"] = of_whole.references_per_walk
        wanted["translation_percent"] = of_whole.translation_percent
        wanted["total_exits"] = of_whole.total_exits
        for name, value in wanted.items():
            each = metrics[name]
            assert each.value == pytest.approx(value), (one.technique, name)
            assert each.low == pytest.approx(value) and each.high == pytest.approx(value)
        assert one.costs == pytest.approx(of_whole.range_per_access)
    ratio = whole["nested"].cycles_per_access / whole["native"].cycles_per_access
    assert found["nested"].times.value == pytest.approx(ratio)


@pytest.mark.parametrize("how", ["smarts:unit=500,units=40", "simpoint:unit=500,each=8,clusters=4"])
@pytest.mark.parametrize("warm", ["lines", "pages", "all"])
def test_an_interval_holds_the_whole(how: str, warm: str) -> None:
    whole = public.compare(SMALL, **MACHINE)  # type: ignore[arg-type]
    found = estimate(SMALL, f"{how},warmup=2K,warm={warm}")
    for one, of_whole in zip(found.results, whole.results, strict=True):
        each = one.cycles_per_access
        assert each.low is not None and each.high is not None
        assert each.low < each.value < each.high
        slack = 0.02 if warm == "pages" else 0.005
        assert each.low * (1 - slack) < of_whole.cycles_per_access < each.high * (1 + slack)
        faults = one.metrics["counts.guest_faults"]
        assert faults.value == pytest.approx(of_whole.counts["guest_faults"], rel=0.02)


def test_jobs_change_nothing() -> None:
    """Whoever makes a part, it counts the same."""
    how = "smarts:unit=500,units=40,warmup=1K,parts=3"
    one = estimate(SMALL, how)
    other = public.estimate(SMALL, how, jobs=2, **MACHINE)  # type: ignore[arg-type]
    assert one == other


def test_an_object_of_pythons_stays_in_its_process() -> None:
    class Mine:
        name, length = "mine", 60_000

        def chunks(self):  # type: ignore
            return public.trace(SMALL).chunks()

    how = "smarts:unit=500,units=40,warmup=1K,parts=2"
    alone = public.estimate(Mine(), how, jobs=1, **MACHINE)  # type: ignore[arg-type]
    assert alone.units == 40
    with pytest.raises(InputError, match="mine: cannot be sent to another process"):
        public.estimate(Mine(), how, jobs=2, **MACHINE)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("how", "warning"),
    [
        ("smarts:unit=500,units=10,warmup=500", "10 units are few"),
        ("smarts:unit=500,units=60,warmup=5K", "a whole run takes hardly longer"),
        ("smarts:unit=500,units=60,warmup=0,warm=pages,parts=30", "warm-up of 0 is too short"),
        ("simpoint:unit=500,each=1", "there are no intervals"),
    ],
)
def test_warnings(how: str, warning: str) -> None:
    found = estimate("zipf:keys=30K,accesses=200K", how, warmup="100K")
    assert any(warning in each for each in found.warnings), found.warnings


def test_enough_of_everything_warns_of_nothing() -> None:
    assert (
        estimate("zipf:keys=30K,accesses=1M", "smarts:unit=500,units=40,warmup=5K").warnings == ()
    )


def test_the_command(mmulab, tmp_path: Path) -> None:  # type: ignore
    out = tmp_path / "out.json"
    result = mmulab(
        "compare", SMALL, "--preset", "skylake-sp", "--techniques", TECHNIQUES, "--jobs", "1",
        "--intervals", "smarts:unit=500,units=40,warmup=1K", "--json", out,
        "--csv", tmp_path / "out.csv", "--plot", tmp_path / "out.svg",
    )  # fmt: skip
    assert result.code == 0, result.err
    assert "from 40 of 120 units of 500 accesses" in result.out
    assert result.out.count("±") >= 3
    (plain,) = json.loads(out.read_text())
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert len(lines) == 1 + sum(len(each["metrics"]) for each in plain["results"])
    assert "confidence intervals of 95" in (tmp_path / "out.svg").read_text()
    (again,) = rerun.rerun(rerun.load(str(out)))
    assert again.differences == []


def test_what_goes_by_whole_runs_is_refused(mmulab) -> None:  # type: ignore
    for option in ("--sensitivity", "--references", "--walk-latency"):
        result = mmulab("compare", SMALL, "--intervals", "smarts", option)
        assert (result.code, result.err.count("expected one of them")) == (2, 1)


def test_standard_input_is_refused(mmulab, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"1000\n")))
    result = mmulab("compare", "-", "--format", "hex", "--intervals", "smarts")
    assert result.code == 2 and "standard input can be read once" in result.err


def test_an_axis_of_a_study(mmulab, tmp_path: Path) -> None:  # type: ignore
    """Rows have the names that whole runs have, with the ends of intervals."""
    result = mmulab(
        "compare", SMALL, "--preset", "skylake-sp", "--techniques", "native,nested", "--sweep",
        "intervals=smarts:unit=500,units=40,warmup=1K,smarts:unit=1K,units=20,warmup=1K",
        "--json", tmp_path / "out.json", "--csv", tmp_path / "out.csv",
    )  # fmt: skip
    assert result.code == 0, result.err
    units = [each["intervals"]["unit"] for each in json.loads((tmp_path / "out.json").read_text())]
    assert units == [500, 1000]
    study = {"traces": [SMALL], "preset": "skylake-sp", "techniques": "native",
             "intervals": "smarts:unit=500,units=40,warmup=1K"}  # fmt: skip
    found = public.sweep(study, tmp_path / "study", jobs=1)
    row = next(each for each in found.rows if each[9] == "total_cycles")
    low, value, high = (float(each) for each in row[10:13])
    assert low < value < high


@pytest.mark.long
@pytest.mark.parametrize(
    ("trace", "how"),
    [
        ("@python", "smarts:unit=2K,units=60,warmup=10K"),
        ("@xz", "smarts:unit=2K,units=80,warmup=10K"),
        ("ycsb:accesses=1M,records=10K", "smarts:unit=1K,units=80,warmup=10K"),
    ],
)
def test_95_of_100_intervals_hold_the_whole(trace: str, how: str) -> None:
    """But for chance: 89 or more, where 95 are true, with a probability of 0.996."""
    whole = public.compare(trace, **MACHINE)  # type: ignore[arg-type]
    held = dict.fromkeys(TECHNIQUES.split(","), 0)
    for draw in range(1, 101):
        found = estimate(trace, f"{how},draw={draw}")
        for one, of_whole in zip(found.results, whole.results, strict=True):
            low, high = one.cycles_per_access[1:3]
            assert low is not None and high is not None
            held[one.technique] += low <= of_whole.cycles_per_access <= high
    assert min(held.values()) >= 89, held
