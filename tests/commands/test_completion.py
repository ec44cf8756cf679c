"""What a shell is offered."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from mmulab import __version__
from mmulab.commands.main import cli
from mmulab.mmu import presets


def offered(*words: str) -> list[str]:
    """For the last word of a line."""
    complete = ShellComplete(cli, {}, "mmulab", "_MMULAB_COMPLETE")
    return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("swe", "sweep"),
        ("results me", "merge"),
        ("compare --sens", "--sensitivity"),
        ("compare --preset sky", "skylake-sp"),
        ("compare --techniques native,shad", "native,shadow"),
        ("compare @py", "@python"),
        ("mrc gup", "gups"),
        ("compare gups:siz", "gups:size="),
        ("compare gups:size=1M,acc", "gups:size=1M,accesses="),
        ("compare --preset haswell --set tlb.stlb.w", "tlb.stlb.ways="),
    ],
)
def test_it_is_offered(line: str, expected: str) -> None:
    assert expected in offered(*line.split(" "))


def test_all_presets_are_offered() -> None:
    assert offered("compare", "--preset", "") == list(presets.names())


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script(mmulab, shell: str) -> None:  # type: ignore
    result = mmulab("completion", shell)
    assert result.code == 0 and "_MMULAB_COMPLETE" in result.out


def test_the_citation_is_of_this_version() -> None:
    text = (Path(__file__).parents[2] / "CITATION.cff").read_text()
    assert f"version: {__version__}\n" in text
