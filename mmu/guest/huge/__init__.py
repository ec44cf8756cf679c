"""Huge pages of the guest: when its kernel makes 2 MiB of 512 pages, and takes them apart again.

    threads   timers and threads: who is awake, when the next wakes up
    region    what a region of 2 MiB holds, and the promotion itself
    linux     Linux's khugepaged

A policy is linked into `VM.ops` as the guest's timer; without one nothing of this is compiled. All
is done to the guest's tables through the technique's hooks, as any other change.
"""
