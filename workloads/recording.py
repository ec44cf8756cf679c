"""Recording: a real program under Valgrind's lackey, straight into a columnar file.

Each process that the program becomes or starts sends its log through a connection of its
own (--log-socket), where a thread parses it; no text is ever written. Chunks of several
processes follow each other in the order in which they arrive, so that processes are told
apart exactly and interleaved as nearly as pipes and sockets allow: on a busy machine a
program may come before its parent's note that it was forked, which then changes nothing.
A child that has not yet called exec shares its parent's connection; see
`workloads.formats.lackey`.
"""

from __future__ import annotations

import datetime
import queue
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmulab import __version__
from mmulab.mmu.errors import InputError, MMULabError, RunError
from mmulab.mmu.report.files import check_writable
from mmulab.mmu.trace import COLUMNS, EVENT, EXEC, SWITCH, Chunk
from mmulab.workloads import processes
from mmulab.workloads.cut import Selection
from mmulab.workloads.formats import Options, lackey
from mmulab.workloads.streams import ByteStream

_TOOL = (
    "--tool=lackey",
    "--vgdb=no",
    "--trace-mem=yes",
    "--trace-syscalls=yes",
    "--basic-counts=no",
)

#: Accesses that one process runs ahead of another in the trace, at least.
CHUNK = 1 << 17

#: Valgrind sends line by line. Waking up for each would take more time than all the rest:
#: bytes that a connection holds, and that it waits for before it is read.
_ROOM, _AT_ONCE = 8 << 20, 256 << 10

_PATIENCE = 0.1  # seconds between two looks at whether the program has ended

_QUEUED = 16  # chunks that may wait to be written; then the program waits

Item = tuple["_Log", Chunk | None]  # None: the connection has ended


@dataclass(frozen=True)
class Recording:
    """What was recorded.

    torn: lines of the log that were left out; see `workloads.formats.lackey.Syscalls`.
    status: the program's exit code, None where it was stopped.
    """

    path: Path
    accesses: int
    processes: int
    torn: int
    status: int | None

    def __str__(self) -> str:
        if self.status is None:
            end = "stopped at the limit"
        elif self.status < 0:
            end = f"ended by signal {-self.status}"
        else:
            end = f"exit code {self.status}"
        several = f" of {self.processes:,} processes" if self.processes > 1 else ""
        torn = f", {self.torn:,} torn lines left out" if self.torn else ""
        return f"{self.path}: {self.accesses:,} accesses{several}{torn} ({end})"


class _Log:
    """The log of one process from one exec to the next, parsed in a thread of its own."""

    def __init__(
        self,
        connection: socket.socket,
        first_pid: int,
        queue_: queue.Queue[Item],
        is_first: bool,
    ) -> None:
        """is_first: of the program itself; all others begin with an exec."""
        self.is_first = is_first
        self.error: MMULabError | None = None
        self.pid = 0  # of the trace; known once the log's banner has been read
        self.current = 0
        self.torn = 0
        self.begun = False  # a chunk of it has been handed out
        self._first_pid = first_pid
        self._connection = connection
        self._queue = queue_
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            stream = ByteStream(self._connection.makefile("rb", 1 << 20), "valgrind's log", None)  # type: ignore[arg-type]
            banner = stream.head.split(b"==", 2)
            os_pid = int(banner[1]) if len(banner) > 2 and banner[1].isdigit() else self._first_pid
            self.pid = self.current = 1 if os_pid == self._first_pid else os_pid
            options = Options(57, CHUNK, frozenset(COLUMNS))
            syscalls = lackey.Syscalls(self._first_pid, self.pid)
            for chunk in lackey.read_process(stream, options, syscalls):
                self._queue.put((self, chunk))
            self.torn = syscalls.torn
        except MMULabError as error:
            self.error = error
        except OSError:
            pass  # the program was stopped
        self._queue.put((self, None))


class _Recorder:
    """Runs the program and hands out its chunks."""

    def __init__(self, command: list[str], children: bool) -> None:
        self._server = socket.socket()
        self._server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _ROOM)
        self._server.bind(("127.0.0.1", 0))
        self._server.listen(64)
        self._server.settimeout(_PATIENCE)
        self._queue: queue.Queue[Item] = queue.Queue(_QUEUED)
        self._open = 0
        self._lock = threading.Lock()
        port = self._server.getsockname()[1]
        flags = [
            f"--log-socket=127.0.0.1:{port}",
            f"--trace-children={'yes' if children else 'no'}",
        ]
        self.processes: set[int] = set()
        self.torn = 0
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self.process = subprocess.Popen(["valgrind", *_TOOL, *flags, "--", *command])
        try:
            self._acceptor.start()
        except BaseException:  # interrupted: nobody else knows of the program yet
            self._end()
            raise

    def _accept(self) -> None:
        """Until the program has ended and no connection waits."""
        is_first = True
        with self._server:
            while True:
                try:
                    connection, _ = self._server.accept()
                except TimeoutError:
                    if self.process.poll() is not None:
                        return
                    continue
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, _AT_ONCE)
                with self._lock:
                    self._open += 1
                _Log(connection, self.process.pid, self._queue, is_first)
                is_first = False

    def _next(self) -> Item | None:
        """The next chunk of any process; None when all have ended."""
        while True:
            try:
                return self._queue.get(timeout=_PATIENCE)
            except queue.Empty:
                if not self._acceptor.is_alive() and not self._open:
                    return None

    def chunks(self) -> Iterator[tuple[Chunk, _Log]]:
        """Chunks in the order of arrival, each beginning in the right process."""
        current = 1
        while item := self._next():
            log, chunk = item
            if chunk is None:
                with self._lock:
                    self._open -= 1
                self.torn += log.torn
                if log.error and "no memory accesses" not in str(log.error):
                    raise log.error
                continue
            begin = []
            self.processes.add(log.pid)
            if log.current != current:
                begin.append((0, SWITCH, log.current, 0, 0, 0))
            if not log.begun and not log.is_first:
                begin.append((0, EXEC, log.pid, 0, 0, 0))
            log.begun = True
            if begin:
                events = np.concatenate([np.array(begin, EVENT), chunk.events])
                chunk = chunk._replace(events=events)
            switches = chunk.events[chunk.events["kind"] == SWITCH]
            current = log.current = int(switches[-1]["pid"]) if len(switches) else log.current
            self.processes.update(int(pid) for pid in switches["pid"])
            yield chunk, log

    def _end(self) -> None:
        for pid in processes.end(self.process):
            # Copies of /proc files, which Valgrind unlinks at once, unless it is killed just then.
            for path in Path(tempfile.gettempdir()).glob(f"valgrind_proc_{pid}_*"):
                path.unlink(missing_ok=True)

    def stop(self) -> None:
        self._end()
        self._acceptor.join()


def record(
    command: list[str],
    output: str | Path,
    selection: Selection | None = None,
    children: bool = True,
    contents: bool = False,
) -> Recording:
    """Runs a program under Valgrind and writes its trace.

    selection: what to keep; where it has a limit, the program is stopped there. children:
    follow the programs that it starts. contents: note what pages hold. The program
    keeps its own input and output. Interrupted, it leaves no file.

    Raises InputError where Valgrind, the program or the output's directory is missing,
    RunError where the program made no memory accesses that Valgrind could trace.
    """
    target = check_writable(output, "output")
    if shutil.which("valgrind") is None:
        raise InputError("trace record: valgrind is not installed; it does the tracing")
    if shutil.which(command[0]) is None:
        raise InputError(f"trace record: {command[0]}: no such program")
    from mmulab.workloads.formats.columnar import ColumnarWriter
    from mmulab.workloads.recording_contents import PageContents

    selection = selection or Selection()
    recorder = _Recorder(command, children)

    def chunks() -> Iterator[Chunk]:
        reader = PageContents(recorder.process.pid) if contents else None
        for chunk, log in recorder.chunks():
            yield reader.annotate(chunk, log.current) if reader else chunk

    try:
        with ColumnarWriter(target, metadata(command, selection)) as writer:
            for chunk in selection.of(chunks()):
                writer.write(chunk)
            accesses = writer.accesses
            if not accesses:
                raise RunError(f"trace record: {command[0]}: no memory accesses were recorded")
            limited = selection.most is not None and accesses >= selection.most
            if limited:
                recorder.stop()
            status = recorder.process.wait()
    except BaseException:
        recorder.stop()
        raise
    return Recording(
        target, accesses, len(recorder.processes), recorder.torn, None if limited else status
    )


def metadata(command: list[str], selection: Selection) -> dict[str, Any]:
    """What a recording says of its making."""
    sample = selection.sample
    return {
        "program": command[0],
        "arguments": command[1:],
        "tool": _version(),
        "mmulab": __version__,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "skip": selection.skip,
        "max": selection.most,
        "sample": f"{sample.period}:{sample.length}" if sample else None,
    }


def _version() -> str:
    done = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip()
