"""`mmulab dedup`: how much of real memory could be shared."""

from __future__ import annotations

import json
from typing import Any

import click

from mmulab import api
from mmulab.commands import options
from mmulab.commands.progress import progress


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option(
    "--page-sizes", default="4k,2m", show_default=True, metavar="LIST", help="Comma-separated."
)
@click.option("--json", "json_path", metavar="OUT", help="Write results as JSON ('-': stdout).")
@click.option("--csv", "csv_path", metavar="OUT", help="Write results as CSV ('-': stdout).")
@click.option("--plot", "plot_path", metavar="OUT", help="Draw them: OUT.svg, .png or .pdf.")
@options.figure_options
def dedup(
    files: tuple[str, ...],
    page_sizes: str,
    json_path: str | None,
    csv_path: str | None,
    plot_path: str | None,
) -> None:
    """Find equal pages in memory images: ELF cores, LiME and Windows dumps, or any FILE as it is.

    Each FILE is a VM: pages that are equal within it, and in all of them together.
    """
    options.check_outputs(plot_path, json=json_path, csv=csv_path)
    with progress("pages", None) as advance:
        report = api.dedup(files, page_sizes=page_sizes, progress=advance)
    from mmulab.plots.terminal import dedup as terminal

    with options.together():
        options.write_text(json_path, lambda: json.dumps(report.to_dict(), indent=2) + "\n")
        options.write_text(csv_path, lambda: _csv(report))
        if plot_path:
            from mmulab.plots import dedup as figure

            figure.write(report, plot_path)
    if "-" not in (json_path, csv_path):
        click.echo(terminal.table(report))


def _csv(report: Any) -> str:
    """One row for each image and page size; MB are 2**20 bytes."""
    lines = ["image,page_bytes,pages,zero,shared,contents,reclaimed"]
    for one in (*report.files, *report.together):
        name = '"' + one.name.replace('"', '""') + '"'
        lines.append(
            f"{name},{one.page_bytes},{one.pages},{one.zero},{one.shared},{one.contents},"
            f"{one.reclaimed}"
        )
    return "\n".join(lines) + "\n"
