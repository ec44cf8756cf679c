"""Probes: what the machine that this runs on does, measured, and set against what is simulated.

facts, memory, timing      the machine, its memory as pages of a size, and how time is taken
clock, chase, updates,     one kind of probe each
kernel_events
knees                      where a curve of latencies rises
calibration, findings      all probes, and what they say of the processor; a preset of that
fitting                    which technique the walks of this machine look like
replay, validation         the generators' accesses for real, beside what is predicted
counters                   what `perf stat` counted, beside what is simulated
"""
