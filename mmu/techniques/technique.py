"""What a technique says of itself; errors and the docs' tables are made from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Technique:
    """A way to get from GVA to HPA.

    virtual: a VMM runs below the guest. host_pages: the VMM's page size is a choice
    separate from the guest's. guest_pcid: the guest can use PCIDs.
    """

    name: str
    summary: str
    virtual: bool
    host_pages: bool
    guest_pcid: bool
