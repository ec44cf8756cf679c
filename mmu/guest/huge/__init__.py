"""Huge pages of the guest: when its kernel makes 2 MiB of 512 pages, and takes them apart again.

    region    what a region of 2 MiB holds, and the promotion itself
    threads   timers and threads: who is awake, when the next wakes up
    linux     Linux's khugepaged
    ingens    Ingens: promotion by use, and fairly
    hawkeye   HawkEye: promotion of what is used most
    recovery  HawkEye: pages of zeros are given back
    build     the state of a policy

Which regions a policy is for, and what a first touch has to do with it, is in `guest.regions` and
`guest.zeroed`. A policy is linked into `VM.ops` as the guest's timer; without one nothing of this
is compiled. All is done to the guest's tables through the technique's hooks, as any other change.
"""
