"""What the decode engine gains where conversations wait for tools, and that it stays exact meanwhile.

`python -m benchmarks.engine --json`. Weights are random: speed depends on the shapes alone. All sides decode
the same kind of conversations, greedily, 16 at a time, while more are waiting; a given share of the living
conversations waits for a tool at any time. Counted are the sampled tokens that belong to conversations.
"""
