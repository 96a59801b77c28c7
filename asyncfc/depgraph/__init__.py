"""What may run when: labels, effects, claims and the graph. Nothing in here runs a tool."""
