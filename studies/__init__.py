"""Studies: many runs of one kind, whatever is varied between them, and what lasts of them.

study.py        what a study file says: its axes, values.py, and derive.py
points.py       from a study to its runs; calls.py: what a run is, of compare, run or mrc
engines.py      who makes the runs, on this machine; cluster.py: on others
store.py        the folder that keeps their rows, which rows.py makes of results
sweep.py        all of it together
diff.py         what changed between two studies; merge.py: several as one
"""
