"""Files whose names are long, no UTF-8 or move the cursor; and what is said of a guess."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from drivers.command_line import check_error

from mmulab.mmu.errors import InputError, printable
from mmulab.mmu.report.files import check_writable, replacing

ODD = os.fsdecode(b"a\xff\x1b[31m\n.txt")
SHOWN = r"a\xff\x1b[31m\x0a.txt"


def test_printable() -> None:
    assert printable(ODD) == SHOWN
    assert printable("Grüße 日本.txt") == "Grüße 日本.txt"


def test_a_name_is_shown_on_one_line(mmulab, tmp_path: Path) -> None:  # type: ignore
    (tmp_path / ODD).write_bytes(b"10 R\n20 W\n")
    result = mmulab("trace", "info", tmp_path / ODD)
    assert result.code == 0 and result.out.splitlines()[0] == SHOWN
    (tmp_path / ODD).write_bytes(b"neither this\nnor that\n")
    check_error(mmulab("trace", "info", tmp_path / ODD), 2, SHOWN)
    (tmp_path / ODD).write_bytes(bytes(8192))
    result = mmulab("dedup", tmp_path / ODD)
    assert result.code == 0 and any(line.startswith(SHOWN) for line in result.out.splitlines())
    check_error(mmulab("dedup", tmp_path / "no" / ODD), 2, f"{SHOWN}: no such file")
    check_error(mmulab("mrc", tmp_path / ODD, "--json", tmp_path / "no" / ODD), 2, SHOWN)


@pytest.mark.parametrize("letter", ["x", "é"])
def test_the_longest_names(tmp_path: Path, letter: str) -> None:
    target = tmp_path / (letter * ((255 - 9) // len(letter.encode())) + ".json.gz")
    with replacing(check_writable(target, "output")) as temporary:
        temporary.write_text("whole")
    assert target.read_text() == "whole" and list(tmp_path.iterdir()) == [target]


def test_a_name_that_is_too_long(mmulab, tmp_path: Path) -> None:  # type: ignore
    with pytest.raises(InputError, match="output .*: File name too long"):
        check_writable(tmp_path / ("x" * 256), "output")
    (tmp_path / "t").write_bytes(b"10 R\n")
    result = mmulab("trace", "convert", tmp_path / "t", tmp_path / ("x" * 256 + ".mmt"))
    check_error(result, 2, "File name too long")


def test_a_directory(mmulab, tmp_path: Path) -> None:  # type: ignore
    check_error(mmulab("trace", "info", tmp_path), 2, "is a directory; expected a file")
    (tmp_path / "b.trace").touch()
    (tmp_path / "a.trace").touch()
    for command in (["trace", "info"], ["dedup"]):
        check_error(mmulab(*command, tmp_path), 2, f"such as {tmp_path / 'a.trace'}")


def test_a_guess_is_one_line(mmulab, tmp_path: Path) -> None:  # type: ignore
    path = tmp_path / "t"
    path.write_bytes(b"1048576\n1114112\n" * 2)
    result = mmulab("mrc", path, "--json", "-")
    (line,) = result.err.splitlines()
    assert result.code == 0
    assert line.startswith(f"mmulab: {path}: taken for decimal addresses; --format silberschatz")
    assert mmulab("mrc", path, "--json", "-", "--format", "decimal").err == ""


def test_two_pages_used_in_turn(mmulab, tmp_path: Path) -> None:  # type: ignore
    """Of pages used in turn, LRU keeps none with one entry, and both with two."""
    (tmp_path / "t").write_bytes(b"1048576\n1114112\n" * 2)
    lines = mmulab("mrc", tmp_path / "t").out.splitlines()
    ratios = {words[0]: words[1] for words in map(str.split, lines) if words and words[0].isdigit()}
    assert (ratios["1"], ratios["2"]) == ("100.0000", "50.0000")
