"""Fidelity: does the model in the box answer as well with futures as without?"""
