"""Two small Llama models of our own, and the task language that they speak: a run needs no download."""
