"""Measurements of asyncfc. Each prints one JSON object as its last line when asked with `--json`."""
