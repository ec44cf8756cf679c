"""The command line of those who set and grade, run in this process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from drivers.coursework import SEED

from mmulab.commands import main as cli
from mmulab.coursework import sandbox


@pytest.fixture(autouse=True)
def on_any_system() -> Iterator[None]:
    """The tests run programs on systems without Landlock, too, but for what tests of the
    layers say."""
    with sandbox.terms(3600, unsafe=True):
        yield


@pytest.fixture
def mmulab(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> Any:
    """Runs a command line; (exit code, standard output, standard error)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["mmulab", *map(str, arguments)])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        captured = capsys.readouterr()
        return int(exit.value.code or 0), captured.out, captured.err

    monkeypatch.setenv("MMULAB_SEED", SEED)
    return run
