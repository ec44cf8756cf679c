"""Runs the command from a checkout: `python cli.py ...` is `mmulab ...`."""

from __future__ import annotations

from pathlib import Path

import mmulab

# Where nothing is installed, the package's folders lie beside this file.
mmulab.__path__.append(str(Path(__file__).parent))

from mmulab.commands.main import main  # noqa: E402

if __name__ == "__main__":
    main()
