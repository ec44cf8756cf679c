"""Which units of a trace are measured, and how many each stands for.

smarts: every k-th unit, from one of the first k that chance takes (Wunderlich et al., SMARTS:
Accelerating Microarchitecture Simulation via Rigorous Statistical Sampling, ISCA 2003), within
strata of units with about as many first touches (`profile`). simpoint: units are clustered by the
pages that they touch, and some of each cluster are measured (Sherwood et al., Automatically
Characterizing Large Scale Program Behavior, ASPLOS 2002; several of a cluster, so that there is an
interval: Perelman et al., Picking Statistically Valid and Early Simulation Points, PACT 2003).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mmulab.mmu.errors import InputError
from mmulab.mmu.sampling import kmeans, profile
from mmulab.mmu.sampling.intervals import Intervals
from mmulab.mmu.sampling.signatures import signatures
from mmulab.mmu.trace import Trace, origin


@dataclass(frozen=True)
class Plan:
    """Units to measure.

    starts: place of each unit's first access, rising. stratum: which stratum each is of. sizes:
    units of each stratum in the whole trace, measured or not. work: of each unit, what
    `profile.work` has, less the mean of all units of the trace. begin, end: accesses of the trace
    that estimates are for.
    """

    starts: tuple[int, ...]
    stratum: tuple[int, ...]
    sizes: tuple[int, ...]
    work: tuple[tuple[float, ...], ...]
    begin: int
    end: int

    @property
    def accesses(self) -> int:
        return self.end - self.begin


def length_of(trace: Trace) -> int:
    """Accesses of a trace, which is read where it does not say. Raises InputError for one that can
    be read once only."""
    known = origin(trace)
    if known and known.spec == "-":
        raise InputError(
            "--intervals reads the trace several times; standard input can be read once: expected "
            "a file"
        )
    if trace.length is not None:
        return trace.length
    return sum(chunk.accesses for chunk in trace.chunks())


def make(trace: Trace, how: Intervals, length: int, skip: int) -> Plan:
    """The units of a trace of so many accesses, the first `skip` left out. Raises InputError where
    there are too few."""
    count = (length - skip) // how.unit
    if count < 2:
        raise InputError(
            f"--intervals: {trace.name} has {length - skip:,} accesses after a warm-up of {skip:,};"
            f" expected two units of {how.unit:,} at least"
        )
    random = np.random.default_rng(how.draw)
    work = profile.work(trace, how.unit, skip, count)
    if how.method == "smarts":
        labels, shares = profile.strata(work, min(how.units, count))
        chosen = _systematic(labels, shares, random)
    else:
        certain = profile.certain(work, how.clusters * how.each // 2)
        vectors = signatures(trace, how.unit, skip, count)
        labels, chosen = _clusters(vectors, certain, how, random)
    return Plan(
        starts=tuple((skip + chosen * how.unit).tolist()),
        stratum=tuple(labels[chosen].tolist()),
        sizes=tuple(np.bincount(labels).tolist()),
        work=tuple(map(tuple, (work[chosen] - work.mean(axis=0)).tolist())),
        begin=skip,
        end=length,
    )


def _systematic(labels: np.ndarray, shares: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Of each stratum as many as it is to have, every k-th, k not whole where they don't divide."""
    found = []
    for stratum, units in enumerate(shares.tolist()):
        members = np.flatnonzero(labels == stratum)
        places = len(members) / units * (random.random() + np.arange(units))
        found.append(members[places.astype(np.int64)])
    return np.sort(np.concatenate(found))


def _clusters(
    vectors: np.ndarray, certain: np.ndarray, how: Intervals, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(the cluster of each unit, units to measure in the order of the trace). Units that are
    measured in any case are the last cluster."""
    labels = np.zeros(len(vectors), np.int64)
    labels[~certain], centres = kmeans.clustered(vectors[~certain], how.clusters, random)
    found = [np.flatnonzero(certain)]
    for cluster, centre in enumerate(centres):
        members = np.flatnonzero((labels == cluster) & ~certain)
        if how.each == 1:
            far = ((vectors[members] - centre) ** 2).sum(axis=1)
            found.append(members[[int(far.argmin())]])
        else:
            some = min(how.each, len(members))
            found.append(random.choice(members, some, replace=False))
    labels[certain] = len(centres)
    return labels, np.sort(np.concatenate(found))
