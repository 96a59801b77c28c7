"""The side that faces the model: what it is told, and when."""
