"""Ctrl-C, SIGTERM and SIGHUP: one sentence, exit code 1, nothing left."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from drivers.command_line import SMALL
from drivers.processes import ENDING, of_session, said, start

from mmulab.commands import signals
from mmulab.mmu.report.files import replacing, together

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")

SENTENCES = {
    signal.SIGINT: "mmulab: interrupted; nothing was written",
    signal.SIGTERM: "mmulab: ended by SIGTERM; nothing was written",
    signal.SIGHUP: "mmulab: ended by SIGHUP; nothing was written",
}
LONG = "gups:size=1G,accesses=100G"


def wait_for(condition, seconds: float = 60) -> None:  # type: ignore
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def ended(process: subprocess.Popen[str], number: int) -> None:
    """Sends the signal, and checks that the command ends as it should."""
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, said(err)) == (1, [SENTENCES[signal.Signals(number)]])
    assert of_session(process.pid) == []


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.parametrize(
    "command", [("generate", LONG, "-o"), ("convert", "/dev/zero", "--from", "champsim")]
)
def test_a_trace_that_is_written(tmp_path: Path, number: int, command: tuple[str, ...]) -> None:
    out = tmp_path / "out.mmt"
    out.write_text("old")
    process = start("trace", *command, out)
    wait_for(lambda: len(list(tmp_path.iterdir())) == 2)  # the temporary
    ended(process, number)
    assert list(tmp_path.iterdir()) == [out] and out.read_text() == "old"


def test_a_comparison(tmp_path: Path) -> None:
    process = start("compare", LONG, "--json", tmp_path / "out.json")
    time.sleep(4)
    ended(process, signal.SIGINT)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="no valgrind")
@pytest.mark.parametrize("number", ENDING)
def test_a_recording_ends_with_all_that_it_started(tmp_path: Path, number: int) -> None:
    out = tmp_path / "out.mmt"
    line = f"sleep 1000 & echo > {tmp_path}/started; while :; do :; done"
    process = start("trace", "record", "-o", out, "--", "sh", "-c", line)
    wait_for((tmp_path / "started").exists)
    wait_for(lambda: any("sleep" in each.split() for each in of_session(process.pid)))
    ended(process, number)
    assert [each.name for each in tmp_path.iterdir()] == ["started"]


def test_from_the_start_on_there_is_no_traceback(tmp_path: Path) -> None:
    """While Python itself starts, a signal does what it does by itself."""
    for step in range(8):
        process = start("compare", LONG, "--json", tmp_path / "out.json")
        time.sleep(0.15 + 0.15 * step)
        ended(process, ENDING[step % 3])
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_ignores_hangups_still_does() -> None:
    code = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from mmulab.commands import signals\n"
        "with signals.heeded(): os.kill(os.getpid(), signal.SIGHUP); signals.check()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_exception_that_a_callback_drops_is_raised_again() -> None:
    callback = ctypes.CFUNCTYPE(None)(lambda: os.kill(os.getpid(), signal.SIGTERM))
    with pytest.raises(KeyboardInterrupt), signals.heeded():
        callback()
        time.sleep(10)


@pytest.mark.parametrize("module", ["llvmlite.binding.ffi", "numba.core.codegen"])
def test_llvm_is_let_finish(module: str) -> None:
    """However deep below it the signal comes: in a callback, say."""
    text = "def work(nested):\n nested()\n time.sleep(0.1)\n done.append(True)\n time.sleep(0.1)\n"
    done: list[bool] = []
    here = {"__name__": module, "time": time, "done": done}
    exec(text, here)
    with pytest.raises(KeyboardInterrupt), signals.heeded():
        here["work"](lambda: os.kill(os.getpid(), signal.SIGHUP))
        time.sleep(10)
    assert done == [True]


def test_a_finalizer_of_what_is_half_made_says_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    class Half:
        def __init__(self) -> None:
            os.kill(os.getpid(), signal.SIGINT)
            self.handle = 1

        def __del__(self) -> None:
            del self.handle

    with pytest.raises(KeyboardInterrupt) as caught, signals.heeded():
        try:
            Half()
        except KeyboardInterrupt as error:
            raise KeyboardInterrupt from error.with_traceback(None)
    del caught
    assert capfd.readouterr().err == ""


def test_outputs_take_their_places_whatever_comes(tmp_path: Path) -> None:
    """A signal that comes between two of them waits for the second."""
    replace, paths = os.replace, [tmp_path / "a", tmp_path / "b"]

    sent: list[int] = []

    def slowly(source: Path, target: Path) -> None:
        if not sent:
            os.kill(os.getpid(), signal.SIGTERM)
            sent.append(signal.SIGTERM)
        time.sleep(0.1)
        replace(source, target)

    with pytest.raises(KeyboardInterrupt), signals.heeded(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", slowly)
        with together():
            for path in paths:
                with replacing(path) as temporary:
                    temporary.write_text("new")
            assert not any(path.exists() for path in paths)
        time.sleep(10)
    assert [path.read_text() for path in paths] == ["new", "new"]
    assert signals.told() == "ended by SIGTERM; what was written is whole"


def test_a_directory_that_is_tried_has_no_file_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unlink = os.unlink

    def after_a_signal(path: str) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.1)
        unlink(path)

    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(os, "unlink", after_a_signal)
    with pytest.raises(KeyboardInterrupt), signals.heeded():
        tempfile.gettempdir()
        time.sleep(10)
    assert list(tmp_path.iterdir()) == []


def test_what_follows_at_once_does_not_disturb_the_cleaning_up() -> None:
    cleaned = []
    with pytest.raises(KeyboardInterrupt), signals.heeded():
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(10)
        finally:
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.1)
            cleaned.append(True)
    assert cleaned == [True]


def test_an_import_is_let_finish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slowly_imported.py").write_text(
        "import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(0.3)\nx = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(KeyboardInterrupt), signals.heeded():
        import slowly_imported  # type: ignore[import-not-found]

        time.sleep(10)
    assert slowly_imported.x == 1


def test_handlers_are_given_back(mmulab) -> None:  # type: ignore
    before = [signal.getsignal(number) for number in ENDING]
    assert mmulab("trace", "info", SMALL).code == 0
    assert [signal.getsignal(number) for number in ENDING] == before
