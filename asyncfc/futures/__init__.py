"""Futures: outcomes, handles, references to them in arguments, and the values behind them."""

from __future__ import annotations

from asyncfc.futures.call import Call, parse_arguments
from asyncfc.futures.future import Future
from asyncfc.futures.handle import DEFAULT_GRAMMAR, HandleGrammar, Path, parse_path, show_path
from asyncfc.futures.mention import Reference, split_text
from asyncfc.futures.outcome import Cancelled, Failure, Outcome, Value, Withheld
from asyncfc.futures.plain import canonical_text, copy_json
from asyncfc.futures.projection import project
from asyncfc.futures.reference import Site, futures_of, scan, substitute
from asyncfc.futures.retention import Dropped, Retention
from asyncfc.futures.schema import admits_only_strings
from asyncfc.futures.store import Artifact, JsonValue, MemoryStore, Store
from asyncfc.futures.table import FutureTable, unknown_handle

__all__ = [
    "DEFAULT_GRAMMAR",
    "Artifact",
    "Call",
    "Cancelled",
    "Dropped",
    "Failure",
    "Future",
    "FutureTable",
    "HandleGrammar",
    "JsonValue",
    "MemoryStore",
    "Outcome",
    "Path",
    "Reference",
    "Retention",
    "Site",
    "Store",
    "Value",
    "Withheld",
    "admits_only_strings",
    "canonical_text",
    "copy_json",
    "futures_of",
    "parse_arguments",
    "parse_path",
    "project",
    "scan",
    "show_path",
    "split_text",
    "substitute",
    "unknown_handle",
]
