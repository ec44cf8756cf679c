"""Student code that means harm does none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from drivers.sandboxed import LINUX, asked, body

from mmulab.coursework import sandbox

INSIDE = Path(sandbox.__file__).parent

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
