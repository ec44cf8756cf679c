"""A Dask cluster makes the runs of a study: `mmulab sweep --scheduler tcp://node1:8786`.

The cluster is the user's: `dask scheduler` and `dask worker` by hand, or what dask-jobqueue starts
under SLURM and its kin. Workers find files by the path that they have here; a trace that one of
them does not find is sent once, and kept there under its digest. Of workers on one machine, the
first compiles the kernels for all, as processes on this one do.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from mmulab import __version__
from mmulab.mmu.errors import InputError, RunError
from mmulab.mmu.report import made
from mmulab.mmu.report.files import replacing
from mmulab.mmu.report.long_rows import Row
from mmulab.mmu.report.study_results import imported
from mmulab.studies import rows
from mmulab.studies.engines import Outcome, outcome_of
from mmulab.studies.points import Point

#: Runs that a worker's thread has waiting, so that it is not idle while the next is sent, and
#: the fewest in all: workers may join.
_AHEAD, _LEAST = 3, 64

#: Seconds that a scheduler, and its first worker, are given to answer.
_PATIENCE = 30


class _Task(NamedTuple):
    """What a worker is told beside the contents of files. directory: from which names count."""

    point: Point
    directory: str


class Cluster:
    """Makes runs on the cluster of a scheduler. Raises InputError where there is no Dask, no
    scheduler, or workers with another version of mmulab."""

    def __init__(self, address: str) -> None:
        self._distributed = imported("distributed", "cluster")
        self._address = address
        self._client: Any = None

    def outcomes(self, points: Sequence[Point]) -> Iterator[Outcome]:
        if not points:
            return
        with self._connected() as client:
            self._client = client
            _check_versions(client)
            contents = self._contents(points)
            yield from self._made(points, contents)

    def _connected(self) -> Any:
        try:
            client = self._distributed.Client(
                self._address, timeout=_PATIENCE, set_as_default=False
            )
            client.wait_for_workers(1, timeout=_PATIENCE)
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(f"scheduler {self._address}: {error or 'no answer'}") from None
        return client

    def _made(self, points: Sequence[Point], contents: Mapping[str, Any]) -> Iterator[Outcome]:
        waiting = iter(points)
        threads = sum(self._client.nthreads().values())
        first = islice(waiting, max(_LEAST, _AHEAD * threads))
        running = {self._begun(point, contents): point for point in first}
        ended = self._distributed.as_completed(list(running), loop=self._client.loop)
        try:
            for future in ended:
                point = running.pop(future)
                yield self._outcome(point, future)
                for following in islice(waiting, 1):
                    begun = self._begun(following, contents)
                    running[begun] = following
                    ended.add(begun)
        finally:
            self._client.cancel(list(running))

    def _begun(self, point: Point, contents: Mapping[str, Any]) -> Any:
        wanted = {name: contents[name] for name in point.files if name in contents}
        task = _Task(point, os.getcwd())
        return self._client.submit(made_there, task, wanted, key=f"mmulab-{point.key}")

    def _outcome(self, point: Point, future: Any) -> Outcome:
        error = future.exception()
        if error is None:
            found, seconds = future.result()
            return Outcome(point, found, seconds)
        if isinstance(error, self._distributed.KilledWorker):
            reason = "its worker was ended, each time that it was begun"
        else:
            reason = f"{type(error).__name__}: {error}"
        return Outcome(point, rows.failure(reason), 0.0)

    def _contents(self, points: Sequence[Point]) -> dict[str, Any]:
        """What is sent: the contents of the traces that a worker does not find, by name."""
        traces = {point.settings["trace"] for point in points if "trace" in point.settings}
        files = {name: of for point in points for name, of in point.files.items() if name in traces}
        named = {name: of for name, of in files.items() if of and not name.startswith("@")}
        told = self._client.run(lacking, named, os.getcwd())
        missing = sorted({name for names in told.values() for name in names})
        if not missing:
            return {}
        sent = self._client.scatter([Path(name).read_bytes() for name in missing], hash=False)
        return dict(zip(missing, sent, strict=True))


def _check_versions(client: Any) -> None:
    for worker, version in client.run(version_there).items():
        if version != __version__:
            raise InputError(
                f"worker {worker}: mmulab {version}; expected {__version__}, as it is here"
            )


def version_there() -> str:
    """Of mmulab, where this is called."""
    return __version__


def lacking(files: Mapping[str, str], directory: str) -> list[str]:
    """Of files by name with their digests, those that this machine does not have."""
    return [name for name, digest in files.items() if not _found(name, digest, directory)]


def made_there(task: _Task, contents: Mapping[str, bytes]) -> tuple[list[Row], float]:
    """Makes a run on a worker: its rows, and the seconds that it took."""
    point, directory = task
    if os.path.isdir(directory):
        os.chdir(directory)
    try:
        point = _with_files(point, directory, contents)
    except RunError as error:
        return rows.failure(str(error)), 0.0
    outcome = outcome_of(point)
    return outcome.rows, outcome.seconds


def _with_files(point: Point, directory: str, contents: Mapping[str, bytes]) -> Point:
    """A run with the paths that its files have here. Raises RunError where one is missing."""
    settings = dict(point.settings)
    for name, digest in point.files.items():
        if digest is None or name.startswith("@"):
            continue
        path = _found(name, digest, directory)
        if not path and name in contents:
            path = _kept(name, digest, contents[name])
        if not path:
            raise RunError(f"{name}: not on the worker's machine, or another file there")
        if settings.get("trace") == name:
            settings["trace"] = path
        elif path != name:
            raise RunError(f"{name}: is {path} on the worker's machine; expected the same path")
    return replace(point, settings=settings)


def _found(name: str, digest: str, directory: str) -> str:
    """Where a file of this digest is, by its name from here or from a directory; else ""."""
    for path in (name, os.path.join(directory, name), _place(name, digest)):
        if os.path.isfile(path) and _digest(path, os.stat(path).st_mtime_ns) == digest:
            return path
    return ""


def _kept(name: str, digest: str, content: bytes) -> str:
    path = _place(name, digest)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def _place(name: str, digest: str) -> str:
    """Of a file that was sent: its own name, by which results call it, in a folder of its
    digest."""
    return os.path.join(
        tempfile.gettempdir(), f"mmulab-traces-{os.getuid()}", digest[:32], os.path.basename(name)
    )


@lru_cache(maxsize=256)
def _digest(path: str, _changed: int) -> str | None:
    return made.digest(path)
