"""What the fuzz mutates, and what reads it: every reader of files and messages that mmulab has."""

from __future__ import annotations

import gzip
import json
import os
import struct
import threading
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np

from drivers import binary_files, text_files
from drivers.image_files import MEMORY, core, elf_core, windows, xen_core
from mmulab import workloads
from mmulab.commands import options
from mmulab.commands.compare import compare
from mmulab.coursework import assignments, identity, intake, sandbox
from mmulab.coursework.assignment import Submission
from mmulab.coursework.draws import Draws
from mmulab.coursework.sandbox.inside import wire
from mmulab.coursework.sandbox.process import Child, Ended
from mmulab.mmu.errors import MMULabError
from mmulab.mmu.scenario import parsing
from mmulab.workloads import formats, generators
from mmulab.workloads.analysis.page_sharing import measure
from mmulab.workloads.convert import convert

#: How a reader says no.
REFUSALS = (MMULabError, click.ClickException)

_SEED = "a seed of thirty-two letters or so"
_DATA = Path(__file__).parents[1] / "data"
_SCENARIOS = Path(parsing.__file__).parent / "bundled"


class Reader(NamedTuple):
    """seeds: good inputs. read: takes a path to an input, and raises one of REFUSALS."""

    name: str
    seeds: list[bytes]
    read: Callable[[Path], object]


def readers(place: Path) -> Iterator[Reader]:
    """All of them. place: an empty folder to make seeds in."""
    for name, seeds in _traces(place).items():
        yield Reader(f"trace {name}", seeds, lambda path, name=name: _read_trace(path, name))
        yield Reader(f"trace, told {name}", seeds, lambda path: _read_trace(path, None))
    yield Reader("image", _images(), lambda path: measure([str(path)]))
    yield Reader("scenario", [each.read_bytes() for each in _SCENARIOS.iterdir()], parsing.load)
    yield Reader("config", [_CONFIG], _read_config)
    yield Reader("message", _MESSAGES, _read_message)
    yield Reader("assignment.toml", [identity.write("page-walk", "ann", _SEED).encode()],
                 lambda path: identity.read(_text(path), _SEED))  # fmt: skip
    yield Reader("roster", [b"# ids\nann@example.org\nb\xc3\xa9\n"], intake.read_roster)
    for name in ("page-walk", "effective-access", "two-d-walk", "double-paging"):
        _, solution = _problem(name)
        yield Reader(f"answers to {name}", [solution.encode()],
                     lambda path, name=name: _read_answers(path, name))  # fmt: skip


def _read_trace(path: Path, name: str | None) -> None:
    for chunk in workloads.open_trace(path, name, 48, 4096).chunks():
        assert len(chunk.address) == len(chunk.kind) == len(chunk.size)
        assert (chunk.address >> 47 == chunk.address >> 63).all()


def _traces(place: Path) -> dict[str, list[bytes]]:
    samples: dict[str, list[bytes]] = {name: [data] for name, data in binary_files.FIXTURES.items()}
    text = text_files
    samples |= {
        "lackey": [text.LACKEY], "drview": [text.DRVIEW], "qemu": [text.QEMU],
        "execlog": [text.EXECLOG], "pinatrace": [text.PIN], "plain": [text.COURSE],
        "din": [text.DIN], "xdin": [text.XDIN], "opfirst": [text.OPFIRST],
        "perfmem": [text.PERFMEM], "table": [text.TABLE, text.VPN], "pages": [text.OSTEP],
        "decimal": [text.DECIMAL], "hex": [text.HEX], "silberschatz": [text.SILBERSCHATZ],
        "perf": [text.PERF, (_DATA / "perf-chains.txt").read_bytes()[:4000]],
    }  # fmt: skip
    whole = place / "whole.mmt"
    convert(generators.create("churn:accesses=2000", 1).chunks(), whole, "columnar")
    samples["columnar"] = [whole.read_bytes()]
    np.savez_compressed(place / "a.npz", address=binary_files.ADDRESSES)
    samples["npy"].append((place / "a.npz").read_bytes())
    samples["drmemtrace"].append(binary_files.zipped(binary_files.DRMEMTRACE, binary_files.FOOTER))
    assert set(samples) == set(formats.names())
    return samples


def _images() -> list[bytes]:
    lime = struct.pack("<IIQQQ", 0x4C694D45, 1, 0x1000, 0x4FFF, 0) + MEMORY[: 4 * 4096]
    return [
        core([(4096, 1 << 40, 0, 4 * 4096), (4096, 0, 4096, 4096)], MEMORY[: 4 * 4096]),
        elf_core([(0x10000, MEMORY[:8192]), (0x40000, MEMORY[:4096])], wide=False),
        elf_core([(0x10000, MEMORY[:8192])], order=">"),
        xen_core("<", 1, [0, 1, 2, 256, 257, 258, 259, 5]),
        xen_core(">", 2, [0, 1, 2, 256, 257, 258, 259, 5]),
        windows(1, [(1, 3), (256, 5)], MEMORY),
        lime,
        gzip.compress(lime, 1),
        MEMORY[: 2 * 4096],
    ]


_CONFIG = b"""traces = ["gups:size=1M,accesses=1000"]
techniques = ["shadow:policy=trap", "nested"]
preset = "skylake-sp"
page_size = "thp"
host-page-size = "2m"
levels = 5
warmup = 1000
memory = "1G"
check = false

[set.cost]
vm_exit = 2000
[set.tlb.stlb]
sets = 64
"""


def _read_config(path: Path) -> None:
    """All that `compare --config` checks before it runs anything."""
    with compare.make_context("compare", ["--config", str(path), "-"]) as context:
        given = dict(context.params)
        machine = {
            key: given[key]
            for key in given
            if key
            not in ("traces", "techniques", "warmup", "format_", "check", "json_path",
                    "csv_path", "plot_path")
        }  # fmt: skip
        options.machine(machine, True, given["techniques"])


def _packed(values: dict[str, Any], **arrays: np.ndarray) -> bytes:
    return wire.pack(values, arrays)


_MESSAGES = [
    _packed({"ok": {}}, y=np.arange(12), z=np.ones((3, 2))),
    _packed({"ok": {"answer": [1, 2.5, "text", None, True, {"a": [3]}]}}),
    _packed({"error": {"kind": "error", "text": "went wrong", "lines": ["line 3"]}}),
    _packed({"ready": {"landlock": "", "seccomp": "not here"}}),
]
_LIMITS = sandbox.Limits(output=1 << 20)


class _Gone:
    """The process of a child that has ended."""

    pid = 0
    stdout = None

    def wait(self, seconds: float | None = None) -> int:
        return 0


def _read_message(path: Path) -> None:
    """What a child sends, through the pipe, and what is asked of it."""
    child: Any = object.__new__(Child)
    child._limits, child._process = _LIMITS, _Gone()
    child._printed, child._incoming = bytearray(), bytearray()
    child._outgoing, child.layers, child.missing = memoryview(b""), (), {}
    (child._hear, sent), (child._text, silent), (unread, child._ask) = (
        os.pipe(), os.pipe(), os.pipe()
    )  # fmt: skip
    os.set_blocking(child._hear, False)
    os.set_blocking(child._text, False)
    sender = threading.Thread(target=_send, args=(sent, path.read_bytes()))
    sender.start()
    try:
        try:
            values, arrays = child.receive(1.0)
        except Ended as ended:
            values, arrays = {"told": ended.message, "lines": list(ended.lines)}, {}
        verdict = sandbox.Verdict(True, outputs={**values, **arrays})
        for name in ("y", "z", "ok"):
            verdict.array(name, (None,), 12)
            verdict.array(name, (3, 2), 12)
            verdict.value(name, "answer", kind=int)
        json.dumps(values)
    finally:
        for handle in (child._hear, child._text, child._ask, silent, unread):
            os.close(handle)
        sender.join()


def _send(handle: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(handle, data) :]
    except OSError:
        pass  # nobody listens any more
    os.close(handle)


@cache
def _problem(name: str) -> tuple[Any, str]:
    assignment = assignments.get(name)
    problem = assignment.problem(Draws(_SEED, "ann", name))
    return problem, assignment.solution(problem)["answers.toml"]


def _text(path: Path) -> str:
    return intake.read_file(path) or ""


def _read_answers(path: Path, name: str) -> None:
    assignment = assignments.get(name)
    submission = Submission(path, {"answers.toml": _text(path)})
    for result in assignment.grade(_problem(name)[0], submission):
        assert 0 <= result.earned <= result.part.points
