"""The notice that kernels are being compiled: only before the first run."""

from __future__ import annotations

from click.testing import CliRunner

from mmulab.commands.main import cli


def test_a_run_that_has_its_kernels_says_nothing_of_compiling() -> None:
    command = ["walk", "0x1000", "--techniques", "native"]
    CliRunner().invoke(cli, command)
    again = CliRunner().invoke(cli, command)
    assert again.exit_code == 0 and again.stderr == ""
