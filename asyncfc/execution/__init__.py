"""The side that faces the tools: where and when work runs."""
