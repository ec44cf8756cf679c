"""Traces of generators as whole columns."""

from __future__ import annotations

import numpy as np

from mmulab.workloads import generators

Access = tuple[int, int]  # address, kind


def columns(spec: str, seed: int = 1) -> tuple[np.ndarray, np.ndarray, list]:
    """Addresses, kinds, and events whose positions are counted from the trace's beginning."""
    addresses, kinds, events, before = [], [], [], 0
    for chunk in generators.create(spec, seed).chunks():
        addresses.append(chunk.address)
        kinds.append(chunk.kind)
        events += [(before + event[0], *event[1:]) for event in chunk.events.tolist()]
        before += chunk.accesses
    return np.concatenate(addresses), np.concatenate(kinds), events
