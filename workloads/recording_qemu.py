"""Recording under QEMU's user-mode emulation, with one of its own TCG plugins.

QEMU's source has two plugins that print memory accesses: `mem` (tests/tcg/plugins/mem.c)
and `execlog` (contrib/plugins/execlog.c). Distributions install neither; --plugin names one
that was built. Their text goes through a pipe to its reader; it has no system calls, so
that the trace has no events.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from mmulab.mmu.errors import InputError, RunError
from mmulab.mmu.report.files import check_writable
from mmulab.mmu.trace import COLUMNS, Chunk
from mmulab.workloads import formats, processes
from mmulab.workloads.cut import Selection
from mmulab.workloads.formats.columnar import ColumnarWriter
from mmulab.workloads.recording import Recording, metadata
from mmulab.workloads.streams import ByteStream

EMULATOR = "qemu-x86_64"

#: Where plugins are put by those who install them, as `make install` of QEMU does.
_PLACES = ("/usr/lib/qemu/plugins", "/usr/local/lib/qemu/plugins", "/usr/lib/x86_64-linux-gnu/qemu")
_PLUGINS = {"libmem.so": ",print-accesses=true", "libexeclog.so": ""}  # with their options


def _plugin(given: str | None) -> str:
    """The plugin and its options, as QEMU takes them. Raises InputError."""
    candidates = [Path(given)] if given else [
        Path(place) / name for place in _PLACES for name in _PLUGINS
    ]  # fmt: skip
    for path in candidates:
        if path.is_file():
            return f"{path.resolve()}{_PLUGINS.get(path.name, '')}"
    if given:
        raise InputError(f"trace record: --plugin {given}: no such file")
    raise InputError(
        "trace record: no QEMU plugin that prints accesses is installed; build mem or execlog of "
        "QEMU's source and give --plugin libmem.so"
    )


def record_qemu(
    command: list[str], output: str | Path, selection: Selection, plugin: str | None = None
) -> Recording:
    """Runs an x86-64 program under QEMU and writes its data accesses (execlog: fetches too).

    plugin: path of libmem.so or libexeclog.so; looked for where QEMU installs them unless
    given. Raises InputError where something is missing, RunError where nothing was traced.
    """
    target = check_writable(output, "output")
    if shutil.which(EMULATOR) is None:
        raise InputError(f"trace record: {EMULATOR} is not installed (Debian: qemu-user)")
    program = shutil.which(command[0])
    if program is None:
        raise InputError(f"trace record: {command[0]}: no such program")
    loaded = _plugin(plugin)
    reading, writing = os.pipe()
    emulator = [EMULATOR, "-plugin", loaded, "-d", "plugin", "-D", f"/proc/self/fd/{writing}"]
    tool = subprocess.run([EMULATOR, "--version"], capture_output=True, text=True, check=False)
    described = {**metadata(command, selection), "tool": tool.stdout.split("\n")[0]}
    with os.fdopen(reading, "rb") as log:
        process = subprocess.Popen([*emulator, program, *command[1:]], pass_fds=(writing,))
        os.close(writing)
        try:
            with ColumnarWriter(target, described) as writer:
                for chunk in selection.of(_chunks(log)):
                    writer.write(chunk)
                accesses = writer.accesses
                if not accesses:
                    raise RunError(f"trace record: {command[0]}: no memory accesses were recorded")
                limited = selection.most is not None and accesses >= selection.most
                if limited:
                    processes.end(process)
                process.wait()
        except InputError as error:
            processes.end(process)
            raise RunError(f"trace record: {EMULATOR}: {error}") from None
        except BaseException:
            processes.end(process)
            raise
    return Recording(target, accesses, 1, 0, None if limited else process.returncode)


def _chunks(log: object) -> Iterator[Chunk]:
    stream = ByteStream(log, "the plugin's output", None)  # type: ignore[arg-type]
    yield from formats.detect(stream).read(stream, formats.Options(57, columns=frozenset(COLUMNS)))
