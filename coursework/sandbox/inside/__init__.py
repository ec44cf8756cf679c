"""What runs in the child: it locks itself up and then runs a student's file.

The child does not import mmulab: this folder alone is on its path (see `main`), next to the
standard library, NumPy and numba, so that it can be locked out of everything else. Imports
in here are relative, and none goes outside.
"""
