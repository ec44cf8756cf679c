"""`mmulab calibrate` and `mmulab validate`, with as little time as they take."""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path

import pytest
from drivers.command_line import check_error
from drivers.processes import of_session, said, start

import mmulab as package
from mmulab.workloads.probes import memory, validation

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the probes need Linux")

DATA = Path(__file__).parents[1] / "data"
FEW = ("chase:size=32K", "gups:size=1M,init=0")


def test_a_calibration_is_written_and_loads_again(mmulab, tmp_path: Path) -> None:  # type: ignore
    preset, curves, figure = (tmp_path / name for name in ("my.toml", "my.json", "my.svg"))
    done = mmulab("calibrate", "--seconds", 1, "--base", "haswell", "-o", preset,
                  "--json", curves, "--plot", figure)  # fmt: skip
    assert done.code == 0, done.err
    assert "clock_ghz" in done.out and "as haswell" in done.out
    loaded = package.preset(preset)
    assert (loaded.name, loaded.base) == ("my", "haswell")
    assert 0.5 < loaded.clock_ghz.value < 8 and loaded.clock_ghz.source.startswith("measured")
    assert loaded.costs["vm_exit"].source.startswith("not measured, as haswell: ")
    result = json.loads(curves.read_text())
    assert set(result["curves"]) == {"lines", "pages_4k", "same_lines", "pages_in_2m", "pages_2m"}
    assert set(result["events"]) == {"first_touch", "copy_on_write", "mprotect", "munmap",
                                     "page_zero", "page_copy"}  # fmt: skip
    assert figure.stat().st_size > 10_000
    ran = mmulab("compare", "gups:size=1M,accesses=1K", "--preset", preset)
    assert ran.code == 0 and " 1,000 accesses; my, " in ran.out


def test_a_preset_can_go_to_standard_output_alone(mmulab, tmp_path: Path) -> None:  # type: ignore
    done = mmulab("calibrate", "--seconds", 1, "-o", "-")
    assert done.code == 0
    path = tmp_path / "piped.toml"
    path.write_text(done.out)
    assert package.preset(path).title.endswith(", measured")


def test_a_validation_has_a_point_for_each_workload(mmulab, monkeypatch, tmp_path: Path) -> None:  # type: ignore
    monkeypatch.setattr(validation, "WORKLOADS", FEW)
    out, figure = tmp_path / "v.json", tmp_path / "v.png"
    done = mmulab("validate", "--seconds", 1, "--preset", "zen-5", "--json", out, "--plot", figure)
    assert done.code == 0, done.err
    assert "rank correlation" in done.out and done.out.count("gups:size=1M") == 2
    result = json.loads(out.read_text())
    points = [(point["workload"], point["page_size"]) for point in result["points"]]
    assert points == [(spec, size) for spec in FEW for size in ("4k", "2m")]
    for point in result["points"]:
        likely = point["predicted"][result["technique"]]["likely"]
        assert point["error"] == pytest.approx(likely / point["measured"]["value"] - 1)
    assert bool(result["kernel"]) != bool(result["machine"]["virtual"])
    assert figure.stat().st_size > 1000


def test_what_takes_too_much_memory_is_left_out_and_said(mmulab, monkeypatch) -> None:  # type: ignore
    monkeypatch.setattr(validation, "WORKLOADS", (FEW[0], "gups:size=64M,init=0"))
    monkeypatch.setattr(memory, "budget", lambda: 64 << 20)
    done = mmulab("validate", "--seconds", 1)
    assert done.code == 0
    assert "Not run: gups:size=64M,init=0: takes 64 MiB, of which there are 32." in done.out


def test_perfs_counts_stand_beside_a_trace(mmulab, tmp_path: Path) -> None:  # type: ignore
    out = tmp_path / "rows.json"
    done = mmulab("validate", "gups:size=4M,accesses=20K", "--perf", DATA / "perf-stat-amd.csv",
                  "--preset", "zen-5", "--json", out)  # fmt: skip
    assert done.code == 0, done.err
    assert "page walks" in done.out and "302,000" in done.out
    rows = {row["quantity"]: row for row in json.loads(out.read_text())}
    assert rows["walks"]["hardware"] == 302_000
    assert {"native", "shadow", "nested"} <= set(rows["walks"]["simulated"])


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (("calibrate", "--seconds", "0.5"), "seconds: 0.5; expected 1 to 150"),
        (("calibrate", "--base", "zen-6"), "unknown preset 'zen-6'; did you mean"),
        (("calibrate", "--plot", "a.jpg"), "unknown format '.jpg'"),
        (("calibrate", "-o", "/no/such/a.toml"), "output /no/such/a.toml: the directory"),
        (("validate", "--seconds", "1000"), "seconds: 1000; expected 1 to 600"),
        (("validate", "--preset", "zen-6"), "unknown preset 'zen-6'"),
        (("validate", "@python"), "--perf and TRACE: expected both, or neither"),
        (("validate", "--perf", "a.csv"), "--perf and TRACE: expected both, or neither"),
        (("validate", "@python", "--perf", "no.csv"), "perf no.csv: No such file or directory"),
        (("validate", "@xz", "--perf", "a", "--plot", "a.svg"), "there is no figure of --perf"),
    ],
)
def test_what_is_wrong_is_one_sentence(mmulab, command: tuple[str, ...], sentence: str) -> None:  # type: ignore
    check_error(mmulab(*command), 2, sentence)


def test_too_little_memory_is_one_sentence(mmulab, monkeypatch) -> None:  # type: ignore
    monkeypatch.setattr(memory, "available", lambda: 100 << 20)
    check_error(mmulab("calibrate", "--seconds", "1"), 1, "100 MiB of memory free")


@pytest.mark.parametrize("after", [3, 8])
def test_a_signal_ends_it_and_leaves_nothing(tmp_path: Path, after: float) -> None:
    process = start("calibrate", "-o", tmp_path / "my.toml", "--plot", tmp_path / "my.svg")
    time.sleep(after)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said(err) == ["mmulab: ended by SIGTERM; nothing was written"]
    assert list(tmp_path.iterdir()) == [] and of_session(process.pid) == []
