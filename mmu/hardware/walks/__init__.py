"""Page walks, a file each: what hardware does on a TLB miss.

    forms             the bits of a table's entries, and what they mean to a walker
    radix             the one loop over the levels of a radix table of any form
    one_dimensional   CR3 -> leaf
    owned             the same, the owner of each frame compared
    base_and_bound    the same in memory that lies in one piece: a base is added
    two_dimensional   the same, where each table and the page are located by a nested walk
    one_or_two        one or the other, by what is in use
    flat              a walk in two dimensions over a nested table of one level
    flattened         the same over tables whose pairs of levels are merged
    direct_segment    a walk in two dimensions, or one, or none, beside segments
    pom_tlb           a walk in two dimensions behind a TLB in memory
    elastic_cuckoo    hashed tables, probed in parallel; its host's half: cuckoo_host; which
                      probes a step needs: cuckoo_walk_caches
    ranges            a walk in two dimensions, and ranges beside the last TLB
    segments          ranges that are translated by an addition
    second_stage      what RISC-V and Arm have otherwise below a guest's table
    riscv, arm        Sv39 to Sv57 and their x4 forms; stage 1 and stage 2
    sites             which reference of a walk is which
    walk              what a walk is to the run loop

A technique names its walk; the run loop is compiled once for each.
"""
