"""What each adapter costs and gains, against the same framework without asyncfc, on real time.

`python -m benchmarks.adapters --json`. Models are canned: replies are made beforehand, and nothing is judged.
"""
