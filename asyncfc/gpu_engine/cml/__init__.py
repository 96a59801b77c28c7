"""CML: AsyncLM's in-context protocol. Calls, traps and interrupts in one long turn of the model.

    [CALL] c1 [HEAD] get_x(key="abc") [END]     the model calls, and goes on
    [TRAP][END]                                 the model waits
    [INTR] c1 [HEAD] value [END]                the runtime tells; the model only reads

Grammar and rules: arXiv 2412.07017.
"""

from __future__ import annotations
