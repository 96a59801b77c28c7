"""The families of tool-call formats: how each delimits its regions, and how their bodies are read.

The dictionaries are response templates as transformers defines them. Fields of which the name begins with
`tool_call` hold calls, `thinking` holds reasoning, `content` is for the user, `foreign` is a message that
the model writes in the name of somebody else, and all others are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from transformers.utils.chat_parsing.response_templates import ResponseTemplate, load_response_template

from asyncfc.gpu_engine.dialects.bodies import (
    DEEPSEEK_SEPARATOR,
    deepseek,
    read_deepseek,
    read_gemma,
    read_json,
    read_llama,
    read_mistral,
    read_named,
    read_pairs,
    read_pythonic,
    read_xml,
)
from asyncfc.gpu_engine.dialects.called import Called
from asyncfc.gpu_engine.dialects.scanner import Region
from asyncfc.gpu_engine.dialects.tagged import Types

ReadBody: TypeAlias = Callable[[Region, Types], list[Called]]

CONTENT = "content"
FOREIGN = "foreign"
CALLS = "tool_call"
THINKING = frozenset({"thinking", "reasoning", "reasoning_content"})


@dataclass(frozen=True, slots=True)
class Family:
    """One way of writing calls.

    Attributes:
        name: what `family=` takes.
        template: delimits the regions of a turn.
        read: reads the body of a call region.
        stops: tokens that end a turn, where the vocabulary has them.
        needs: tokens that the model writes inside a turn although they occur in no delimiter as a whole.
        marks: strings of a chat template that tell the family; any of these, each with all its parts.
        models: values of `model_type` that go with it.
        open_ended: a call that has a closing delimiter may also be closed by the end of the turn.
        plain: the chat template knows no tools; calls and results are written as plain text.
    """

    name: str
    template: ResponseTemplate
    read: ReadBody
    stops: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    marks: tuple[tuple[str, ...], ...] = ()
    models: tuple[str, ...] = ()
    open_ended: bool = False
    plain: bool = False

    def closes(self, field: str | None, stop: str) -> bool:
        """Whether a token that ends the turn is also what closes a region of `field`."""
        pattern = None if field is None else self.template.fields[field].close_re
        return pattern is not None and bool(pattern.fullmatch(stop))


def _template(anchor: str, **fields: dict[str, Any]) -> ResponseTemplate:
    return load_response_template({"start_anchor_pattern": anchor, "fields": fields})


_WORDS: dict[str, Any] = {"content": "text"}
_THINK: dict[str, Any] = {"open": "<think>", "close": "</think>", "content": "text"}
_TOOL_CALL: dict[str, Any] = {"open": "<tool_call>", "close": "</tool_call>", "content": "text"}


def _calls(**delimiters: Any) -> dict[str, Any]:
    """A call region; named groups of its delimiters need a transform to name them."""
    return {"content": "text", "transform": "{content}", **delimiters}


_CHATML = r"<\|im_start\|>assistant\n?"
_CHATML_STOPS = ("<|im_end|>", "<|endoftext|>")
_RECIPIENT = r"to=(?:functions\.)?(?P<name>[^\s<]+)"
_HEADER_END = r"[^<]*(?:<\|constrain\|>[^<]*)?<\|message\|>"
_SPEAKER = r"(?:<\|start\|>assistant)?"

FAMILIES: tuple[Family, ...] = (
    Family(
        "harmony",
        _template(
            r"<\|start\|>assistant",
            thinking={
                "open_pattern": rf"{_SPEAKER}<\|channel\|>analysis(?![^<]*to=){_HEADER_END}",
                "close": "<|end|>",
            },
            content={
                "open_pattern": rf"{_SPEAKER}<\|channel\|>(?:final|commentary)(?![^<]*to=){_HEADER_END}",
                "close": ["<|end|>", "<|return|>"],
            },
            tool_calls=_calls(
                open_pattern=rf"{_SPEAKER}\s*{_RECIPIENT}\s*<\|channel\|>{_HEADER_END}"
                rf"|{_SPEAKER}<\|channel\|>[^<]*?{_RECIPIENT}{_HEADER_END}",
                close="<|call|>",
            ),
            foreign={"open_pattern": r"<\|start\|>\s*[^a\s]", "close": ["<|end|>", "<|call|>", "<|return|>"]},
        ),
        read_named,
        stops=("<|call|>", "<|return|>", "<|endoftext|>"),
        needs=("<|start|>", "<|channel|>", "<|message|>", "<|constrain|>", "<|end|>"),
        marks=(("<|channel|>", "<|message|>"),),
        models=("gpt_oss",),
    ),
    Family(
        "gemma4",
        _template(
            r"<\|turn>model\n|<tool_response\|>",
            content=_WORDS,
            thinking={"open_pattern": r"<\|channel>thought\n", "close": "<channel|>"},
            tool_calls=_calls(open="<|tool_call>", close="<tool_call|>"),
        ),
        read_gemma,
        stops=("<turn|>", "<|tool_response>", "<eos>"),
        needs=('<|"|>', "<|channel>"),
        marks=(("<|tool_call>",),),
        models=("gemma4", "gemma4_text"),
    ),
    Family(
        "deepseek",
        _template(
            f"{re.escape(deepseek('Assistant'))}|{re.escape(deepseek('tool outputs end'))}",
            content=_WORDS,
            thinking=_THINK,
            tool_calls=_calls(open=deepseek("tool call begin"), close=deepseek("tool call end")),
            wrapper={
                "open": [deepseek("tool calls begin"), deepseek("tool calls end")],
                "close_pattern": "(?=.)",
            },
        ),
        read_deepseek,
        stops=(deepseek("end of sentence"),),
        needs=(DEEPSEEK_SEPARATOR,),
        marks=((deepseek("tool call begin"),),),
        models=("deepseek_v3", "deepseek_v2"),
    ),
    Family(
        "glm",
        _template(r"<\|assistant\|>", content=_WORDS, thinking=_THINK, tool_calls=_TOOL_CALL),
        read_pairs,
        stops=("<|endoftext|>", "<|user|>", "<|observation|>"),
        needs=("<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
        marks=(("<arg_key>",),),
        models=("glm4_moe",),
    ),
    Family(
        "qwen-xml",
        _template(_CHATML, content=_WORDS, thinking=_THINK, tool_calls=_TOOL_CALL),
        read_xml,
        stops=_CHATML_STOPS,
        marks=(("<function=", "<parameter="),),
        models=("qwen3_5", "qwen3_5_moe", "qwen3_next", "nemotron_h"),
    ),
    Family(
        "hermes",
        _template(_CHATML, content=_WORDS, thinking=_THINK, tool_calls=_TOOL_CALL),
        read_json,
        stops=_CHATML_STOPS,
        marks=(("<tool_call>",),),
        models=("qwen2", "qwen2_moe", "qwen3", "qwen3_moe"),
    ),
    Family(
        "mistral",
        _template(
            r"\[/INST\]|\[/TOOL_RESULTS\]",
            content=_WORDS,
            thinking={"open": "[THINK]", "close": "[/THINK]"},
            tool_calls=_calls(open="[TOOL_CALLS]", close_pattern=r"(?=\[TOOL_CALLS\])"),
        ),
        read_mistral,
        stops=("</s>",),
        needs=("[ARGS]", "[CALL_ID]"),
        marks=(("[TOOL_CALLS]",),),
        models=("mistral", "mistral3", "ministral", "mixtral"),
        open_ended=True,
    ),
    Family(
        "pythonic",
        _template(
            rf"<\|header_start\|>assistant<\|header_end\|>\n*"
            rf"|<\|start_header_id\|>assistant<\|end_header_id\|>\n*|{_CHATML}",
            content=_WORDS,
            thinking=_THINK,
            tool_calls=_calls(
                open=["<|python_start|>", "<|tool_call_start|>"],
                close=["<|python_end|>", "<|tool_call_end|>"],
            ),
            tool_calls_unmarked=_calls(open_pattern=r"\A\s*(?=\[\s*[A-Za-z_][\w.]*\s*\()"),
        ),
        read_pythonic,
        stops=("<|eot|>", "<|eom|>", "<|eot_id|>", "<|im_end|>", "<|end_of_text|>"),
        marks=(("<|python_start|>",), ("<|tool_call_start|>",), ("<|header_start|>",)),
        models=("llama4", "llama4_text", "lfm2"),
    ),
    Family(
        "llama3",
        _template(
            r"<\|start_header_id\|>assistant<\|end_header_id\|>\n*",
            content=_WORDS,
            tool_calls=_calls(
                open_pattern=r"<\|python_tag\|>"
                r'|\A\s*(?=\{\s*(?:"(?:name|function|parameters)"\s*:|"type"\s*:\s*"function"))'
            ),
        ),
        read_llama,
        stops=("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"),
        marks=(("<|python_tag|>",), ("<|start_header_id|>", "parameters")),
    ),
    Family(
        "gemma",
        _template(r"<start_of_turn>model\n", content=_WORDS, tool_calls=_TOOL_CALL),
        read_json,
        stops=("<end_of_turn>", "<eos>"),
        marks=(("<start_of_turn>",),),
        models=("gemma", "gemma2", "gemma3", "gemma3_text"),
        plain=True,
    ),
)

EVERY_STOP = tuple(dict.fromkeys(stop for family in FAMILIES for stop in family.stops))
"""Whatever ends turns in some family, for formats that are described without saying what does."""
