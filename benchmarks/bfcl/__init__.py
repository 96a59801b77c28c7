"""Replay of BFCL multi-turn trajectories through the unmodified API classes: `python -m benchmarks.bfcl`.

Every case runs twice in one process on fresh instances: one call after the other, and through a
session with earlier results passed as handles. Results, call by call, and the whole final state must
be the same; the second run must be faster.
"""
