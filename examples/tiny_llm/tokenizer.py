"""The tokenizer and the chat template: scaffold pieces are tokens, everything else is bytes.

Ids and values are read byte by byte, whatever stands around them: every piece of the scaffold holds a
character that no id has (a space, a quote, a bracket, a line break), and a tokenizer without merges
does the rest. So copying a value is copying bytes, which a small model learns to do exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from examples.tiny_llm.language import FIELDS, HEADS, MAX_STEPS, TOOLS

Which = Literal["first", "second"]

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<tool_call>",
    "</tool_call>",
    "<tool_response>",
    "</tool_response>",
)
CML = ("[CALL]", "[HEAD]", "[END]", "[TRAP]", "[INTR]")

TEMPLATE = """\
{%- macro text(content) -%}
  {%- if content is string -%}
    {{- content -}}
  {%- elif content -%}
    {%- for part in content -%}{{- part.text -}}{%- endfor -%}
  {%- endif -%}
{%- endmacro -%}
{%- for message in messages -%}
  {%- if message.role == 'tool' -%}
    {{- '<|im_start|>user\\n' if loop.first or loop.previtem.role != 'tool' else '\\n' -}}
    {{- '<tool_response>\\n' + text(message.content) + '\\n</tool_response>' -}}
    {{- '<|im_end|>\\n' if loop.last or loop.nextitem.role != 'tool' -}}
  {%- else -%}
    {%- set said = text(message.content) -%}
    {{- '<|im_start|>' + message.role + '\\n' + said -}}
    {%- for call in message.tool_calls or [] -%}
      {%- set function = call.function if call.function is defined else call -%}
      {{- '\\n' if said or not loop.first -}}
      {{- '<tool_call>\\n{"name": ' + function.name | tojson + ', "arguments": ' -}}
      {{- function.arguments if function.arguments is string else function.arguments | tojson -}}
      {{- '}\\n</tool_call>' -}}
    {%- endfor -%}
    {{- '<|im_end|>\\n' -}}
  {%- endif -%}
{%- endfor -%}
{{- '<|im_start|>assistant\\n' if add_generation_prompt -}}
"""
"""Turns as Qwen writes them. Tools are not rendered: the models know theirs, and contexts stay short."""

RESPONSE: Mapping[str, Any] = {
    "start_anchor": "<|im_start|>assistant\n",
    "defaults": {"role": "assistant"},
    "fields": {
        "tool_calls": {
            "open_pattern": r"\s*<tool_call>\s*",
            "close": "</tool_call>",
            "repeats": True,
            "content": "json",
            "transform": {"type": "function", "function": "{content}"},
        },
        "content": {"close_pattern": r"\s*(?:<\|im_end\|>|<\|endoftext\|>)", "content": "text"},
    },
}
"""How a turn of the assistant is read: a Hermes `response_template`."""


def pieces(which: Which) -> list[str]:
    """Return the pieces of the scaffold that are tokens, sorted."""
    tools = [tool for tool in TOOLS.values() if which == "second" or not tool.gives_object]
    found = {"user\n", "assistant\n", "system\n", "Tell me ", ", ", ".\n", '{"name": "', '", "arguments": {"'}
    found |= {'"}}\n', '": "', '", "', '": ["', '"]}}\n'}
    for number in range(1, MAX_STEPS + 1):
        found |= {
            f"{number}. ",
            f"({number})",
            f"result {number}",
            f"Step {number}: ",
            f'{{"step": "{number}", ',
        }
    for tool in tools:
        found |= set(tool.phrase)
        found.add(f'{{"name": "{tool.name}", "arguments": ')
        found.add(f'"{tool.parameters[0]}": "')
        found |= {f'", "{parameter}": "' for parameter in tool.parameters[1:]}
    if which == "second":
        found |= {head for head in HEADS.values() if head} | {"$this_"}
        found |= {f"the {field} of " for field in FIELDS}
        for number in range(1, MAX_STEPS + 1):
            found |= {f" c{number} ", f"=c{number}", f'(step="{number}'}
        found |= {f" {tool.name}" for tool in tools} | {'="', ") ", '") '}
        found |= {f'", {parameter}' for tool in tools for parameter in tool.parameters}
        found |= {f", {parameter}" for tool in tools for parameter in tool.parameters[1:]}
        found |= {'{"id": "', '", "size": "', '{"id":"', '","size":"', '"}'}
    return sorted(found)


def build(which: Which) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a model, made from nothing but the lists of this module."""
    specials = [*SPECIAL, *(CML if which == "second" else ())]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {text: number for number, text in enumerate([*specials, *alphabet])}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in specials])
    backend.add_tokens([AddedToken(text, normalized=False) for text in pieces(which)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token="<|im_end|>",  # noqa: S106 (the name of a token, no secret)
        pad_token="<|endoftext|>",  # noqa: S106
        additional_special_tokens=[text for text in specials if text not in ("<|im_end|>", "<|endoftext|>")],
        chat_template=TEMPLATE,
        response_template=dict(RESPONSE),
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
        model_input_names=["input_ids", "attention_mask"],
    )
