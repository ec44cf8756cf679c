"""Page walks, a file each: what hardware does on a TLB miss.

    forms             the bits of a table's entries, and what they mean to a walker
    radix             the one loop over the levels of a radix table of any form
    one_dimensional   CR3 -> leaf
    base_and_bound    the same in memory that lies in one piece: a base is added
    two_dimensional   the same, where each table and the page are located by a nested walk
    flat              a walk in two dimensions over a nested table of one level
    flattened         the same over tables whose pairs of levels are merged
    direct_segment    a walk in two dimensions, or one, or none, beside segments
    pom_tlb           a walk in two dimensions behind a TLB in memory
    elastic_cuckoo    hashed tables, probed in parallel; its host's half: cuckoo_host; which
                      probes a step needs: cuckoo_walk_caches
    segments          ranges that are translated by an addition
    sites             which reference of a walk is which
    walk              what a walk is to the run loop

A technique names its walk; the run loop is compiled once for each.
"""
