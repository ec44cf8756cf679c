"""A Dask cluster makes the same rows, though its workers die, and is sent what it lacks."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from drivers.command_line import check_error
from drivers.small_studies import load

from mmulab.mmu.errors import InputError
from mmulab.mmu.report.study_results import load as load_results
from mmulab.studies import cluster
from mmulab.studies.cluster import Cluster
from mmulab.studies.engines import Inline
from mmulab.studies.sweep import State, sweep

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def local() -> Iterator[Any]:
    """Two workers of one thread each, on this machine."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
    ) as found:
        yield found


def test_rows_are_those_of_one_process_though_workers_are_killed(
    tmp_path: Path, local: Any
) -> None:
    study = load(tmp_path)
    sweep(study, tmp_path / "one", Inline())
    killed = []

    def kill(state: State) -> None:
        if state.done in (2, 5):
            worker = next(iter(local.workers.values()))
            killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)

    engine = Cluster(local.scheduler_address)
    state = sweep(study, tmp_path / "out", engine, progress=kill)
    assert state.failed == 0 and len(killed) == 2
    rows = [(tmp_path / name / "rows.csv").read_bytes() for name in ("one", "out")]
    assert rows[0] == rows[1]


def test_a_trace_that_workers_lack_is_sent(
    tmp_path: Path, local: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = tmp_path / "here" / "some.din"
    trace.parent.mkdir()
    anew = int.from_bytes(os.urandom(4), "big")  # no worker has it from before
    trace.write_text(f"0 1000\n1 2000\n0 {anew:x}\n" * 100)
    monkeypatch.chdir(trace.parent)
    study = load(tmp_path, 'traces = ["some.din"]\npreset = "skylake-sp"\ntechniques = "native"\n')
    sweep(study, tmp_path / "one", Inline())
    real = cluster.os.getcwd()
    monkeypatch.setattr(cluster.os, "getcwd", lambda: "/nowhere")  # as on another machine
    with local.get_client() as client:
        told = client.run(cluster.lacking, {"some.din": "0" * 64}, real)
    assert list(told.values()) == [["some.din"]] * len(told)
    state = sweep(study, tmp_path / "out", Cluster(local.scheduler_address))
    assert state.failed == 0
    rows = [(tmp_path / name / "rows.csv").read_bytes() for name in ("one", "out")]
    assert rows[0] == rows[1]


def test_a_worker_without_a_file_fails_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    trace = tmp_path / "some.din"
    trace.write_text("0 1000\n")
    study = load(tmp_path, f'traces = ["{trace}"]\npreset = "skylake-sp"\n')
    from mmulab.studies.points import expand

    (point,) = expand(study)
    trace.write_text("0 2000\n")
    found, _ = cluster.made_there(cluster._Task(point, str(tmp_path)), {})
    assert "not on the worker's machine" in found[0][-1]
    found, _ = cluster.made_there(cluster._Task(point, str(tmp_path)), {str(trace): b"0 1000\n"})
    assert {row[0] for row in found} == {"some.din"} and found[0][-1] == ""


def test_no_scheduler(mmulab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore
    monkeypatch.setattr(cluster, "_PATIENCE", 0.5)
    load(tmp_path)
    command = ["sweep", tmp_path / "small.toml", "-o", tmp_path / "out", "--scheduler"]
    check_error(mmulab(*command, "tcp://127.0.0.1:9"), 2, "scheduler tcp://127.0.0.1:9: ")
    assert load_results(tmp_path / "out").missing == 12


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch, local: Any) -> None:
    monkeypatch.setattr(cluster, "__version__", "9")
    with local.get_client() as client, pytest.raises(InputError, match="expected 9, as it is here"):
        cluster._check_versions(client)
