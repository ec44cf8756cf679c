"""Shadow paging."""

from mmulab.mmu.techniques.shadow.technique import TECHNIQUE

__all__ = ["TECHNIQUE"]
