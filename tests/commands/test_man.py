"""Manual pages: one of each command, which says what --help says, and which groff takes."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import click
import pytest
from drivers.command_line import check_error

from mmulab.commands import main
from mmulab.commands.man import page, pages

PAGES = dict(pages(main.cli))


def test_each_command_has_a_page() -> None:
    def paths(command: click.Command, path: str) -> list[str]:
        below = command.commands if isinstance(command, click.Group) else {}
        return [path, *(each for name in below for each in paths(below[name], f"{path}-{name}"))]

    assert sorted(PAGES) == sorted(paths(main.cli, "mmulab"))


@pytest.mark.parametrize("name", ["compare", "walk", "sweep"])
def test_a_page_says_what_help_says(mmulab, name: str) -> None:  # type: ignore
    text = PAGES[f"mmulab-{name}"].replace("\\-", "-")
    shown = mmulab(name, "--help").out
    assert set(re.findall(r"--[a-z][\w-]+", shown)) <= set(re.findall(r"--[a-z][\w-]+", text))
    for section in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "SEE ALSO"):
        assert text.count(f".SH {section}\n") == 1


def test_what_roff_would_take_for_a_macro() -> None:
    @click.command(help="'tis \\ a test\n\n.TH of it")
    def command() -> None: ...

    lines = page(command, "mmulab it", click.Context(command, info_name="it")).split("\n")
    assert "\\&'tis \\e a test" in lines and "\\&.TH of it" in lines


def test_pages_are_written(mmulab, tmp_path: Path) -> None:  # type: ignore
    assert mmulab("man", "-o", tmp_path / "man1").code == 0
    assert {each.name for each in (tmp_path / "man1").iterdir()} == {f"{p}.1" for p in PAGES}
    assert (tmp_path / "man1" / "mmulab-compare.1").read_text() == PAGES["mmulab-compare"]
    assert mmulab("man", "trace", "info").out == PAGES["mmulab-trace-info"]
    check_error(mmulab("man", "comapre"), 2, "did you mean 'mmulab-compare'?")


def test_groff_takes_them() -> None:
    if not shutil.which("groff"):
        pytest.skip("no groff")
    groff = ["groff", "-man", "-ww", "-Tascii", "-P-cbou"]
    for name, text in PAGES.items():
        found = subprocess.run(groff, input=text, capture_output=True, text=True, check=True)
        assert found.stderr == "", name
        assert "SYNOPSIS" in found.stdout
