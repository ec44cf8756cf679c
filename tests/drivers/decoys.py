"""A user's folder whose files have names that mmulab uses inside itself."""

from __future__ import annotations

from pathlib import Path

FILES = ("cli.py", "plots.py", "mmu.py", "api.py", "coursework.py")
FOLDERS = ("workloads", "commands", "presets", "services")

_SAYS = 'print("decoy:", __name__)\nraise SystemExit(3)\n'


def lay(folder: Path) -> Path:
    """Files and packages that say so and end the program, with exit code 3, when imported."""
    for name in FILES:
        (folder / name).write_text(_SAYS)
    for name in FOLDERS:
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(_SAYS)
    return folder
