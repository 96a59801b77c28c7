"""Simulation: the real scheduler on virtual time, under limits.

`programs` draws graphs of calls and says how fast they could be, `runs` puts them through sessions;
`agents` lets many agents come and go on one runtime; `plot` draws what became of them.
"""
