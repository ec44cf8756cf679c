"""Runs the command from a checkout: `python cli.py ...` is `mmulab ...`."""

from __future__ import annotations

from mmulab.__main__ import main

if __name__ == "__main__":
    main()
