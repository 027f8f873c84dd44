"""`manage.py bench`: which benchmarks there are, what each runs on, and how their figures are shown.

Each runs in a process of its own, on a database made for it and servers that are thrown away, one after the other:
none sees what another left behind, in a table or in memory. What a benchmark measures is told beside its code,
in `<app>/benchmarks/`.
"""
