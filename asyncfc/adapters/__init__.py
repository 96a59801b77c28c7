"""Adapters: how asyncfc attaches to each framework and SDK."""
