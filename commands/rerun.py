"""`mmulab rerun`: makes saved results once more, and says whether they are the same."""

from __future__ import annotations

import json

import click

from mmulab.commands import options
from mmulab.commands.progress import progress

#: Differences that are shown of a file.
MOST = 10


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="RESULT.json...")
@click.option("--json", "json_path", metavar="OUT", help="Write the new results ('-': stdout).")
def rerun(files: tuple[str, ...], json_path: str | None) -> None:
    """Run what made each RESULT.json again, from what it says of itself, and compare.

    All but `made` (the date, the machine, the command) must be the same, to the last digit;
    else the exit code is 1.
    """
    from mmulab import rerun as again

    options.check_outputs(None, json=json_path)
    loaded = {file: again.load(file) for file in files}
    made = []
    differ = False
    for file, results in loaded.items():
        with progress(file, None) as advance:
            runs = again.rerun(results, advance)
        made += [run.again for run in runs]
        differ |= any(run.differences for run in runs)
        click.echo(_said(file, runs), err=json_path == "-")
    options.write_text(json_path, lambda: json.dumps(made, indent=2) + "\n")
    if differ:
        raise click.exceptions.Exit(1)


def _said(file: str, runs: list) -> str:
    same = sum(not run.differences for run in runs)
    lines = [f"{file}: {same} of {len(runs)} the same"]
    found = [
        (f"[{number}]." * (len(runs) > 1) + where, old, new)
        for number, run in enumerate(runs)
        for where, old, new in run.differences
    ]
    lines += [f"  {where}: was {_short(old)}, is {_short(new)}" for where, old, new in found[:MOST]]
    if len(found) > MOST:
        lines.append(f"  and {len(found) - MOST:,} more")
    return "\n".join(lines)


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
