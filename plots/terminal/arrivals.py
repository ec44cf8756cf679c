"""VMs that came and went: how many, and what each took."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mmulab.mmu.scenario.results import Came, RunResult


def without_places(run: RunResult) -> RunResult:
    """A result without the places that VMs came to and left: their kinds stand for them."""
    prefixes = tuple(f"{kind.name}@place-" for kind in run.arrivals)
    kept = tuple(vm for vm in run.vms if not (prefixes and vm.name.startswith(prefixes)))
    return replace(run, vms=kept)


def text(run: RunResult) -> str:
    """A paragraph for each kind; sizes in MiB."""
    return "\n".join(_kind(kind) for kind in run.arrivals)


def _kind(kind: Came) -> str:
    gone = len(kind.lives["arrived"])
    said = (
        f"{kind.name}: {kind.came:,} came, {kind.turned_away:,} turned away, "
        f"{kind.most_at_once:,} at once at most, {gone:,} gone"
    )
    if not gone:
        return said
    lives = kind.lives
    ready = 1e3 * (lives["ready"] - lives["arrived"])
    stayed = 1e3 * (lives["departed"] - lives["ready"])
    frames = ", ".join(
        f"{name.replace('_', ' ')} {lives[name].mean() / 256:,.2f}"
        for name in ("private", "shared", "page_tables", "storage")
    )
    return (
        f"{said}\n"
        f"  ms until ready: {ready.mean():,.3f} in the mean, {np.percentile(ready, 95):,.3f} at "
        f"the 95th percentile; stayed {stayed.mean():,.3f}\n"
        f"  accesses {lives['accesses'].mean():,.0f}, busy ms {1e3 * lives['busy'].mean():,.3f} in "
        f"the mean\n"
        f"  MiB as they left, in the mean: {frames}"
    )
