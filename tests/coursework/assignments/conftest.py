"""What a student gets of every assignment."""

from __future__ import annotations

from pathlib import Path

import pytest
from drivers.coursework import NAMES, SEED

from mmulab.coursework import grading


@pytest.fixture(scope="module")
def handed_out(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """What student ada gets, by assignment."""
    root = tmp_path_factory.mktemp("handed-out")
    for name in NAMES:
        grading.make(name, {"ada": root / name}, SEED)
    return {name: root / name for name in NAMES}
