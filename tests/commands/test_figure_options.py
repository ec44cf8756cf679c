"""Every command with a figure takes what figures look like."""

from __future__ import annotations

from collections.abc import Iterator

import click

from mmulab.commands import main


def every(group: click.Group) -> Iterator[click.Command]:
    for command in group.commands.values():
        yield from every(command) if isinstance(command, click.Group) else [command]


def test_every_command_with_a_figure_takes_its_width_and_style() -> None:
    drawing = 0
    for command in every(main.cli):
        options = {option for each in command.params for option in each.opts}
        if "--plot" in options:
            drawing += 1
            assert {"--width", "--style"} <= options, command.name
    assert drawing > 7
