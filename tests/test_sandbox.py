"""Student code: what it may do, what it may not, and what its author is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmulab.coursework import sandbox
from mmulab.coursework.sandbox import process
from mmulab.coursework.sandbox.inside import wire
from mmulab.mmu.errors import InputError, RunError

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux")
INSIDE = Path(sandbox.__file__).parent
SHORT = sandbox.Limits(cpu=1, wall=60, call=60)


def run(source: str, limits: sandbox.Limits = SHORT, **options: Any) -> sandbox.Verdict:
    inputs = {"x": np.arange(10, dtype=np.int64)}
    return sandbox.run(source, "sandbox_driver", inputs, limits, name="work.py", **options)


def body(text: str) -> sandbox.Verdict:
    """What becomes of a function with this body; it may import anything."""
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    return run(f"def answer(x):\n{lines}", imports=None)


def asked(text: str, limits: sandbox.Limits = SHORT) -> tuple[sandbox.Verdict, Any]:
    """The same in a conversation, which starts faster for want of NumPy; (verdict, answer)."""
    lines = "".join(f"    {line}\n" for line in text.splitlines())
    preload = ["numpy"] if "numpy" in text else []
    answer = None
    try:
        with sandbox.Conversation(
            f"def answer():\n{lines}", "answer", limits, imports=None, preload=preload
        ) as talk:
            answer = talk.ask()
    except sandbox.Stopped as stopped:
        return stopped.verdict, None
    return talk.verdict(), answer


# --- what works --------------------------------------------------------------------------


def test_arrays_and_values_come_back() -> None:
    verdict = run(
        "import numpy as np\ndef answer(x):\n    print('so far')\n    return x[::-1] * 2\n"
    )
    assert verdict.ok and verdict.kind == "finished" and verdict.printed == "so far\n"
    assert np.array_equal(verdict.outputs["y"], np.arange(10)[::-1] * 2)
    assert body("return {'a': [1, 2.5, None, 'text']}").outputs == {
        "value": {"a": [1, 2.5, None, "text"]}
    }


def test_layers_are_named() -> None:
    verdict = body("return 1")
    assert {"limits", "audit hook"} <= set(verdict.layers)
    assert set(verdict.layers) | set(verdict.missing) == {
        "limits", "landlock", "seccomp", "audit hook",
    }  # fmt: skip


def test_the_packages_that_it_may_import_work() -> None:
    source = "".join(f"import {name}\n" for name in sandbox.IMPORTS if name != "__future__")
    assert run(source + "def answer(x):\n    return statistics.mean([1, 3])\n").outputs == {
        "value": 2
    }


def test_a_conversation_keeps_what_the_file_keeps() -> None:
    source = "seen = []\ndef policy(tick, free):\n    seen.append(tick)\n    return {'n': seen}\n"
    with sandbox.Conversation(source, "policy") as talk:
        assert [talk.ask(n, 1.5) for n in (3, 4)] == [{"n": [3]}, {"n": [3, 4]}]
        assert talk.verdict().ok
    assert talk.verdict().ok


def test_a_conversation_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.py"
    file.write_text("def policy(x):\n    return 1 / x\n")
    with sandbox.Conversation(file, "policy") as talk:
        assert talk.ask(2) == 0.5
        with pytest.raises(sandbox.Stopped, match=r"line 2, in policy: ZeroDivisionError"):
            talk.ask(0)
        with pytest.raises(sandbox.Stopped, match="ZeroDivisionError"):
            talk.ask(2)
        assert talk.verdict().lines == ("line 2, in policy: return 1 / x",)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def other(x):\n    return 1\n", "there is no function policy"),
        ("def policy(:\n", "line 1: not Python"),
        ("def policy(x):\n    while True: pass\n", "answering took longer than 0.3 s"),
        ("while True: pass\n", "loading took longer than 0.3 s"),
        ("def policy(x):\n    return {1, 2}\n", "returned a value that JSON cannot express"),
        ("def policy(x):\n    return float('nan')\n", "returned a value that JSON cannot"),
        ("def policy(x):\n    raise SystemExit\n", "ended the program by itself"),
        ("def policy(x):\n    return 'x' * (1 << 21)\n", "bytes of JSON"),
        ("import os\n", "line 1: imports 'os'"),
        ("x" * (1 << 21), "is larger than"),
    ],
)
def test_conversations_end_with_a_sentence(source: str, said: str) -> None:
    limits = sandbox.Limits(call=0.3)
    with pytest.raises(sandbox.Stopped) as stopped:
        with sandbox.Conversation(source, "policy", limits) as talk:
            talk.ask(1)
    assert said in stopped.value.verdict.message and not stopped.value.verdict.ok


# --- what is said of mistakes ------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "kind", "said"),
    [
        ("x = 1\ndef answer(:\n", "syntax", "line 2: not Python: invalid syntax"),
        ("def answer(x):\n    return x[99]\n", "error", "line 2, in answer: IndexError"),
        ("1 / 0\n", "error", "line 1: ZeroDivisionError: division by zero"),
        ("pass\n", "error", "ValueError: there is no function answer"),
        ("import os\n", "not allowed", "line 1: imports 'os', which is not available here"),
        ("from os.path import join\n", "not allowed", "line 1: imports 'os.path'"),
        ("from . import secrets\n", "not allowed", "line 1: imports '.'"),
        ("def answer(x):\n    return answer(x)\n", "recursion", "RecursionError"),
        ("raise SystemExit(0)\n", "exit", "line 1: ended the program by itself"),
        ("raise KeyboardInterrupt\n", "error", "line 1: KeyboardInterrupt"),
        ("def answer(x):\n    return {1}\n", "error", "a value that JSON cannot express"),
        ("import numpy\ndef answer(x):\n    return x.astype(object)\n", "error", "of object"),
        ("import numpy\ndef answer(x):\n    return numpy.zeros((1,) * 5)\n", "error", "5-dim"),
        ("\0", "not allowed", "not Python"),
        ("x = " + "(" * 5000, "syntax", "line 1"),
        ("x = " + "-" * 100_000 + "1", "not allowed", "nested too deeply"),
        ("print('x' * 100_000)\n", "printed", "printed more than 65,536 bytes"),
        (
            "import numpy\ndef answer(x):\n    return numpy.zeros(9_000_000)\n",
            "result",
            "returned more than 67,108,864 bytes",
        ),
    ],
)
def test_mistakes_are_told_readably(source: str, kind: str, said: str) -> None:
    verdict = run(source)
    assert (verdict.kind, verdict.ok) == (kind, False) and said in verdict.message, verdict
    assert str(Path.cwd()) not in verdict.message and "Traceback" not in verdict.message


def test_only_lines_of_the_file_are_shown() -> None:
    verdict = run("def f(v):\n    return v.index(7)\ndef answer(x):\n    return f([])\n")
    assert verdict.lines == ("line 4, in answer: return f([])", "line 2, in f: return v.index(7)")


def test_text_cannot_steer_a_terminal() -> None:
    verdict = run("print('a\\x1b[2Jb\\u202ec')\nraise ValueError('\\x1b]0;title\\x07')\n")
    assert verdict.printed == "a?[2Jb?c\n" and "\x1b" not in verdict.message


# --- what takes too much -----------------------------------------------------------------


def test_endless_loops_end() -> None:
    verdict = run("def answer(x):\n    while True: pass\n")
    assert verdict.kind == "cpu" and "1 s of CPU time; is there an endless loop?" in verdict.message
    stubborn, _ = asked(
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile 1: pass"
    )
    assert stubborn.kind == "cpu" and "was killed, after 1 s of CPU time" in stubborn.message


def test_waiting_ends() -> None:
    source = "import time\ndef answer(x):\n    time.sleep(60)\n"
    verdict = run(source, sandbox.Limits(wall=0.5), imports=None)
    assert verdict.kind == "wall" and "did not finish in 0.5 s" in verdict.message


@LINUX
@pytest.mark.parametrize("text", ["return [0] * (1 << 33)", "s = 'x'\nwhile True: s += s"])
def test_memory_bombs_end(text: str) -> None:
    # Little memory and much time: a busy machine may take a second to hand out a gigabyte.
    verdict, _ = asked(text, sandbox.Limits(memory=128 << 20))
    assert verdict.kind == "memory" and "ran out of memory" in verdict.message


# --- what does harm ----------------------------------------------------------------------

#: {canary}: a file outside; {folder}: its directory. Each would change, take or tell something.
HARM = {
    "delete": "import os\nos.remove({canary!r})",
    "delete by another name": "import posix\nposix.unlink({canary!r})",
    "overwrite": "open({canary!r}, 'w').write('x')",
    "append": "import io\nio.open({canary!r}, 'a')",
    "open by number": "import os\nos.write(os.open({canary!r}, os.O_WRONLY), b'x')",
    "truncate": "import os\nos.truncate({canary!r}, 0)",
    "rename": "import os\nos.rename({canary!r}, {canary!r} + 'x')",
    "remove a tree": "import shutil\nshutil.rmtree({folder!r})",
    "link": "import os\nos.symlink({canary!r}, {folder!r} + '/link')",
    "rights": "import os\nos.chmod({canary!r}, 0)",
    "read": "return open({canary!r}).read()",
    "read through numpy": "import numpy\nreturn numpy.fromfile({canary!r}, 'u1')",
    "list": "import os\nreturn os.listdir({folder!r})",
    "own directory": "open('here', 'w').write('x' * 100)",
    "environment of the grader": "import os\nreturn open('/proc/%d/environ' % os.getppid()).read()",
    "memory of the grader": "import os\nopen('/proc/%d/mem' % os.getppid(), 'r+b')",
    "program": "import subprocess\nsubprocess.run(['rm', {canary!r}])",
    "shell": "import os\nif os.system('rm ' + {canary!r}): raise OSError('refused')",
    "replaced": "import os\nos.execv('/bin/rm', ['rm', {canary!r}])",
    "fork bomb": "import os\nwhile True: os.fork()",
    "thread bomb": "import threading\nwhile True: threading.Thread(target=print).start()",
    "network": "import socket\nsocket.create_connection(('127.0.0.1', 9))",
    "kill the grader": "import os\nos.kill(os.getppid(), 9)",
    "kill the group": "import os\nos.killpg(0, 9)",
    "more limits": "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (-1, -1))",
    "C library": "import ctypes\nctypes.CDLL(None).unlink({canary!r}.encode())\nraise OSError('')",
    "by the back door": "c = [c for c in ().__class__.__base__.__subclasses__()"
    " if c.__name__ == '_wrap_close'][0]\nc.__init__.__globals__['remove']({canary!r})",
}


@pytest.mark.parametrize("name", HARM)
def test_harm_is_refused(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "folder" / "canary"
    canary.parent.mkdir()
    canary.write_text("the secret")
    verdict, _ = asked(HARM[name].format(canary=str(canary), folder=str(canary.parent)))
    assert not verdict.ok and "secret" not in str(verdict), verdict
    assert canary.read_text() == "the secret" and os.access(canary, os.W_OK)
    assert [file.name for file in canary.parent.iterdir()] == ["canary"]


def test_nothing_of_the_grader_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMULAB_SEED", "the secret")
    verdict, answer = asked("import os, sys\nreturn [dict(os.environ), sys.argv, sys.path]")
    assert verdict.ok and "secret" not in json.dumps(answer)


def test_forged_results_on_the_output_are_only_text() -> None:
    verdict = body('import os\nos.write(1, b\'{"ok": {"value": 1}}\')\nreturn 2')
    assert verdict.outputs == {"value": 2} and verdict.printed == '{"ok": {"value": 1}}'


FORGED = {
    "nothing": ("os._exit(0)", "exit"),
    "another code": ("os._exit(3)", "exit"),
    "closed": ("import time\nos.closerange(3, 100)\ntime.sleep(60)", "exit"),
    "no JSON": ("os.write(pipe, b'\\x05' + bytes(7) + b'hello')", "result"),
    "no message": ("os.write(pipe, b'\\x02' + bytes(7) + b'[]')", "result"),
    "a long header": ("os.write(pipe, b'\\xff' * 8)", "result"),
    "a pickle": ("forge([['y', '|O', [1]]])", "result"),
    "a huge array": ("forge([['y', '<i8', [1 << 39, 1 << 39]]])", "result"),
    "a negative array": ("forge([['y', '<i8', [-1]]])", "result"),
    "deep nesting": ("os.write(pipe, (100_000).to_bytes(8, 'little') + b'[' * 100_000)", "result"),
    "half a message": ("os.write(pipe, b'\\x05')\nos._exit(0)", "exit"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_messages_are_no_results(name: str) -> None:
    text, kind = FORGED[name]
    text = (
        "import os, json, sys\n"
        "pipe = sys._getframe(2).f_locals['results']\n"
        "def forge(arrays):\n"
        "    text = json.dumps({'values': {'ok': {}}, 'arrays': arrays}).encode()\n"
        "    os.write(pipe, len(text).to_bytes(8, 'little') + text)\n" + text
    )
    verdict, _ = asked(text + "\nreturn 1")
    assert not verdict.ok and verdict.kind == kind and verdict.message, verdict


def test_a_forged_error_is_only_shown() -> None:
    verdict, _ = asked(
        "import os, json, sys\npipe = sys._getframe(2).f_locals['results']\n"
        "text = json.dumps({'values': {'error': {'text': '\\x1b' * 9000, 'lines': 3}},"
        " 'arrays': []}).encode()\n"
        "os.write(pipe, len(text).to_bytes(8, 'little') + text)\n"
    )
    assert not verdict.ok and len(verdict.message) <= 2000 and "\x1b" not in verdict.message


@pytest.mark.parametrize("name", ["mmulab", "coursework", "mmulab.coursework.answers"])
def test_the_answers_cannot_be_imported(name: str) -> None:
    """Not even where the grader is run from the checkout."""
    verdict, _ = asked(f"import {name}\nreturn 1")
    assert (verdict.kind, verdict.outputs) == ("error", {})
    assert f"No module named '{name.partition('.')[0]}'" in verdict.message


@LINUX
def test_a_child_does_not_outlive_the_grader(tmp_path: Path) -> None:
    program = (
        "from mmulab.coursework import sandbox\n"
        "talk = sandbox.Conversation('def f():\\n    return 1\\n', 'f')\n"
        "print(talk._child._process.pid, flush=True)\n"
        "import os\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    status = Path(f"/proc/{int(done.stdout)}/stat")
    for _ in range(200):
        if not status.exists() or status.read_text().rpartition(")")[2].split()[0] == "Z":
            return
        time.sleep(0.02)
    raise AssertionError("the child still runs")


# --- the seams ---------------------------------------------------------------------------


def test_missing_layers_are_said_aloud(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_START", process._START.replace(
        "main.main(", "from inside import landlock; landlock.version = lambda: 0; main.main("
    ))  # fmt: skip
    with pytest.warns(RuntimeWarning, match="without some layers of protection .landlock: needs"):
        verdict = body("return 1")
    assert "landlock" in verdict.missing and "landlock" not in verdict.layers


def test_messages_come_back_as_they_were() -> None:
    arrays = {"a": np.arange(6, dtype=np.uint16).reshape(2, 3), "b": np.zeros(0, bool),
              "c": np.array(2.5), "d": np.array([1, 2], ">i8")}  # fmt: skip
    data = wire.pack({"x": [1, "é"]}, arrays)
    length = wire.header_bytes(data)
    values, described, following = wire.open_header(data[8 : 8 + length])
    assert values == {"x": [1, "é"]} and following == len(data) - 8 - length
    found = wire.open_arrays(described, data[8 + length :])
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_limits_and_drivers_are_checked() -> None:
    with pytest.raises(InputError, match="sandbox limit cpu"):
        sandbox.Limits(cpu=0)
    with pytest.raises(ValueError, match="no driver"):
        sandbox.run("", "no_such_driver", {})
    with pytest.raises(RunError, match="needs the package no_such_package"):
        run("", preload=["no_such_package"])


def test_a_driver_that_does_not_start_is_our_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_START", "raise ImportError('something of ours')")
    with pytest.raises(RunError, match="the sandbox did not start: .*something of ours"):
        body("return 1")
