"""The child as the grader sees it: a process at the other end of three pipes."""

from __future__ import annotations

import importlib.util
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmulab.coursework.sandbox.inside import wire
from mmulab.coursework.sandbox.terms import TimeUp, current
from mmulab.coursework.sandbox.verdict import KINDS, Limits, Verdict
from mmulab.mmu.errors import RunError

_HERE = Path(__file__).resolve().parent
_START = (
    "import sys; sys.path.append(sys.argv[1]); from inside import main; sys.path.pop(); "
    "main.main(int(sys.argv[2]), int(sys.argv[3]))"
)

#: Seconds in which Python, NumPy and numba must have been imported: an assumption, generous.
_STARTING = 120.0
_PIECE = 1 << 16
_MOST_MESSAGE = 2000

#: Packages that a package to be loaded needs beside itself.
_NEEDS = {"numba": ("numba", "llvmlite", "numpy"), "numpy": ("numpy",)}

#: Beside a package, the libraries that its wheel brings: numpy.libs, for one.
_BESIDE = ("", ".libs", ".dylibs")


class Ended(Exception):
    """The child came to an end, or was brought to one: kind and sentence of the verdict."""

    def __init__(self, kind: str, message: str, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.kind, self.message, self.lines = kind, message, lines


def clean(text: object, most: int = _MOST_MESSAGE) -> str:
    """Text of the student's, without what would steer a terminal, and not without end."""
    kept = (
        letter if letter in "\n\t" or unicodedata.category(letter)[0] != "C" else "?"
        for letter in str(text)[:most]
    )
    return "".join(kept)


class Child:
    """A child that has locked itself up. Close it, whatever happens.

    told: what `inside.main` is to do. preload: packages that are imported before. The thread
    that makes a child must outlive it: on Linux the child is killed when that thread ends.
    Raises RunError where there is no sandbox on this system, or it does not start, or lacks a
    layer of protection and `terms` do not say unsafe; TimeUp where their time is over.
    """

    def __init__(self, told: dict[str, Any], limits: Limits, preload: Sequence[str]) -> None:
        if os.name != "posix":
            raise RunError("student code needs a POSIX system (Linux, macOS) to be limited on")
        self._limits = limits
        self._place = tempfile.TemporaryDirectory(prefix="mmulab-")
        self._printed = bytearray()
        self._incoming = bytearray()
        self._outgoing = memoryview(b"")
        self._opened: list[int] = []
        self._process: subprocess.Popen[bytes] | None = None
        self.layers: tuple[str, ...] = ()
        self.missing: dict[str, str] = {}
        try:
            self._start()
            places, readable = _packages(preload)
            self.send({
                **told, "limits": vars(limits), "preload": [*preload], "packages": places,
                "readable": readable, "closed": _closed(),
            })  # fmt: skip
            self._wait_until_ready()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        asked, self._ask = os.pipe()
        self._opened += [asked, self._ask]
        self._hear, told = os.pipe()
        self._opened += [self._hear, told]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-B", "-c", _START, str(_HERE), str(asked), str(told)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self._place.name,
            env=_environment(self._place.name),
            pass_fds=(asked, told),
            start_new_session=True,
        )
        for handle in (asked, told):
            os.close(handle)
            self._opened.remove(handle)
        assert self._process.stdout is not None
        self._text = self._process.stdout.fileno()
        for handle in (self._ask, self._hear, self._text):
            os.set_blocking(handle, False)

    def _wait_until_ready(self) -> None:
        try:
            ready, _ = self.receive(_STARTING)
            layers = ready["ready"]
        except (Ended, KeyError) as error:
            said = " ".join(self.printed().split())[-300:]
            raise RunError(f"the sandbox did not start: {said or error}") from None
        self.layers = tuple(name for name, why in layers.items() if not why)
        self.missing = {name: why for name, why in layers.items() if why}
        terms = current()
        terms.layers = self.layers
        terms.missing |= self.missing
        if self.missing and not terms.unsafe:
            lacking = "; ".join(f"{name}: {why}" for name, why in self.missing.items())
            raise RunError(
                f"students' programs are not run here: the sandbox lacks {lacking} "
                "(--unsafe runs them all the same)"
            )

    def send(self, values: dict[str, Any], arrays: dict[str, Any] | None = None) -> None:
        """Puts a message on its way; it goes out while `receive` waits. Raises BadMessage."""
        self._outgoing = memoryview(bytes(self._outgoing) + wire.pack(values, arrays))

    def receive(self, seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """The child's next message: (values, arrays). Raises Ended where none comes, and TimeUp
        where the terms end before."""
        deadline = time.monotonic() + seconds
        try:
            length = wire.header_bytes(self._take(wire.PREFIX, deadline, seconds))
            header = self._take(length, deadline, seconds)
            values, described, following = wire.open_header(header)
            if following > self._limits.output:
                raise wire.BadMessage(f"more than {self._limits.output:,} bytes")
            arrays = wire.open_arrays(described, self._take(following, deadline, seconds))
        except wire.BadMessage as error:
            raise Ended("result", f"returned {error}") from None
        if isinstance(values.get("error"), dict):
            raise _reported(values["error"])
        return values, arrays

    def _take(self, count: int, deadline: float, seconds: float) -> bytes:
        """So many bytes of the child's messages."""
        end = current().end
        with selectors.DefaultSelector() as selector:
            selector.register(self._hear, selectors.EVENT_READ)
            selector.register(self._text, selectors.EVENT_READ)
            selector.register(self._ask, selectors.EVENT_WRITE)
            while len(self._incoming) < count:
                if not self._outgoing and self._ask in selector.get_map():
                    selector.unregister(self._ask)
                now = time.monotonic()
                if now >= end:
                    raise TimeUp
                if now >= deadline:
                    raise Ended("wall", f"did not answer within {seconds:g} s")
                for key, _ in selector.select(min(deadline, end) - now):
                    self._serve(int(key.fd), selector)
        taken = bytes(self._incoming[:count])
        del self._incoming[:count]
        return taken

    def _serve(self, handle: int, selector: selectors.BaseSelector) -> None:
        """Moves a piece through one of the pipes. Raises Ended."""
        if handle == self._ask:
            try:
                self._outgoing = self._outgoing[os.write(handle, self._outgoing[:_PIECE]) :]
            except BrokenPipeError:
                selector.unregister(handle)
            return
        piece = os.read(handle, _PIECE)
        if handle == self._hear:
            if not piece:
                raise self._ending()
            self._incoming += piece
            return
        if not piece:
            selector.unregister(handle)
        self._printed += piece
        if len(self._printed) > self._limits.printed:
            raise Ended("printed", f"printed more than {self._limits.printed:,} bytes")

    def _ending(self) -> Ended:
        """Why the child is gone, or has closed its pipe."""
        assert self._process is not None
        try:
            code = self._process.wait(1)
        except subprocess.TimeoutExpired:
            return Ended("exit", "closed the pipe to the grader")
        seconds = f"{self._limits.cpu:g} s of CPU time"
        if code == -signal.SIGXCPU:
            return Ended("cpu", f"did not finish in {seconds}; is there an endless loop?")
        if code == -signal.SIGKILL:  # SIGXCPU was ignored; or the kernel had no memory left
            return Ended("cpu", f"was killed, after {seconds} or because memory ran out")
        if code < 0:
            return Ended("signal", f"was ended by signal {_signal_name(-code)}")
        return Ended("exit", f"ended the program by itself, with exit code {code}")

    def printed(self) -> str:
        """What the child has printed so far."""
        try:
            while len(self._printed) <= self._limits.printed:
                piece = os.read(self._text, _PIECE)
                if not piece:
                    break
                self._printed += piece
        except (OSError, AttributeError):  # nothing there now, or closed
            pass
        text = bytes(self._printed[: self._limits.printed]).decode("utf-8", "replace")
        return clean(text, self._limits.printed)

    def verdict(self, ended: Ended | None = None, outputs: dict[str, Any] | None = None) -> Verdict:
        """What became of this run."""
        common: dict[str, Any] = {
            "printed": self.printed(),
            "layers": self.layers,
            "missing": self.missing,
        }
        if ended is None:
            return Verdict(True, outputs=outputs or {}, **common)
        return Verdict(False, ended.kind, ended.message, ended.lines, **common)

    def close(self) -> None:
        """Ends the child and all that is of its session, and takes its directory away."""
        if self._process is not None:
            try:
                os.killpg(self._process.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                pass
            self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()
            self._process = None
        while self._opened:
            os.close(self._opened.pop())
        self._place.cleanup()


def _reported(error: dict[str, Any]) -> Ended:
    """What the child says went wrong; it may be forged, and is only shown."""
    kind, text, lines = error.get("kind"), error.get("text"), error.get("lines")
    shown = [each for each in lines[:20] if isinstance(each, str)] if type(lines) is list else []
    return Ended(
        kind if isinstance(kind, str) and kind in KINDS else "error",
        clean(text) if text and isinstance(text, str) else "went wrong, and did not say how",
        tuple(clean(line, 300) for line in shown),
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def _environment(place: str) -> dict[str, str]:
    """One thread, no colours, and nothing of the grader's: its seed may be in there."""
    return {
        "PATH": os.defpath,
        "HOME": place,
        "TMPDIR": place,
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "NUMBA_NUM_THREADS": "1",
        "NUMBA_COLOR_SCHEME": "no_color",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }


def _packages(preload: Sequence[str]) -> tuple[list[str], list[str]]:
    """Where the packages to be loaded, and what they need, are found: directories for
    sys.path; and what may be read of them, the packages alone."""
    places, readable = [], []
    for name in dict.fromkeys(each for one in preload for each in _NEEDS.get(one, (one,))):
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.origin:
            raise RunError(f"the sandbox needs the package {name}")
        package = Path(spec.origin).resolve().parent
        if str(package.parent) not in places:
            places.append(str(package.parent))
        beside = [package.with_name(package.name + end) for end in _BESIDE]
        readable += [str(path) for path in beside if path.is_dir()]
    return places, readable


def _closed() -> list[str]:
    """mmulab's own folders, worked solutions among them: nothing below may be read, wherever
    they are installed."""
    import mmulab

    return sorted({str(Path(path).resolve()) for path in mmulab.__path__} | {str(_HERE.parent)})
