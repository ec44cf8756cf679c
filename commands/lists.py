"""`mmulab presets`, `techniques` and `workloads`: what there is to choose from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from mmulab.mmu.errors import InputError

if TYPE_CHECKING:
    from mmulab.mmu.presets.cited import Cited


@click.command()
@click.argument("name", required=False)
@click.option("--toml", is_flag=True, help="As a preset file, which --preset takes.")
def presets(name: str | None, toml: bool) -> None:
    """List the processors, or every number of one with its source.

    NAME is a preset, or the file of one.
    """
    from mmulab.mmu import presets as known
    from mmulab.mmu.config import preset_files
    from mmulab.plots.terminal import presets as terminal

    if name is None:
        if toml:
            raise InputError("--toml: expected a preset's name before it")
        click.echo(terminal.overview([known.load(each) for each in known.names()]))
        return
    preset = preset_files.load(name, _costs)
    click.echo(
        preset_files.to_toml(preset) if toml else terminal.details(preset, _costs()), nl=not toml
    )


def _costs() -> dict[str, Cited]:
    from mmulab.mmu.techniques import registry, specs  # loads slowly

    return specs.costs(registry.built_in())


@click.command()
@click.argument("name", required=False)
def techniques(name: str | None) -> None:
    """List the techniques, or the parameters, counts and costs of one, with their sources.

    NAME is a technique, or the file of one.
    """
    from mmulab.mmu.techniques import registry
    from mmulab.plots.terminal import techniques as terminal

    if name is None:
        click.echo(terminal.overview({each: _summary(each) for each in registry.names()}))
    else:
        click.echo(terminal.details(registry.get(name)))


def _summary(name: str) -> str:
    """What a technique is; of another package's that is broken, how."""
    from mmulab.mmu.techniques import registry

    try:
        return registry.get(name).summary
    except InputError as error:
        return f"unusable: {error}"


@click.command()
@click.argument("name", required=False)
def workloads(name: str | None) -> None:
    """List the workload generators and their parameters, and the traces that come along."""
    from mmulab.workloads import BUNDLED, generators

    if name is None:
        click.echo("real traces that come with mmulab:")
        for bundled, what in BUNDLED.items():
            click.echo(f"    {'@' + bundled:<10} {what}")
        click.echo()
    click.echo(generators.listing(name))
