"""Dialects: the tool-call formats of model families, recognised token by token and rendered for injection."""

from __future__ import annotations

from asyncfc.gpu_engine.dialects.detect import FAMILY_NAMES
from asyncfc.gpu_engine.dialects.dialect import Dialect
from asyncfc.gpu_engine.dialects.parts import (
    AnsweredCall,
    Arguments,
    Malformed,
    Part,
    Sealed,
    Text,
    Thought,
)
from asyncfc.gpu_engine.dialects.reader import Reader

__all__ = [
    "FAMILY_NAMES",
    "AnsweredCall",
    "Arguments",
    "Dialect",
    "Malformed",
    "Part",
    "Reader",
    "Sealed",
    "Text",
    "Thought",
]
