"""Breadth-first search and PageRank on R-MAT graphs, as Graph500 makes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.trace import INDEPENDENT, LOAD, STORE, Chunk
from mmulab.workloads.generators.origins import Depends, Last
from mmulab.workloads.generators.parameters import (
    ACCESSES,
    HEAP,
    WORD,
    Parameter,
    choice,
    mapped,
    resumed,
)
from mmulab.workloads.generators.randoms import below, hashed, unit

SUMMARY = (
    "breadth-first search or PageRank on an R-MAT graph (Chakrabarti, Zhan and Faloutsos, SDM "
    "2004; Graph500's A, B, C = 0.57, 0.19, 0.19; Page et al. 1999)"
)
PARAMETERS = {
    "algorithm": choice("what is computed, over and over", "bfs", "pagerank"),
    "scale": Parameter(16, "log2 of the vertices; the generator itself takes 12 bytes an edge",
                       least=2, most=23),
    "edgefactor": Parameter(16, "edges a vertex", least=1, most=64),
    "accesses": ACCESSES,
}  # fmt: skip

_A, _B, _C = 0.57, 0.19, 0.19  # Graph500 specification 3.0, Kronecker generator
_UNSEEN = -1

# Places in the state; QUEUED and DONE are ends of the queue, EDGE is within DONE's vertex.
_ROUND, _QUEUED, _DONE, _EDGE = range(4)
_NEW = -1  # EDGE before the vertex's offsets have been loaded


@entry
def _edges(seed, scale, source, target):
    """R-MAT: a bit of both ends at a time, by the four quadrants' probabilities; then the
    vertices' numbers are hashed, as Graph500 permutes them."""
    mask = (1 << scale) - 1
    for edge in range(source.size):
        u = v = 0
        for bit in range(scale):
            drawn = unit(seed, edge * scale + bit)
            u = (u << 1) | (1 if drawn >= _A + _B else 0)
            v = (v << 1) | (1 if _A <= drawn < _A + _B or drawn >= _A + _B + _C else 0)
        source[edge] = np.int64(hashed(seed, u)) & mask
        target[edge] = np.int64(hashed(seed, v)) & mask


@entry
def _sort(source, target, place, ends):
    """Edges in the order of their sources, those of one as they came. place: where each source's
    next one goes."""
    for edge in range(source.size):
        ends[place[source[edge]]] = target[edge]
        place[source[edge]] += 1


@entry
def _search(address, kind, state, seed, offset, edge, parent, queue, at):
    """Search from one seeded root after another. A vertex: load its queue entry and its
    offsets; for each edge load its end and that one's parent; if unseen store parent and queue.

    at: where queue, offsets, edges and parents begin.
    """
    limit = address.size - 64
    count = 0
    queued, done, at_edge = state[_QUEUED], state[_DONE], state[_EDGE]
    while count < limit:
        if done == queued:
            root = below(seed, state[_ROUND], parent.size)
            state[_ROUND] += 1
            parent[:] = _UNSEEN
            parent[root] = root
            queue[0] = root
            queued, done, at_edge = 1, 0, _NEW
        vertex = np.int64(queue[done])
        if at_edge == _NEW:
            at_edge = 0
            address[count] = at[0] + done * WORD
            address[count + 1] = at[1] + vertex * WORD
            address[count + 2] = at[1] + (vertex + 1) * WORD
            kind[count], kind[count + 1], kind[count + 2] = LOAD, LOAD, LOAD
            count += 3
        number, last = offset[vertex] + at_edge, offset[vertex + 1]
        while number < last and count < limit:
            end = np.int64(edge[number])
            address[count] = at[2] + number * WORD
            address[count + 1] = address[count + 2] = at[3] + end * WORD
            address[count + 3] = at[0] + queued * WORD
            kind[count], kind[count + 1] = LOAD, LOAD
            kind[count + 2], kind[count + 3] = STORE, STORE
            is_new = parent[end] == _UNSEEN  # without a branch: it cannot be predicted
            parent[end] = vertex if is_new else parent[end]
            queue[queued] = end if is_new else queue[queued]
            queued += np.int64(is_new)
            count += 4 if is_new else 2
            number += 1
        at_edge = number - offset[vertex]
        if number == last:
            done += 1
            at_edge = _NEW
    state[_QUEUED], state[_DONE], state[_EDGE] = queued, done, at_edge
    return count


@entry
def _rank(address, kind, state, offset, edge, at):
    """Pull: a vertex loads its offsets, for each edge its end and that one's contribution,
    and stores its own. at[0] holds contributions, read and written."""
    limit = address.size - 64
    count = 0
    vertex, at_edge = state[_DONE], state[_EDGE]
    while count < limit:
        if at_edge == _NEW:
            at_edge = 0
            address[count] = at[1] + vertex * WORD
            address[count + 1] = at[1] + (vertex + 1) * WORD
            kind[count], kind[count + 1] = LOAD, LOAD
            count += 2
        number, last = offset[vertex] + at_edge, offset[vertex + 1]
        while number < last and count < limit:
            address[count] = at[2] + number * WORD
            address[count + 1] = at[0] + np.int64(edge[number]) * WORD
            kind[count], kind[count + 1] = LOAD, LOAD
            number += 1
            count += 2
        at_edge = number - offset[vertex]
        if number < last or count >= limit:
            break
        address[count] = at[3] + vertex * WORD
        kind[count] = STORE
        count += 1
        at_edge = _NEW
        vertex = vertex + 1 if vertex + 2 < offset.size else 0
    state[_DONE], state[_EDGE] = vertex, at_edge
    return count


def _rows(scale: int, factor: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """(offsets, ends) of the graph in compressed rows."""
    edges = factor << scale
    source, target = np.empty(edges, np.int32), np.empty(edges, np.int32)
    _edges(seed, scale, source, target)
    offset = np.zeros((1 << scale) + 1, np.int64)
    np.cumsum(np.bincount(source, minlength=1 << scale), out=offset[1:])
    ends = np.empty(edges, np.int32)
    _sort(source, target, offset[:-1].copy(), ends)
    return offset, ends


def _places(scale: int, factor: int) -> np.ndarray:
    """Where queue (or contributions), offsets, edges and parents (or ranks) begin, and end."""
    vertices = 1 << scale
    lengths = (vertices, vertices + 1, factor << scale, vertices)
    pages = [-(-length * WORD // 4096) for length in lengths]
    return HEAP + 4096 * np.concatenate([[0], np.cumsum(pages)])


def depends(parameters: dict[str, int | float]) -> Depends:
    """A search: counters make the queue's addresses, a vertex from the queue those of its
    offsets, the first offset those of its edges, and an edge's end those of that one's parent.
    PageRank takes the vertices in order: counters make what the queue makes in a search."""
    at = _places(int(parameters["scale"]), int(parameters["edgefactor"]))
    ranks = bool(parameters["algorithm"])
    queued, offset, edge = Last(), Last(), Last()

    def column(chunk: Chunk) -> np.ndarray:
        place = np.searchsorted(at, chunk.address, "right") - 1
        # Of the two offsets, which are loaded one after the other, the last is the end.
        first = offset.back(place == 1, 1)
        end = edge.back(place == 2)
        none = np.full(len(place), INDEPENDENT)
        if ranks:
            known = [end, none, first, none]
        else:
            vertex = queued.back((place == 0) & (chunk.kind == LOAD))
            known = [none, vertex, first, end]
        return np.choose(place, known).astype(np.uint16)

    return column


def chunks(parameters: dict[str, int | float], seed: int) -> Iterator[Chunk]:
    scale, factor = int(parameters["scale"]), int(parameters["edgefactor"])
    offset, edge = _rows(scale, factor, seed)
    vertices = 1 << scale
    at = _places(scale, factor)
    state = np.array([0, 0, 0, _NEW])
    events = mapped((HEAP, int(at[-1]) - HEAP))
    if int(parameters["algorithm"]):
        return resumed(
            int(parameters["accesses"]),
            events,
            lambda address, kind: _rank(address, kind, state, offset, edge, at),
        )
    # One place more: what is not new is written behind the last.
    parent, queue = np.empty(vertices, np.int32), np.empty(vertices + 1, np.int32)
    return resumed(
        int(parameters["accesses"]),
        events,
        lambda address, kind: _search(address, kind, state, seed, offset, edge, parent, queue, at),
    )
