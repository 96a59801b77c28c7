"""What the protocol between model and session costs and gains, on virtual time, against loops without it.

`python -m benchmarks.protocol --json`. A message of the model takes one second, a tool `q` of that. Models
are scripted, tools work as long as they are told, and both sides run for real on the same clock.
"""
