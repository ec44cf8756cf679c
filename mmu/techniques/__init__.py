"""Techniques, one file or folder each, and the seam through which the rest reaches them.

    seam        the hooks, with their defaults: what a technique is told, and when
    technique   what a technique says of itself
    parameters  what `name:key=value` may say
    specs       `name:key=value,...` and lists of them
    registry    which techniques there are
    reference   page tables read slowly, to check against

To add one: a file here with a `TECHNIQUE`, or a file anywhere, named by its path.
docs/extending.md goes through one.
"""
