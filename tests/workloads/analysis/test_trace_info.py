"""`mmulab trace info` and `mmulab mrc` against plain Python."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from mmulab import workloads
from mmulab.commands import main as cli
from mmulab.mmu.trace import EVENT, FORK, MMAP, NO_EVENTS, SWITCH, Chunk
from mmulab.workloads.analysis.summary import summarise


class Listed:
    """A trace of given chunks."""

    name = "listed"
    length = None

    def __init__(self, *chunks: Chunk) -> None:
        self._chunks = chunks

    def chunks(self):  # type: ignore[no-untyped-def]
        yield from self._chunks


def test_the_bundled_trace_equals_plain_sets() -> None:
    info = summarise(workloads.open_trace(workloads.bundled()))
    pages: dict[str, set[int]] = {"4k": set(), "2m": set(), "1g": set()}
    kinds = [0, 0, 0]
    windows: list[set[int]] = []
    done = 0
    for chunk in workloads.open_trace(workloads.bundled()).chunks():
        first, last = chunk.address >> 12, (chunk.address + chunk.size - 1) >> 12
        for kind in range(3):
            kinds[kind] += int((chunk.kind == kind).sum())
        for start in range(0, chunk.accesses):
            number = (done + start) // info.interval
            while len(windows) <= number:
                windows.append(set())
            windows[number] |= {int(first[start]), int(last[start])}
        done += chunk.accesses
    every = set().union(*windows)
    for size, name in enumerate(pages):
        pages[name] = {page >> (9 * size) for page in every}
    assert list(info.kinds.values()) == kinds and info.accesses == done
    assert info.pages == {name: len(found) for name, found in pages.items()}
    assert info.working_set == [len(window) for window in windows]
    assert sum(region.pages for region in info.regions) == len(every)
    assert info.first_touches == len(every)


def test_processes_threads_and_events() -> None:
    events = np.zeros(4, EVENT)
    events["kind"] = [MMAP, FORK, SWITCH, SWITCH]
    events["pid"] = [1, 1, 2, 2]
    events["length"][0] = 8192
    events["value"] = [3, 2, 7, 8]
    events["position"] = [0, 1, 1, 2]
    chunk = Chunk(
        np.array([0x1000, 0x1000, 0x1FFE]), np.array([0, 1, 2], np.uint8),
        np.array([8, 8, 4], np.uint16), events,
    )  # fmt: skip
    info = summarise(Listed(chunk))
    assert info.processes == 2 and info.threads == 2
    assert info.events == {"mmap": 1, "fork": 1, "switch": 2}
    assert info.pages_mapped == 2
    assert [(r.process, r.start, r.pages, r.uses) for r in info.regions] == [
        (1, 0x1000, 1, "r--"), (2, 0x1000, 2, "-wx"),
    ]  # fmt: skip


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr("sys.argv", ["mmulab", *arguments])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)


@pytest.mark.parametrize("cut", [1, 5, 12])
def test_a_window_of_ones_own(cut: int) -> None:
    """Belady's reference string in fours: 1234, 1251, 2345."""
    pages = np.array([1, 2, 3, 4, 1, 2, 5, 1, 2, 3, 4, 5], np.int64) << 12
    chunks = [
        Chunk(part, np.zeros(len(part), np.uint8), np.ones(len(part), np.uint16), NO_EVENTS)
        for part in np.split(pages, [cut])
        if len(part)
    ]
    info = summarise(Listed(*chunks), window=4)
    assert (info.interval, info.working_set) == (4, [4, 3, 4])


def test_trace_info_as_text_json_and_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.json"
    code = run("trace", "info", "zipf:accesses=30K", "--json", str(out), "--plot",
               str(tmp_path / "a.svg"), monkeypatch=monkeypatch)  # fmt: skip
    text = capsys.readouterr().out
    assert code == 0 and "TLB entries for 99 %" in text and "touched regions" in text
    assert max(len(line) for line in text.splitlines()) <= 100
    data = json.loads(out.read_text())
    assert data["schema"] == "mmulab.trace-info" and data["accesses"] == 30_000
    assert (tmp_path / "a.svg").stat().st_size > 1000


def test_mrc_as_text_json_csv_and_figure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run("mrc", "zipf:accesses=30K", "--sizes", "16,64", "--json", str(tmp_path / "a.json"),
               "--csv", str(tmp_path / "a.csv"), "--plot", str(tmp_path / "a.png"),
               monkeypatch=monkeypatch)  # fmt: skip
    assert code == 0 and "for 99 % hits" in capsys.readouterr().out
    (data,) = json.loads((tmp_path / "a.json").read_text())
    assert data["entries"] == [16, 64] and len(data["curves"]) == 3
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + 3 * 2
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("mrc", "--page-sizes", "4k,3m"), "page size"),
        (("mrc", "--sample", "2"), "sampling rate"),
        (("mrc", "--sizes", "0"), "--sizes 0"),
        (("mrc", "nothere.mmt"), "no such file"),
        (("mrc", "--plot", "a.bmp"), "unknown format"),
        (("trace", "info", "nothere.mmt"), "no such file"),
        (("trace", "info", "gups:accesses=10", "--window", "0"), "window 0: expected 1"),
        (("mrc", "gups:accesses=10", "--warmup", "10"), "no accesses after"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1
