"""Interval sampling: a long trace estimated from short parts of it, with confidence intervals.

Only units of measurement, and what goes before each to warm the hardware up, are simulated access
by access; they are chosen systematically (`smarts`) or from clusters of alike intervals
(`simpoint`). Of what lies between, everything that changes page tables is run, so that what first
touches of memory take is known, not estimated.
"""
