"""Coursework: problems that mmulab sets each student differently, solves and grades."""
