# ruff: noqa: E501 - white space is part of what chat templates write: their lines cannot be broken
"""Small tokenizers and chat templates in the manner of the families, for the tests of dialects."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from asyncfc.gpu_engine.dialects import Dialect
from asyncfc.gpu_engine.dialects.bodies import deepseek

BAD_MERGES = [
    '>{"',
    ']["',
    '"}',
    "</",
    "}}\n<",
    '{"name',
    "tool_call",
    "><",
    "]\n",
    "[TOOL",
    "\n\n",
    "<think",
]
"""Pieces that fall across delimiters."""


def byte_level(
    special: Sequence[str], ordinary: Sequence[str] = (), *, merges: Sequence[str] = BAD_MERGES
) -> PreTrainedTokenizerFast:
    """A tokenizer of bytes with a few unhelpful merges; `ordinary` are added tokens that are not special."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = list(alphabet)
    pairs: list[tuple[str, str]] = []
    for merge in merges:
        piece = "".join(_as_bytes(merge))
        for size in range(2, len(piece) + 1):
            pair = (piece[: size - 1], piece[size - 1])
            if pair not in pairs:
                pairs.append(pair)
                words.append(piece[:size])
    words = list(dict.fromkeys(words))
    backend = Tokenizer(models.BPE(vocab={word: index for index, word in enumerate(words)}, merges=pairs))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return _with(backend, special, ordinary)


def sentence_piece(special: Sequence[str], ordinary: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A tokenizer that puts a space in front of a text and falls back to bytes, as those of Llama 2 and Mistral."""
    words = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁"]
    words += [chr(code) for code in range(33, 127)]
    pairs = [("▁", letter) for letter in "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    words += ["".join(pair) for pair in pairs]
    backend = Tokenizer(
        models.BPE(
            vocab={word: index for index, word in enumerate(words)},
            merges=pairs,
            unk_token="<unk>",
            byte_fallback=True,
            fuse_unk=True,
        )
    )
    backend.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="first", split=False)
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return _with(backend, special, ordinary)


def _as_bytes(text: str) -> list[str]:
    [(shown, _)] = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return list(shown)


def _with(backend: Tokenizer, special: Sequence[str], ordinary: Sequence[str]) -> PreTrainedTokenizerFast:
    backend.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    backend.add_tokens([AddedToken(token, special=False, normalized=False) for token in ordinary])
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token=special[0], bos_token=special[1])


HERMES = """\
{%- if messages[0].role == 'system' or tools %}<|im_start|>system
{{ messages[0].content if messages[0].role == 'system' else '' }}
{%- if tools %}
# Tools
<tools>{% for tool in tools %}
{{ tool | tojson }}{% endfor %}
</tools>
Write <tool_call>
{"name": <name>, "arguments": <object>}
</tool_call>
{%- endif %}<|im_end|>
{% endif %}
{%- for message in messages %}
{%- if message.role == 'user' %}<|im_start|>user
{{ message.content }}<|im_end|>
{% elif message.role == 'assistant' %}<|im_start|>assistant
{% if loop.last or message.reasoning_content %}<think>
{{ message.reasoning_content or '' }}
</think>

{% endif %}
{{- message.content or '' }}
{%- for call in message.tool_calls or [] %}
{%- if not loop.first or message.content %}
{% endif %}<tool_call>
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}}
</tool_call>{% endfor %}<|im_end|>
{% elif message.role == 'tool' %}
{%- if messages[loop.index0 - 1].role != 'tool' %}<|im_start|>user{% endif %}
<tool_response>
{{ message.content }}
</tool_response>
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}<|im_end|>
{% endif %}{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
"""Qwen 3: an empty thought in the last turn only, results of one turn together in a user turn."""

QWEN_XML = """\
{%- for message in messages %}
{%- if message.role in ['user', 'system'] %}<|im_start|>{{ message.role }}
{{ message.content | trim }}<|im_end|>
{% elif message.role == 'assistant' %}<|im_start|>assistant
<think>
{{ message.reasoning_content or '' }}
</think>

{{ message.content }}
{%- for call in message.tool_calls or [] %}
<tool_call>
<function={{ call.function.name }}>
{% for key, value in call.function.arguments | items %}<parameter={{ key }}>
{{ value if value is string else value | tojson }}
</parameter>
{% endfor %}</function>
</tool_call>{% endfor %}<|im_end|>
{% elif message.role == 'tool' %}
{%- if messages[loop.index0 - 1].role != 'tool' %}<|im_start|>user{% endif %}
<tool_response>
{{ message.content | trim }}
</tool_response>
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}<|im_end|>
{% endif %}{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
<think>
{% endif %}"""

LLAMA3 = """\
{{ bos_token }}
{%- for message in messages %}
{%- if message.tool_calls %}
{%- if message.tool_calls | length != 1 %}{{ raise_exception('one call at a time') }}{% endif -%}
<|start_header_id|>assistant<|end_header_id|>

{"name": "{{ message.tool_calls[0].function.name }}", "parameters": {{ message.tool_calls[0].function.arguments | tojson }}}<|eot_id|>
{%- elif message.role == 'tool' %}<|start_header_id|>ipython<|end_header_id|>

{{ message.content | tojson }}<|eot_id|>
{%- else %}<|start_header_id|>{{ message.role }}<|end_header_id|>

{{ message.content | trim }}<|eot_id|>
{%- endif %}{% endfor %}
{%- if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

{% endif %}"""

PYTHONIC = """\
{{ bos_token }}
{%- for message in messages %}<|header_start|>{{ 'ipython' if message.role == 'tool' else message.role }}<|header_end|>

{% if message.tool_calls %}<|python_start|>[
{%- for call in message.tool_calls %}{{ call.function.name }}(
{%- for key, value in call.function.arguments | items %}{{ key }}={{ value | tojson }}{{ ', ' if not loop.last }}{% endfor %})
{{- ', ' if not loop.last }}{% endfor %}]<|python_end|>{% else %}{{ message.content }}{% endif %}<|eot|>
{%- endfor %}
{%- if add_generation_prompt %}<|header_start|>assistant<|header_end|>

{% endif %}"""

MISTRAL_OLD = """\
{{ bos_token }}
{%- for message in messages %}
{%- if message.role == 'user' %}
{%- if tools and loop.last %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}[INST]{{ message.content }}[/INST]
{%- elif message.role == 'system' %}[INST]{{ message.content }}[/INST]
{%- elif message.tool_calls %}[TOOL_CALLS][
{%- for call in message.tool_calls %}
{%- if call.id | length != 9 %}{{ raise_exception('ids have 9 characters') }}{% endif -%}
{"name": "{{ call.function.name }}", "arguments": {{ call.function.arguments | tojson }}, "id": "{{ call.id }}"}
{{- ', ' if not loop.last }}{% endfor %}]{{ eos_token }}
{%- elif message.role == 'assistant' %} {{ message.content | trim }}{{ eos_token }}
{%- elif message.role == 'tool' %}[TOOL_RESULTS]{"content": {{ message.content | tojson }}, "call_id": "{{ message.tool_call_id }}"}[/TOOL_RESULTS]
{%- endif %}{% endfor %}"""

MISTRAL_NEW = """\
{{ bos_token }}
{%- for message in messages %}
{%- if message.role == 'user' %}[INST]{{ message.content }}[/INST]
{%- elif message.role == 'system' %}[SYSTEM_PROMPT]{{ message.content }}[/SYSTEM_PROMPT]
{%- elif message.role == 'assistant' %}{{ message.content }}
{%- for call in message.tool_calls or [] %}[TOOL_CALLS]{{ call.function.name }}[ARGS]{{ call.function.arguments | tojson }}
{%- endfor %}{{ eos_token }}
{%- elif message.role == 'tool' %}[TOOL_RESULTS]{{ message.content }}[/TOOL_RESULTS]
{%- endif %}{% endfor %}"""

_D = {name: deepseek(name) for name in (
    "begin of sentence", "end of sentence", "User", "Assistant", "tool calls begin", "tool calls end",
    "tool call begin", "tool call end", "tool sep", "tool outputs begin", "tool outputs end",
    "tool output begin", "tool output end",
)}  # fmt: skip

DEEPSEEK = """\
{{ bos_token }}
{%- for message in messages %}
{%- if message.role == 'system' %}{{ message.content }}
{%- elif message.role == 'user' %}(User){{ message.content }}
{%- elif message.role == 'assistant' and message.content is none %}(Assistant)(tool calls begin)
{%- for call in message.tool_calls %}{{ '\n' if not loop.first }}(tool call begin)function(tool sep){{ call.function.name }}
```json
{{ call.function.arguments + '\n' }}```(tool call end){% endfor %}(tool calls end){{ eos_token }}
{%- elif message.role == 'assistant' %}(Assistant){{ message.content }}{{ eos_token }}
{%- elif message.role == 'tool' %}
{%- if messages[loop.index0 - 1].role != 'tool' %}(tool outputs begin){% endif -%}
(tool output begin){{ message.content }}(tool output end)
{%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}(tool outputs end){% endif %}
{%- endif %}{% endfor %}
{%- if add_generation_prompt and messages[-1].role != 'tool' %}(Assistant)<think>
{% endif %}"""
for _name, _token in _D.items():
    DEEPSEEK = DEEPSEEK.replace(f"({_name})", _token)

HARMONY = """\
<|start|>system<|message|>You are a model.<|end|>
{%- set last = namespace(name=none) %}
{%- for message in messages %}
{%- if message.role in ['system', 'developer'] %}<|start|>developer<|message|>{{ message.content }}<|end|>
{%- elif message.role == 'user' %}<|start|>user<|message|>{{ message.content }}<|end|>
{%- elif message.tool_calls %}
{%- set last.name = message.tool_calls[0].function.name -%}
<|start|>assistant to=functions.{{ last.name }}<|channel|>commentary json<|message|>{{ message.tool_calls[0].function.arguments | tojson }}<|call|>
{%- elif message.role == 'assistant' %}<|start|>assistant<|channel|>final<|message|>{{ message.content }}{{ '<|return|>' if loop.last and not add_generation_prompt else '<|end|>' }}
{%- elif message.role == 'tool' %}<|start|>functions.{{ last.name }} to=assistant<|channel|>commentary<|message|>{{ message.content | tojson }}<|end|>
{%- endif %}{% endfor %}
{%- if add_generation_prompt %}<|start|>assistant{% endif %}"""

GLM = """\
[gMASK]<sop>
{%- for message in messages %}
{%- if message.role in ['user', 'system'] %}<|{{ message.role }}|>
{{ message.content }}
{%- elif message.role == 'assistant' %}<|assistant|>
<think></think>
{%- if message.content %}
{{ message.content }}{% endif %}
{%- for call in message.tool_calls or [] %}
<tool_call>{{ call.function.name }}
{% for key, value in call.function.arguments | items %}<arg_key>{{ key }}</arg_key>
<arg_value>{{ value if value is string else value | tojson }}</arg_value>
{% endfor %}</tool_call>{% endfor %}
{%- elif message.role == 'tool' %}
{%- if messages[loop.index0 - 1].role != 'tool' %}<|observation|>{% endif %}
<tool_response>
{{ message.content }}
</tool_response>
{%- endif %}{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""

GEMMA4 = """\
{%- macro written(value) %}
{%- if value is string %}<|"|>{{ value }}<|"|>
{%- elif value is mapping %}{
{%- for key, each in value | dictsort %}{{ key }}:{{ written(each) }}{{ ',' if not loop.last }}{% endfor %}}
{%- elif value is sequence %}[
{%- for each in value %}{{ written(each) }}{{ ',' if not loop.last }}{% endfor %}]
{%- else %}{{ value | tojson }}{% endif %}
{%- endmacro -%}
{{ bos_token }}
{%- set last = namespace(role=none) %}
{%- for message in messages %}
{%- if message.role != 'tool' %}
{%- if last.role != 'tool' or message.role != 'assistant' %}{{ '<turn|>\n' if last.role == 'tool' }}<|turn>{{ 'model' if message.role == 'assistant' else message.role }}
{% endif %}
{%- for call in message.tool_calls or [] %}<|tool_call>call:{{ call.function.name }}{{ written(call.function.arguments) }}<tool_call|>{% endfor %}
{%- if not message.tool_calls %}{{ message.content | trim }}<turn|>
{% elif loop.last %}<|tool_response>{% endif %}
{%- else %}<|tool_response>response:{{ message.name }}{value:{{ written(message.content) }}}<tool_response|>
{%- endif %}
{%- set last.role = message.role %}
{%- endfor %}
{%- if add_generation_prompt and last.role != 'tool' %}<|turn>model
{% endif %}"""

GEMMA = """\
{{ bos_token }}
{%- for message in messages %}
{%- if (message.role == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif -%}
<start_of_turn>{{ 'model' if message.role == 'assistant' else message.role }}
{{ message.content | trim }}<end_of_turn>
{% endfor %}
{%- if add_generation_prompt %}<start_of_turn>model
{% endif %}"""

TEMPLATES = {
    "hermes": HERMES,
    "qwen-xml": QWEN_XML,
    "llama3": LLAMA3,
    "pythonic": PYTHONIC,
    "mistral": MISTRAL_OLD,
    "mistral-new": MISTRAL_NEW,
    "deepseek": DEEPSEEK,
    "harmony": HARMONY,
    "glm": GLM,
    "gemma4": GEMMA4,
    "gemma": GEMMA,
}
"""By family; a name behind a hyphen that is no family's is a variant of the first part."""

_CHATML = ("<|im_end|>", "<|endoftext|>", "<|im_start|>")
_TAGS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")
_MISTRAL = ("[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]", "[TOOL_RESULTS]",
            "[/TOOL_RESULTS]", "[ARGS]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[THINK]", "[/THINK]")  # fmt: skip
TOKENS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "hermes": (_CHATML, _TAGS),
    "qwen-xml": (_CHATML, _TAGS),
    "llama3": (
        ("<|eot_id|>", "<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|python_tag|>"),
        (),
    ),
    "pythonic": (
        ("<|eot|>", "<|begin_of_text|>", "<|header_start|>", "<|header_end|>", "<|python_start|>", "<|python_end|>"),
        (),
    ),
    "mistral": (("</s>", "<s>", *_MISTRAL), ()),
    "mistral-new": (("</s>", "<s>", *_MISTRAL), ()),
    "deepseek": ((_D["end of sentence"], _D["begin of sentence"], *_D.values()), ("<think>", "</think>")),
    "harmony": (
        ("<|return|>", "<|startoftext|>", "<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|call|>", "<|constrain|>"),
        (),
    ),
    "glm": (
        ("<|endoftext|>", "<sop>", "[gMASK]", "<|user|>", "<|assistant|>", "<|system|>", "<|observation|>"),
        (*_TAGS, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>"),
    ),
    "gemma4": (
        ("<turn|>", "<bos>", "<eos>", "<|turn>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>",
         "<|channel>", "<channel|>", '<|"|>'),
        (),
    ),
    "gemma": (("<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"), ()),
}  # fmt: skip


@cache
def tokenizer(kind: str, *, sentence: bool = False) -> PreTrainedTokenizerFast:
    special, ordinary = TOKENS[kind]
    special = tuple(dict.fromkeys(special))
    made = sentence_piece(special, ordinary) if sentence else byte_level(special, ordinary)
    made.chat_template = TEMPLATES[kind]
    return made


@cache
def dialect(kind: str, *, sentence: bool = False) -> Dialect:
    return Dialect(tokenizer(kind, sentence=sentence))


def text_of(tokenizer: Any, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False))
