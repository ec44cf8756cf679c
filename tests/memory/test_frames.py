"""The buddy allocator against a set of free frames."""

from __future__ import annotations

import pytest

from mmulab.mmu.errors import InputError
from mmulab.mmu.kernels.compiling import entry
from mmulab.mmu.memory import frames
from mmulab.mmu.memory.frames import make_frames
from mmulab.mmu.memory.state import GUEST_PAGE, Frames


@entry
def _allocate(allocator: Frames, order):
    return frames.allocate(allocator, order, GUEST_PAGE, 1, 0)


def test_low_frames_are_handed_out_first() -> None:
    allocator = make_frames(1024)
    assert [int(_allocate(allocator, 0)) for _ in range(10)] == list(range(10))


@pytest.mark.parametrize("total", [0, -1, 1 << 31])
def test_impossible_sizes(total: int) -> None:
    with pytest.raises(InputError, match="expected 1 to"):
        make_frames(total)
