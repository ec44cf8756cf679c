"""`python -m mmulab` is the command `mmulab`."""

from __future__ import annotations

import sys

from mmulab.commands import signals


def main() -> None:
    """Runs the command; heeds signals from the start, before what it needs is imported."""
    try:
        signals.heed()
        from mmulab.commands.main import main as run

        signals.check()
        run()
    except KeyboardInterrupt:
        sys.stderr.write(f"mmulab: {signals.told()}\n")
        sys.exit(1)
    finally:
        signals.end()


if __name__ == "__main__":
    main()
