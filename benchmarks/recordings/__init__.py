"""Speech with known speakers, put together from public packages by name and exact version.

``fetch.py`` is the command. What it makes, and what each set is for, stands in ``benchmarks/README.md``.
"""
