"""A checkpoint that somebody has made up runs nothing, and ends in one sentence at most."""

from __future__ import annotations

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
from drivers.broken_off import broken_off, scenario

from mmulab import workloads
from mmulab.mmu.errors import InputError
from mmulab.mmu.scenario.checkpoints import Checkpoints
from mmulab.mmu.scenario.checkpoints.file import MAGIC, Kept
from mmulab.mmu.scenario.run import build_hosts
from mmulab.mmu.scenario.timeline import Timeline


def made_up(path: Path, root: Any, nodes: list[Any]) -> Kept:
    """A file whose digest fits."""
    content = MAGIC + b"{}\n"
    where = len(content)
    content += json.dumps({"root": root, "nodes": nodes}).encode() + where.to_bytes(8, "little")
    path.write_bytes(content + hashlib.sha256(content).digest())
    return Kept(path)


@pytest.mark.parametrize(
    "node",
    [
        ["object", "subprocess:Popen", [["args", "true"]]],
        ["object", "os:system", []],
        ["object", "mmulab.mmu.kernels.cache:Cache", []],
        ["object", "mmulab.mmu.scenario.run:np.ndarray", []],
        ["object", "mmulab.mmu.scenario.run:System", []],  # by where it is used, not made
        ["object", "mmulab.mmu.host.nowhere:X", []],
        ["object", "mmulab.mmu.host.system:System.__init__", []],
        ["tuple of", "mmulab.mmu.host.system:System", []],
        ["struct", "mmulab.mmu.host.system:System", []],
        ["enum", "mmulab.mmu.host.system:System", "x"],
        ["method", [2], "__init_subclass__"],
        ["array", "|O", [1], 0, None],
        ["array", [["a", "|O"]], [1], 0, None],
        ["array", "<i8", [1 << 60], 0, None],
        ["array", "<i8", [-1], 0, None],
        ["array", "<i8", [4], 1 << 62, None],
        ["array", "<i8", [4096], 0, [[0], [1 << 40]]],
        ["number", "object", "00"],
        ["number", "float64", "00"],
        ["named", "trace"],
        ["value", 1],
        ["filled", 1],
        ["list", [[99]]],
        ["list", [[1]]],
        ["tuple", [[1]]],
    ],
)
def test_nothing_of_the_files_choice_is_made(node: list[Any], tmp_path: Path) -> None:
    nodes = [["dict", [["state", [1]]]], node, ["dict", []]]
    kept = made_up(tmp_path / "kept", [0], nodes)
    if node == ["list", [[1]]]:  # a list may be in itself
        assert kept.value("state", {})[0][0][0]
        return
    with pytest.raises(InputError, match="is damaged"):
        kept.value("state", {})


@pytest.mark.parametrize("content", [b"", b"\x80\x04N.", MAGIC, MAGIC + b"{}\n" + bytes(40)])
def test_what_is_no_checkpoint(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "kept").write_bytes(content)
    with pytest.raises(InputError, match="checkpoint .*: is (none|damaged)"):
        Kept(tmp_path / "kept")


def test_a_damaged_file_is_known(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    assert broken_off(scenario("copied"), 20, path)
    good, chosen = path.read_bytes(), random.Random(1)
    for _ in range(40):
        at = chosen.randrange(len(good))
        bad = bytearray(good)
        bad[at] ^= 1 << chosen.randrange(8)
        path.write_bytes(bytes(bad[: chosen.choice([len(bad), at])]))
        with pytest.raises(InputError):
            Kept(path)


def test_a_graph_that_was_changed_is_refused_or_read(tmp_path: Path) -> None:
    """Whatever is exchanged in it, reading ends in one sentence, or in objects of a run."""
    path, of = tmp_path / "kept", scenario("copied")
    assert broken_off(of, 20, path)
    good, chosen = path.read_bytes(), random.Random(2)
    end = len(good) - 40
    where = int.from_bytes(good[end : end + 8], "little")
    graph = json.loads(good[where:end])
    systems = build_hosts(of, workloads.of_vm)
    refused = 0
    for _ in range(30):
        changed = json.loads(json.dumps(graph))
        node = changed["nodes"][chosen.randrange(len(changed["nodes"]))]
        part = chosen.randrange(len(node))
        node[part] = chosen.choice([None, 0, -1, "", "object", [], [0], [10**9], [[0]], {}, 1e300])
        content = good[:where] + json.dumps(changed).encode() + where.to_bytes(8, "little")
        path.write_bytes(content + hashlib.sha256(content).digest())
        kept = Checkpoints(path, 0, path)
        kept.begin(of, "as given")
        try:
            kept.restored(systems, Timeline(systems))
        except InputError:
            refused += 1
    assert refused > 10
