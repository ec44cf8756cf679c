"""Runs the command from a checkout: `python cli.py ...` is `mmulab ...`."""

from __future__ import annotations

from mmulab.commands.main import main

if __name__ == "__main__":
    main()
