"""What the system shows of the grader to others; what the child may read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from drivers.sandboxed import LINUX, asked

from mmulab.coursework.sandbox.inside import landlock
from mmulab.coursework.sandbox.inside.places import Places

SEED = "correct horse battery staple"
SHOWN = """
import os, sys
from mmulab.coursework.secrecy import conceal
conceal(sys.argv[1])
for name in ("cmdline", "environ"):
    print(open(f"/proc/self/{name}").read().replace(chr(0), chr(10)))
assert sys.argv[1] == os.environ["MMULAB_SEED"] == sys.argv[2].partition("=")[2]
"""


@LINUX
def test_the_seed_is_not_in_what_the_system_shows() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SHOWN, SEED, f"--seed={SEED}", "of the " + SEED],
        env={**os.environ, "MMULAB_SEED": SEED, "OTHER": "here"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    stars = "*" * len(SEED)
    assert {stars, f"--seed={stars}", f"MMULAB_SEED={stars}", "OTHER=here"} <= set(lines)
    assert [line for line in lines if SEED in line] == ["of the " + SEED]


def test_what_is_closed_is_left_out(tmp_path: Path) -> None:
    """As where mmulab is installed among the packages of the Python that runs it."""
    for name in ("os.py", "json/decoder.py", "site/mmulab/solution.txt", "site/numpy/core.py"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    (tmp_path / "elsewhere").symlink_to("/etc")
    places = Places()
    places.add(str(tmp_path), frozenset({str(tmp_path / "site" / "mmulab")}))
    assert places.listed == [str(tmp_path), str(tmp_path / "site")]
    below = {str(Path(each).relative_to(tmp_path)) for each in places.readable}
    assert below == {"os.py", "json", "site/numpy"}


@pytest.mark.skipif(not landlock.version(), reason="no Landlock here")
def test_packages_that_are_not_needed_cannot_be_read() -> None:
    """Python's own folder may have them in it; the kernel refuses, whatever Python says."""
    text = (
        "import sys\n"
        "hook = [v for k, v in sys.modules.items() if k.endswith('inside.hook')][0]\n"
        "hook.Hook.__call__ = lambda *a: None\n"
        "return open({!r}).read(5)"
    )
    for file in (click.__file__, Places.add.__code__.co_filename, __file__):
        verdict, answer = asked(text.format(file))
        assert answer is None and "PermissionError: [Errno 13]" in verdict.message
    verdict, answer = asked(text.format(os.__file__))
    assert verdict.ok and answer
