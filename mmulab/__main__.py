"""`python -m mmulab` is the command `mmulab`."""

from mmulab.commands.main import main

if __name__ == "__main__":
    main()
