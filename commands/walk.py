"""`mmulab walk`: every memory reference of one page walk."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from mmulab.commands import options
from mmulab.commands.values import Address

if TYPE_CHECKING:
    from mmulab.mmu.config import Config
    from mmulab.mmu.presets.preset import Preset


@click.command()
@click.argument("gva", type=Address())
@click.option(
    "--techniques",
    default="native,shadow,nested",
    show_default=True,
    metavar="LIST",
    help="Comma-separated.",
)
@options.machine_options
@click.option("--store", is_flag=True, help="Walk for a store: D bits are set.")
@click.option("--plot", "plot_path", metavar="OUT", help="Draw the grid: OUT.svg, .png or .pdf.")
@click.option(
    "--html",
    "html_path",
    metavar="FILE",
    help="Write a page that makes the walk step by step, caches switched on and off.",
)
@options.figure_options
def walk(
    gva: int,
    techniques: str,
    store: bool,
    plot_path: str | None,
    html_path: str | None,
    **machine: Any,
) -> None:
    """Print every memory reference of the page walk for GVA, in order.

    The page has been touched once; nothing is cached but, with --walk-caches, what the
    walk itself caches.
    """
    options.check_outputs(plot_path, html=html_path)
    preset, config = options.machine(machine, False, techniques)
    options.say_if_cold(techniques)
    from mmulab.mmu.by_hand import walkthrough
    from mmulab.mmu.techniques.specs import parse_all
    from mmulab.plots.terminal import walk as terminal

    walks = [
        walkthrough.walk(gva, spec, preset, config, store) for spec in parse_all(techniques, config)
    ]
    if html_path != "-":
        for one in walks:
            click.echo(terminal.table(one) + "\n")
    with options.together():
        if plot_path:
            from mmulab.plots import walk as figure

            figure.write(walks, plot_path)
        options.write_text(html_path, lambda: _page(gva, techniques, preset, config, store))


def _page(gva: int, techniques: str, preset: Preset, config: Config, store: bool) -> str:
    from mmulab.mmu.by_hand import variants
    from mmulab.mmu.techniques.specs import parse_all
    from mmulab.plots.pages import walk_page

    every = [
        variants.variants(gva, spec, preset, config, store)
        for spec in parse_all(techniques, config)
    ]
    return walk_page.html(walk_page.shown(every, preset, config, store))
