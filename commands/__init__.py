"""The commands of `mmulab`, one file each; what several share in values.py and options.py.

Each imports what it needs when it runs, so that `mmulab --help` is instant.
"""
