"""`mmulab presets`, `techniques` and `workloads`: what there is to choose from."""

from __future__ import annotations

import click

from mmulab.mmu.errors import InputError


@click.command()
@click.argument("name", required=False)
def presets(name: str | None) -> None:
    """List the processors, or every number of one with its source."""
    from mmulab.mmu import presets as known
    from mmulab.plots.terminal import presets as terminal

    if name is None:
        click.echo(terminal.overview([known.load(each) for each in known.names()]))
    else:
        preset = known.load(name)
        from mmulab.mmu.techniques import registry, specs  # loads slowly

        click.echo(terminal.details(preset, specs.costs(registry.built_in())))


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
