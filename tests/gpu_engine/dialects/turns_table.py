# ruff: noqa: E501 - a turn of the model is read best where it stands in one piece
"""Turns of the model in every family, and what is to be read in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from asyncfc.gpu_engine.dialects.bodies import deepseek

Expected: TypeAlias = tuple[str, Any]
"""("text" | "thought", words), (name of the tool, arguments), or ("malformed", part of the reason)."""


@dataclass(frozen=True)
class Turn:
    family: str
    about: str
    text: str
    parts: list[Expected]
    stop: str = ""
    prefix: str = ""
    tools: list[Mapping[str, Any]] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.family}: {self.about}"


def tool(name: str, **types: Any) -> dict[str, Any]:
    properties = {
        key: {"type": kind} if isinstance(kind, str | list) else kind for key, kind in types.items()
    }
    return {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": properties}},
    }


def _hermes(*calls: str) -> str:
    return "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in calls)


NESTED = {"a": [1, {"b": None}], "c": {"d": '}]</x>\n"', "e": -1.5e3}, "wörter": "日本 🚲 é"}
NESTED_JSON = json.dumps(NESTED, ensure_ascii=False)
_ONE = '{"name": "f", "arguments": {"x": 1}}'
_BARE = '{"name": "g", "arguments": {}}'
_BROKEN = '{"name": "f", "arguments": {x}}'

HERMES = [
    Turn(
        "hermes", "only words", "Hello < world, a<b and <tool.", [("text", "Hello < world, a<b and <tool.")]
    ),
    Turn("hermes", "nothing", "", []),
    Turn("hermes", "one call", _hermes(_ONE), [("f", {"x": 1})]),
    Turn(
        "hermes",
        "words, two calls, words",
        f"I will look.\n\n{_hermes(_ONE, _BARE)}\nDone. ",
        [("text", "I will look."), ("f", {"x": 1}), ("g", {}), ("text", "Done.")],
    ),
    Turn(
        "hermes",
        "a thought with a call in it",
        f"<think>\nMaybe {_hermes(_ONE)}?\n</think>\n\nYes.",
        [("thought", f"Maybe {_hermes(_ONE)}?"), ("text", "Yes.")],
    ),
    Turn(
        "hermes",
        "a thought that the chat template began",
        f"so be it\n</think>\n{_hermes(_ONE)}",
        [("thought", "so be it"), ("f", {"x": 1})],
        prefix="<|im_start|>assistant\n<think>\n",
    ),
    Turn(
        "hermes",
        "nested and unicode",
        _hermes(f'{{"name": "f", "arguments": {NESTED_JSON}}}'),
        [("f", NESTED)],
    ),
    Turn("hermes", "no arguments", _hermes('{"name": "f"}'), [("f", {})]),
    Turn(
        "hermes", "a handle", _hermes('{"name":"f","arguments":{"x":"$k7qz_1"}}'), [("f", {"x": "$k7qz_1"})]
    ),
    Turn(
        "hermes",
        "a bad call between good ones",
        f"{_hermes(_ONE, _BROKEN, _ONE)}\nafter",
        [("f", {"x": 1}), ("malformed", "not valid JSON"), ("f", {"x": 1}), ("text", "after")],
    ),
    Turn(
        "hermes",
        "a key twice",
        _hermes(
            '{"name": "f", "arguments": {"x": 1, "x": 2}}', '{"name": "f", "arguments": {}, "name": "g"}'
        ),
        [("malformed", "'x' twice"), ("malformed", "'name' twice")],
    ),
    Turn("hermes", "no name", _hermes('{"arguments": {}}'), [("malformed", "name")]),
    Turn("hermes", "not closed", "<tool_call>\n" + _ONE, [("malformed", "ended inside the call")]),
    Turn(
        "hermes",
        "a result that the model made up",
        "<tool_response>\n42\n</tool_response>",
        [("text", "<tool_response>\n42\n</tool_response>")],
    ),
]

_XML = "<tool_call>\n<function=f>\n{}</function>\n</tool_call>"
_P = "<parameter={}>\n{}\n</parameter>\n"
QWEN_XML = [
    Turn("qwen-xml", "no parameters", _XML.format(""), [("f", {})]),
    Turn(
        "qwen-xml",
        "values without a schema",
        "Look:\n"
        + _XML.format(_P.format("a", "text\nof two lines") + _P.format("n", "3") + _P.format("l", '["x"]')),
        [("text", "Look:"), ("f", {"a": "text\nof two lines", "n": 3, "l": ["x"]})],
    ),
    Turn(
        "qwen-xml",
        "values with one",
        _XML.format(
            "".join(
                _P.format(*pair)
                for pair in [
                    ("s", "12"),
                    ("n", "12"),
                    ("b", "True"),
                    ("o", "None"),
                    ("h", "$k7qz_1"),
                    ("m", "$k7qz_1.items[0]"),
                ]
            )
        ),
        [("f", {"s": "12", "n": 12, "b": True, "o": None, "h": "$k7qz_1", "m": "$k7qz_1.items[0]"})],
        tools=[
            tool(
                "f",
                s="string",
                n="integer",
                b="boolean",
                o=["string", "null"],
                h={"anyOf": [{"type": "integer"}, {"type": "string"}]},
                m="number",
            )
        ],
    ),
    Turn(
        "qwen-xml",
        "in a thought and after it",
        f"<think>\n{_XML.format('')}\n</think>\n\n{_XML.format('')}\n{_XML.format('')}",
        [("thought", _XML.format("")), ("f", {}), ("f", {})],
    ),
    Turn(
        "qwen-xml",
        "a parameter twice",
        _XML.format(_P.format("a", "1") * 2),
        [("malformed", "'a' is given twice")],
    ),
    Turn("qwen-xml", "a tag missing", _XML.format("<parameter=a>\n1\n"), [("malformed", "<parameter=key>")]),
    Turn(
        "qwen-xml",
        "no function",
        "<tool_call>f()</tool_call> then",
        [("malformed", "<function="), ("text", "then")],
    ),
]

LLAMA3 = [
    Turn("llama3", "words", "Sure: {x}", [("text", "Sure: {x}")]),
    Turn("llama3", "a call", '{"name": "f", "parameters": {"x": 1}}', [("f", {"x": 1})]),
    Turn(
        "llama3",
        "two calls, behind the tag",
        f'<|python_tag|>{{"name": "f", "parameters": {NESTED_JSON}}}; {{"name": "g", "parameters": {{}}}}',
        [("f", NESTED), ("g", {})],
    ),
    Turn("llama3", "with a type", '\n{"type": "function", "name": "f", "parameters": {}}', [("f", {})]),
    Turn("llama3", "an answer in JSON", '{"city": "Oslo"}', [("text", '{"city": "Oslo"}')]),
    Turn(
        "llama3",
        "an answer with a name",
        '{"name": "Oslo", "size": 3}',
        [("text", '{"name": "Oslo", "size": 3}')],
    ),
    Turn("llama3", "broken", '{"name": "f", "parameters": {"x": }}', [("malformed", "not valid JSON")]),
    Turn(
        "llama3",
        "behind words there is no unmarked call",
        'So: {"name": "f", "parameters": {}}',
        [("text", 'So: {"name": "f", "parameters": {}}')],
    ),
]

PYTHONIC = [
    Turn("pythonic", "words", "See [1] and [a](b).", [("text", "See [1] and [a](b).")]),
    Turn("pythonic", "calls", "[f(a=1, b='x'), g()]", [("f", {"a": 1, "b": "x"}), ("g", {})]),
    Turn(
        "pythonic",
        "marked, with all literals",
        '<|python_start|>[m.f(a=[1, -2.5, (3,)], d={"k": None, "w": true}, s="ä\\n🚲")]<|python_end|> so',
        [("m.f", {"a": [1, -2.5, [3]], "d": {"k": None, "w": True}, "s": "ä\n🚲"}), ("text", "so")],
    ),
    Turn(
        "pythonic",
        "handles with and without quotes",
        "[f(a=$k7qz_1, b='$k7qz_2', c=${k7qz_1.items[0].id}, d=\"it's $k7qz_3\", e=[$this_1.id])]",
        [
            (
                "f",
                {
                    "a": "$k7qz_1",
                    "b": "$k7qz_2",
                    "c": "${k7qz_1.items[0].id}",
                    "d": "it's $k7qz_3",
                    "e": ["$this_1.id"],
                },
            )
        ],
    ),
    Turn("pythonic", "a link", "[f(x)](http://y)", [("text", "[f(x)](http://y)")]),
    Turn("pythonic", "positions", "[f(1)]", [("malformed", "given by name")]),
    Turn("pythonic", "code", "[f(a=__import__('os'))]", [("malformed", "not a literal")]),
    Turn("pythonic", "broken", "[f(a=)]", [("malformed", "not a Python list")]),
    Turn("pythonic", "a name twice", "[f(a=1, a=2)]", [("malformed", "twice")]),
]

_ARRAY = (
    '[TOOL_CALLS] [{"name": "f", "arguments": {"x": 1}, "id": "abcdefghi"}, {"name": "g", "arguments": {}}]'
)
MISTRAL = [
    Turn("mistral", "words", " Hello [TOOL] box", [("text", "Hello [TOOL] box")]),
    Turn("mistral", "an array", _ARRAY, [("f", {"x": 1}), ("g", {})]),
    Turn(
        "mistral",
        "names and arguments",
        f'Look.[TOOL_CALLS]f[ARGS]{NESTED_JSON}[TOOL_CALLS]g[CALL_ID]abcdefghi[ARGS]{{}}[TOOL_CALLS]h{{"x": "[y]"}}',
        [("text", "Look."), ("f", NESTED), ("g", {}), ("h", {"x": "[y]"})],
    ),
    Turn(
        "mistral",
        "a thought",
        "[THINK]hm [TOOL_CALLS][/THINK]Yes",
        [("thought", "hm [TOOL_CALLS]"), ("text", "Yes")],
    ),
    Turn(
        "mistral",
        "a bad array",
        '[TOOL_CALLS][{"name": "f", "arguments": {}}',
        [("malformed", "does not end")],
    ),
    Turn(
        "mistral",
        "bad, then good",
        "[TOOL_CALLS]f[ARGS]{x}[TOOL_CALLS]g[ARGS]{}",
        [("malformed", "JSON"), ("g", {})],
    ),
]

_CALL, _SEP, _END = (deepseek(words) for words in ("tool call begin", "tool sep", "tool call end"))
_CALLS, _ENDS = deepseek("tool calls begin"), deepseek("tool calls end")


def _v3(name: str, arguments: str) -> str:
    return f"{_CALL}function{_SEP}{name}\n```json\n{arguments}\n```{_END}"


DEEPSEEK = [
    Turn("deepseek", "words", "a < b", [("text", "a < b")]),
    Turn(
        "deepseek",
        "two calls of V3, with words before",
        f"Look. {_CALLS}{_v3('f', NESTED_JSON)}\n{_v3('g', '{}')}{_ENDS}",
        [("text", "Look."), ("f", NESTED), ("g", {})],
    ),
    Turn("deepseek", "V3.1", f'{_CALLS}{_CALL}f{_SEP}{{"x": 1}}{_END}{_ENDS}', [("f", {"x": 1})]),
    Turn("deepseek", "a tool named function", f"{_CALL}function{_SEP}{{}}{_END}", [("function", {})]),
    Turn(
        "deepseek",
        "a thought that the chat template began",
        f"hm</think>\n\nYes. {_CALLS}{_v3('f', '{}')}{_ENDS}",
        [("thought", "hm"), ("text", "Yes."), ("f", {})],
        prefix=f"{deepseek('Assistant')}<think>\n",
    ),
    Turn("deepseek", "broken", f"{_v3('f', '{')} and on", [("malformed", "JSON"), ("text", "and on")]),
    Turn("deepseek", "no name", f"{_CALL}{{}}{_END}", [("malformed", "the name")]),
]

_H_CALL = "<|channel|>commentary to=functions.f <|constrain|>json<|message|>"
HARMONY = [
    Turn(
        "harmony",
        "a thought and the answer",
        "<|channel|>analysis<|message|>hm\n<|end|><|start|>assistant<|channel|>final<|message|>It is 3 < 4.",
        [("thought", "hm"), ("text", "It is 3 < 4.")],
        stop="<|return|>",
    ),
    Turn(
        "harmony",
        "a thought, words on the way, a call",
        "<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>commentary<|message|>I look."
        f'<|end|><|start|>assistant{_H_CALL}{{"x": 1}}',
        [("thought", "hm"), ("text", "I look."), ("f", {"x": 1})],
        stop="<|call|>",
    ),
    Turn(
        "harmony",
        "the recipient in the header's role",
        f" to=functions.f<|channel|>commentary json<|message|>{NESTED_JSON}",
        [("f", NESTED)],
        stop="<|call|>",
    ),
    Turn("harmony", "no arguments", f"{_H_CALL}", [("f", {})], stop="<|call|>"),
    Turn("harmony", "broken", f"{_H_CALL}{{x}}", [("malformed", "JSON")], stop="<|call|>"),
    Turn(
        "harmony",
        "a call that ends as an answer",
        f"{_H_CALL}{{}}",
        [("malformed", "ended inside")],
        stop="<|return|>",
    ),
    Turn(
        "harmony",
        "a result that the model made up",
        '<|channel|>analysis<|message|>hm<|end|><|start|>functions.f to=assistant<|channel|>commentary<|message|>"42"'
        "<|end|><|start|>assistant<|channel|>final<|message|>42",
        [("thought", "hm"), ("malformed", "somebody else"), ("text", "42")],
        stop="<|return|>",
    ),
]

_GLM = "<tool_call>f\n{}</tool_call>"
_KV = "<arg_key>{}</arg_key>\n<arg_value>{}</arg_value>\n"
GLM = [
    Turn("glm", "no arguments", _GLM.format(""), [("f", {})]),
    Turn(
        "glm",
        "after a thought and words",
        "\n<think>hm</think>\nLook.\n"
        + _GLM.format(_KV.format("a", " x\ny ") + _KV.format("n", "[1]"))
        + "\n"
        + _GLM.format(""),
        [("thought", "hm"), ("text", "Look."), ("f", {"a": " x\ny ", "n": [1]}), ("f", {})],
    ),
    Turn(
        "glm",
        "a handle",
        _GLM.format(_KV.format("n", "$k7qz_1")),
        [("f", {"n": "$k7qz_1"})],
        tools=[tool("f", n="integer")],
    ),
    Turn(
        "glm",
        "a string of digits",
        _GLM.format(_KV.format("s", "007")),
        [("f", {"s": "007"})],
        tools=[tool("f", s="string")],
    ),
    Turn("glm", "a key twice", _GLM.format(_KV.format("a", "1") * 2), [("malformed", "twice")]),
    Turn("glm", "a value missing", _GLM.format("<arg_key>a</arg_key>"), [("malformed", "<arg_key>")]),
    Turn("glm", "no name", "<tool_call></tool_call>", [("malformed", "name")]),
]

GEMMA4 = [
    Turn("gemma4", "words", "a <|b", [("text", "a <|b")]),
    Turn("gemma4", "no arguments", "<|tool_call>call:f{}<tool_call|>", [("f", {})]),
    Turn(
        "gemma4",
        "a thought, two calls",
        '<|channel>thought\nhm\n<channel|><|tool_call>call:f{s:<|"|>a:"b", c:1<|"|>,n:[1,-2.5],o:{k:true,z:null}}<tool_call|>'
        '<|tool_call>call:g{h:$k7qz_1,i:<|"|>$k7qz_1.a<|"|>,u:"x: y"}<tool_call|>',
        [
            ("thought", "hm"),
            ("f", {"s": 'a:"b", c:1', "n": [1, -2.5], "o": {"k": True, "z": None}}),
            ("g", {"h": "$k7qz_1", "i": "$k7qz_1.a", "u": "x: y"}),
        ],
    ),
    Turn(
        "gemma4",
        "a key twice",
        "<|tool_call>call:f{a:1,a:2}<tool_call|>ok",
        [("malformed", "twice"), ("text", "ok")],
    ),
    Turn("gemma4", "not a call", "<|tool_call>f{}<tool_call|>", [("malformed", "call:name")]),
    Turn("gemma4", "broken", "<|tool_call>call:f{a:}<tool_call|>", [("malformed", "JSON")]),
]

GEMMA = [Turn("gemma", "words and a call", f"Look.\n{_hermes(_ONE)}", [("text", "Look."), ("f", {"x": 1})])]

TURNS = [*HERMES, *QWEN_XML, *LLAMA3, *PYTHONIC, *MISTRAL, *DEEPSEEK, *HARMONY, *GLM, *GEMMA4, *GEMMA]
