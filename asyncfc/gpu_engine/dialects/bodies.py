"""Readers of the bodies of call regions, one per way of writing them."""

from __future__ import annotations

import re

from asyncfc.gpu_engine.dialects.called import Called, Unreadable
from asyncfc.gpu_engine.dialects.json_calls import json_arguments, json_calls, unmarked_json_calls
from asyncfc.gpu_engine.dialects.pythonic import pythonic_calls, unmarked_pythonic_calls
from asyncfc.gpu_engine.dialects.scanner import Region
from asyncfc.gpu_engine.dialects.tagged import Types, gemma_calls, pair_calls, xml_calls

_BAR, _BLANK = "\N{FULLWIDTH VERTICAL LINE}", "\N{LOWER ONE EIGHTH BLOCK}"


def deepseek(words: str) -> str:
    """Return a special token as DeepSeek spells them, with look-alikes of bar and blank."""
    return f"<{_BAR}{words.replace(' ', _BLANK)}{_BAR}>"


DEEPSEEK_SEPARATOR = deepseek("tool sep")
_FENCED = re.compile(r"([^\n{]+)\n```json\n(.*?)(?:\n```)?\s*", re.DOTALL)


def read_json(region: Region, _types: Types) -> list[Called]:
    """Hermes and Qwen: an object with name and arguments."""
    return json_calls(region.body)


def read_xml(region: Region, types: Types) -> list[Called]:
    """Qwen 3.5: `<function=name>` and `<parameter=key>`."""
    return xml_calls(region.body, types)


def read_pairs(region: Region, types: Types) -> list[Called]:
    """GLM: a name, then keys and values in tags."""
    return pair_calls(region.body, types)


def read_gemma(region: Region, _types: Types) -> list[Called]:
    """Gemma 4: `call:name{key:value}`."""
    return gemma_calls(region.body)


def read_llama(region: Region, _types: Types) -> list[Called]:
    """Llama 3: JSON without delimiters, or behind a tag."""
    return json_calls(region.body) if "python_tag" in region.opening else unmarked_json_calls(region.body)


def read_pythonic(region: Region, _types: Types) -> list[Called]:
    """Llama 4, LFM2: a Python list of calls."""
    marked = region.opening.strip()
    return pythonic_calls(region.body) if marked else unmarked_pythonic_calls(region.body)


def read_mistral(region: Region, _types: Types) -> list[Called]:
    """Mistral: an array of objects, or a name and its arguments."""
    body = region.body.strip()
    if body.startswith(("[", "{")):
        return json_calls(body)
    name, mark, arguments = body.partition("[ARGS]")
    if not mark:  # some write the arguments right behind the name
        name, mark, arguments = body.partition("{")
        arguments = mark + arguments
    return [json_arguments(arguments, name.partition("[CALL_ID]")[0].strip())]


def read_deepseek(region: Region, _types: Types) -> list[Called]:
    """DeepSeek: a name and its arguments, in V3 and R1 in a fence of Markdown."""
    name, mark, arguments = region.body.partition(DEEPSEEK_SEPARATOR)
    fenced = _FENCED.fullmatch(arguments)
    if fenced is not None:  # V3 and R1: what is called comes first, and it is always a function
        name, arguments = fenced.groups()
    if not mark or not name.strip():
        raise Unreadable(
            f"expected the name of the tool, {DEEPSEEK_SEPARATOR}, and the arguments", name.strip() or None
        )
    return [json_arguments(arguments, name.strip())]


def read_named(region: Region, _types: Types) -> list[Called]:
    """Harmony: arguments only; the header has the name."""
    return [json_arguments(region.body, region.captured["name"])]
