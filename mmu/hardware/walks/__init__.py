"""Page walks, a file each: what hardware does on a TLB miss.

    forms             the bits of a table's entries, and what they mean to a walker
    radix             the one loop over the levels of a radix table of any form
    one_dimensional   CR3 -> leaf
    two_dimensional   the same, where each table and the page are located by a nested walk
    sites             which reference of a walk is which
    walk              what a walk is to the run loop

A technique names its walk; the run loop is compiled once for each.
"""
