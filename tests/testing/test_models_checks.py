"""The scripted model is a strict judge: it takes what its provider takes, and nothing else."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.testing.loop import run_virtual
from asyncfc.testing.models import Emit, Rejected, Script, model_of, play
from asyncfc.testing.models.model import FormatName

Json = dict[str, Any]
FORMATS: tuple[FormatName, ...] = ("chat", "responses", "messages")
Step = Json | Callable[[Json], Json]
SCHEMA: Json = {"type": "object", "properties": {"x": {"type": "integer"}}}
ONE_CALL = play(Emit(calls=[("f", {"x": 1})]), Emit("done"), after=Emit("more"))
TWO_CALLS = play(Emit(calls=[("f", {"x": 1}), ("g", {"x": 2})]), Emit("done"))


def body_of(format: FormatName) -> Json:
    """A valid request with a system prompt, a user's message and two tools."""
    about: list[Json] = [{"name": name, "description": f"tool {name}"} for name in "fg"]
    asked = {"role": "user", "content": "hi"}
    if format == "chat":
        tools = [{"type": "function", "function": {**tool, "parameters": SCHEMA}} for tool in about]
        return {"model": "m", "messages": [{"role": "system", "content": "be"}, asked], "tools": tools}
    if format == "responses":
        wrap: Json = {"type": "function", "parameters": SCHEMA, "strict": False}
        tools = [{**wrap, **tool} for tool in about]
        return {"model": "m", "instructions": "be", "input": [asked], "tools": tools}
    tools = [{**tool, "input_schema": SCHEMA} for tool in about]
    return {"model": "m", "max_tokens": 5000, "system": "be", "messages": [asked], "tools": tools}


def conversation(format: FormatName, body: Json) -> list[Json]:
    """The list of a request that holds the messages."""
    found: list[Json] = body["input" if format == "responses" else "messages"]
    return found


def said(format: FormatName, reply: Json) -> list[Json]:
    """The model's message as it stands in the next request."""
    if format == "chat":
        return [{k: v for k, v in reply["choices"][0]["message"].items() if k != "annotations"}]
    if format == "responses":
        return list(reply["output"])
    return [{"role": "assistant", "content": reply["content"]}]


def answers(format: FormatName, ids: Sequence[str]) -> list[Json]:
    """Answers to calls, in the provider's form."""
    if format == "chat":
        return [{"role": "tool", "tool_call_id": call_id, "content": "7"} for call_id in ids]
    if format == "responses":
        return [{"type": "function_call_output", "call_id": call_id, "output": "7"} for call_id in ids]
    results = [{"type": "tool_result", "tool_use_id": call_id, "content": "7"} for call_id in ids]
    return [{"role": "user", "content": results}]


PREFIX = {"chat": "call_", "responses": "call_", "messages": "toolu_"}


def ids_of(format: FormatName, *numbers: int) -> list[str]:
    return [f"{PREFIX[format]}{number}" for number in numbers]


def send(
    format: FormatName,
    bodies: Sequence[Step],
    *,
    script: Script = ONE_CALL,
    **options: Any,
) -> list[Json]:
    """Send requests in order to one model; each may be made from the reply before it."""

    async def main() -> list[Json]:
        model = model_of(script, format, **options)
        replies: list[Json] = []
        for body in bodies:
            replies.append(await model(body(replies[-1]) if callable(body) else body))
        return replies

    return run_virtual(main)


def after_call(format: FormatName, *rest: Json, keep: bool = True, **extra: Any) -> Callable[[Json], Json]:
    """The request after a first reply: the model's message, then the rest."""

    def make(reply: Json) -> Json:
        body = {**body_of(format), **extra}
        conversation(format, body).extend([*(said(format, reply) if keep else ()), *rest])
        return body

    return make


def reject(format: FormatName, body: Json, match: str) -> None:
    with pytest.raises(Rejected, match=match) as caught:
        send(format, [body])
    assert caught.value.error["error"]["message"] == caught.value.message


@pytest.mark.parametrize("format", FORMATS)
def test_a_whole_conversation_is_accepted(format: FormatName) -> None:
    follow = after_call(format, *answers(format, ids_of(format, 1, 2)))
    _, reply = send(format, [body_of(format), follow], script=TWO_CALLS)
    assert "done" in str(reply)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("numbers", "match"),
    [
        ((), "did not have response|No tool output|without `tool_result`"),
        ((1,), "did not have response|No tool output|without `tool_result`"),
        ((1, 2, 2), "Duplicate|single result"),
        ((1, 2, 9), "must be a response|No tool call found|unexpected `tool_use_id`"),
    ],
)
def test_every_call_is_answered_exactly_once(format: FormatName, numbers: Sequence[int], match: str) -> None:
    rest = answers(format, ids_of(format, *numbers)) if numbers else [{"role": "user", "content": "go on"}]
    with pytest.raises(Rejected, match=match):
        send(format, [body_of(format), after_call(format, *rest)], script=TWO_CALLS)


@pytest.mark.parametrize("format", FORMATS)
def test_an_answer_needs_its_call(format: FormatName) -> None:
    with pytest.raises(Rejected, match=r"must be a response|No tool call found|unexpected `tool_use_id`"):
        send(format, [body_of(format), after_call(format, *answers(format, ids_of(format, 1)), keep=False)])


@pytest.mark.parametrize("format", ["chat", "messages"])
def test_answers_stand_directly_after_their_calls(format: FormatName) -> None:
    rest = [{"role": "user", "content": "wait"}, *answers(format, ids_of(format, 1))]
    with pytest.raises(Rejected, match=r"did not have response|without `tool_result`"):
        send(format, [body_of(format), after_call(format, *rest)])


@pytest.mark.parametrize("format", FORMATS)
def test_an_answer_does_not_come_before_its_call(format: FormatName) -> None:
    def swapped(reply: Json) -> Json:
        body = body_of(format)
        conversation(format, body).extend([*answers(format, ids_of(format, 1)), *said(format, reply)])
        return body

    with pytest.raises(Rejected, match=r"must be a response|No tool call found|unexpected `tool_use_id`"):
        send(format, [body_of(format), swapped])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("change", "match"),
    [({"model": None}, "model"),
     ({"model": ""}, "model"),
     ({"messages": None, "input": None}, "messages|input"),
     ({"messages": [], "input": 3}, "messages|input"),
     ({"messages": ["hi"], "input": ["hi"]}, "expected an object|should be an object"),
     ({"messages": [{"role": "bot", "content": "x"}], "input": [{"role": "bot", "content": "x"}]}, "'bot'"),
     ({"messages": [{"role": "user"}], "input": [{"role": "user"}]}, "content"),
     ({"messages": [{"role": "user", "content": 5}], "input": [{"role": "user", "content": 5}]}, "content"),
     ({"messages": [{"role": "user", "content": [{"type": "smell"}]}],
       "input": [{"role": "user", "content": [{"type": "smell"}]}]}, "smell")],
)  # fmt: skip
def test_a_malformed_request_is_rejected(format: FormatName, change: Json, match: str) -> None:
    body = body_of(format)
    reject(format, {**body, **{key: value for key, value in change.items() if key in body}}, match)


def with_schema(format: FormatName, schema: Any, *, strict: bool = False) -> Json:
    body = body_of(format)
    tool = body["tools"][0]
    holder = tool["function"] if format == "chat" else tool
    holder["input_schema" if format == "messages" else "parameters"] = schema
    holder["strict"] = strict
    return body


def closed(**properties: Any) -> Json:
    names = list(properties)
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("schema", "match"),
    [([], "not of type 'object'"),
     ({"type": "string"}, "must have type 'object'"),
     ({"type": "object", "anyOf": [{}]}, "at the top level"),
     ({"type": "object", "properties": {"x": {"type": "text"}}}, "'text' is not a valid type"),
     ({"type": "object", "properties": {"x": 5}}, "'x'.*5 is not a schema"),
     ({"type": "object", "properties": {"x": {"$ref": "#/$defs/no"}}}, "leads nowhere"),
     ({"type": "object", "properties": {"x": {"$ref": "elsewhere"}}}, "leads nowhere"),
     ({"type": "object", "properties": {"x": {"anyOf": []}}}, "'anyOf' is empty"),
     ({"type": "object", "properties": {"x": {"pattern": "("}}}, "not a regex"),
     ({"type": "object", "required": "x"}, "no list of names"),
     ({"type": "object", "properties": []}, "'properties' is not an object")],
)  # fmt: skip
def test_a_bad_schema_is_rejected(format: FormatName, schema: Any, match: str) -> None:
    reject(format, with_schema(format, schema), match)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("schema", "match"),
    [({"type": "object", "properties": {}}, "'additionalProperties' is required"),
     ({**closed(x={"type": "null"}), "required": []}, "Missing 'x'"),
     (closed(x={"type": "array", "items": SCHEMA}), "'items'.*'additionalProperties' is required"),
     (closed(x={"anyOf": [{"type": "null"}, SCHEMA]}), "'anyOf'.*'additionalProperties' is required"),
     (closed(x={"oneOf": [{"type": "null"}]}), "'oneOf' is not permitted"),
     (closed(x={"allOf": [{"type": "null"}]}), "'allOf' is not permitted"),
     ({**closed(x={"$ref": "#/$defs/a", "title": "t"}), "$defs": {"a": {"type": "null"}}}, "ref cannot have"),
     (closed(x={"type": "string", "pattern": "(?=a)"}), "lookaround")],
)  # fmt: skip
def test_a_strict_schema_is_closed(format: FormatName, schema: Json, match: str) -> None:
    reject(format, with_schema(format, schema, strict=True), match)
    assert send(format, [with_schema(format, schema)])  # not strict: accepted


@pytest.mark.parametrize("format", FORMATS)
def test_a_good_strict_schema_is_accepted(format: FormatName) -> None:
    handle = {"type": "string", "pattern": "^(?:\\$[a-z0-9]{4}_[0-9]+)$"}
    either = {"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/handle"}], "description": "x"}
    schema = {**closed(x=either, y=closed(z={"type": ["string", "null"]})), "$defs": {"handle": handle}}
    assert send(format, [with_schema(format, schema, strict=True)])


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("name", ["", "a b", "x" * 129, None])
def test_a_bad_tool_name_is_rejected(format: FormatName, name: Any) -> None:
    body = body_of(format)
    tool = body["tools"][0]
    (tool["function"] if format == "chat" else tool)["name"] = name
    reject(format, body, "name")


@pytest.mark.parametrize("format", FORMATS)
def test_tool_names_are_unique(format: FormatName) -> None:
    body = body_of(format)
    body["tools"].append(copy.deepcopy(body["tools"][0]))
    reject(format, body, "must be unique")


@pytest.mark.parametrize(
    ("change", "match"),
    [({"tools": []}, "too short"),
     ({"tools": None, "tool_choice": "auto"}, "only allowed when 'tools'"),
     ({"tools": None, "parallel_tool_calls": True}, "only allowed when 'tools'"),
     ({"tools": [{"type": "web_search"}]}, "Supported values are: 'function'"),
     ({"tool_choice": {"type": "function", "function": {"name": "no"}}}, "'no' not found")],
)  # fmt: skip
def test_chat_tools_and_choice_go_together(change: Json, match: str) -> None:
    reject("chat", {**body_of("chat"), **change}, match)


@pytest.mark.parametrize(
    "message",
    [{"role": "assistant", "content": None},
     {"role": "assistant", "content": "x", "tool_calls": []},
     {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function"}]},
     {"role": "assistant", "content": None,
      "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": {}}}]},
     {"role": "user", "content": "x", "tool_calls": [{}]},
     {"role": "tool", "content": "7"},
     {"role": "tool", "tool_call_id": "call_1", "content": None},
     {"role": "system", "content": [{"type": "image_url"}]}],
)  # fmt: skip
def test_chat_messages_have_what_their_role_needs(message: Json) -> None:
    body = body_of("chat")
    body["messages"].append(message)
    with pytest.raises(Rejected):
        send("chat", [body])


@pytest.mark.parametrize(
    ("change", "match"),
    [({"max_tokens": None}, "max_tokens"),
     ({"system": 5}, "system"),
     ({"system": [{"type": "text", "text": ""}]}, "non-empty"),
     ({"messages": [{"role": "user", "content": ""}]}, "non-empty"),
     ({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}, "non-empty"),
     ({"messages": [{"role": "assistant", "content": "x"}]}, 'must use the "user" role'),
     ({"thinking": {"type": "enabled", "budget_tokens": 10}}, "budget_tokens"),
     ({"thinking": {"type": "enabled", "budget_tokens": 5000}}, "budget_tokens"),
     ({"tools": None, "tool_choice": {"type": "auto"}}, "only be specified while providing tools"),
     ({"tool_choice": {"type": "tool", "name": "no"}}, "'no' not found"),
     ({"tools": [{"name": "f"}]}, "input_schema: Field required")],
)  # fmt: skip
def test_messages_api_asks_for_its_own_fields(change: Json, match: str) -> None:
    reject("messages", {**body_of("messages"), **change}, match)


def test_anthropic_results_come_first_in_the_message() -> None:
    (results,) = answers("messages", ["toolu_1"])
    text = {"type": "text", "text": "also"}
    after = {"role": "user", "content": [*results["content"], text]}
    before = {"role": "user", "content": [text, *results["content"]]}
    assert send("messages", [body_of("messages"), after_call("messages", after)])
    with pytest.raises(Rejected, match="without `tool_result` blocks immediately after"):
        send("messages", [body_of("messages"), after_call("messages", before)])


THINKS: Json = {"thinking": {"type": "enabled", "budget_tokens": 2000}}


def test_a_turn_that_thought_comes_back_with_its_thinking() -> None:
    first = {**body_of("messages"), **THINKS}
    follow = after_call("messages", *answers("messages", ["toolu_1"]), **THINKS)
    _, reply = send("messages", [first, follow])
    assert [block["type"] for block in reply["content"]] == ["thinking", "text"]

    def without(reply: Json) -> Json:
        return follow({**reply, "content": reply["content"][1:]})

    with pytest.raises(Rejected, match="Expected `thinking` or `redacted_thinking`, but found `tool_use`"):
        send("messages", [first, without])


@pytest.mark.parametrize("change", [{"thinking": "Something else."}, {"signature": "sig-made-up"}])
def test_thinking_that_the_server_did_not_issue_is_rejected(change: Json) -> None:
    def forged(reply: Json) -> Json:
        first, *rest = reply["content"]
        results = answers("messages", ["toolu_1"])
        return after_call("messages", *results, **THINKS)({"content": [{**first, **change}, *rest]})

    with pytest.raises(Rejected, match="Invalid `signature` in `thinking` block"):
        send("messages", [{**body_of("messages"), **THINKS}, forged])


def test_an_inserted_pair_is_rejected_where_the_turn_must_think() -> None:
    use = {"type": "tool_use", "id": "made_up", "name": "f", "input": {}}
    pair = [{"role": "assistant", "content": [use]}, *answers("messages", ["made_up"])]
    body = body_of("messages")
    body["messages"].extend(pair)
    assert send("messages", [body])
    reject("messages", {**body, **THINKS}, "Expected `thinking`")


def test_ids_are_unique_across_messages_unless_the_provider_repeats_them() -> None:
    follow = after_call("messages", *answers("messages", ["toolu_1"]))

    def twice(reply: Json) -> Json:
        body = follow(reply)
        body["messages"].extend([*said("messages", reply), *answers("messages", ["toolu_1"])])
        return body

    with pytest.raises(Rejected, match="ids must be unique"):
        send("messages", [body_of("messages"), twice])


@pytest.mark.parametrize("format", FORMATS)
def test_repeated_ids_are_accepted_from_a_server_that_repeats_them(format: FormatName) -> None:
    call = Emit(calls=[("f", {"x": 1})])

    def follow(times: int) -> Callable[[Json], Json]:
        def make(reply: Json) -> Json:
            body = body_of(format)
            for _ in range(times):
                conversation(format, body).extend([*said(format, reply), *answers(format, ids_of(format, 0))])
            return body

        return make

    script = play(call, call, Emit("done"), after=Emit("done"))
    replies = send(format, [body_of(format), follow(1), follow(2)], script=script, repeat_ids=True)
    assert "done" in str(replies[-1])


REASONS: Json = {"reasoning": {"effort": "low"}}


def test_reasoning_and_its_call_go_together() -> None:
    first = {**body_of("responses"), **REASONS}
    outputs = answers("responses", ["call_1"])
    assert send("responses", [first, after_call("responses", *outputs, **REASONS)])

    def without_reasoning(reply: Json) -> Json:
        return after_call("responses", *outputs)({**reply, "output": reply["output"][1:]})

    def without_call(reply: Json) -> Json:
        return after_call("responses")({**reply, "output": reply["output"][:1]})

    with pytest.raises(Rejected, match="without its required 'reasoning' item"):
        send("responses", [first, without_reasoning])
    with pytest.raises(Rejected, match="without its required following item"):
        send("responses", [first, without_call])


def test_a_call_without_an_item_id_needs_no_reasoning() -> None:
    call = {"type": "function_call", "call_id": "made_up", "name": "f", "arguments": "{}"}
    body = {**body_of("responses"), **REASONS}
    body["input"].extend([call, *answers("responses", ["made_up"])])
    assert send("responses", [body])


def test_an_asynchronous_call_may_be_answered_later_but_once() -> None:
    first = body_of("responses")
    first["tools"][0]["async"] = True
    again = {"role": "user", "content": "go on"}
    (output,) = answers("responses", ["call_1"])
    _, reply = send("responses", [first, after_call("responses", again)])
    assert reply["output"]
    replies = send("responses", [first, after_call("responses", again, output)])
    assert replies[0]["output"][0]["async"] is True
    with pytest.raises(Rejected, match="Duplicate tool output"):
        send("responses", [first, after_call("responses", output, again, output)])


def test_a_response_goes_on_from_the_one_before() -> None:
    def follow(reply: Json) -> Json:
        return {"model": "m", "previous_response_id": reply["id"], "input": answers("responses", ["call_1"])}

    def unanswered(reply: Json) -> Json:
        return {"model": "m", "previous_response_id": reply["id"], "input": "go on"}

    _, reply = send("responses", [body_of("responses"), follow])
    assert reply["output"][0]["content"][0]["text"] == "done"
    with pytest.raises(Rejected, match="No tool output found for function call call_1"):
        send("responses", [body_of("responses"), unanswered])
    with pytest.raises(Rejected, match="not found"):
        send("responses", [{**body_of("responses"), "store": False}, follow])
    reject("responses", {"model": "m", "previous_response_id": "resp_9", "input": "hi"}, "not found")


def test_an_item_can_be_named_by_its_id() -> None:
    def follow(reply: Json) -> Json:
        reference = {"type": "item_reference", "id": reply["output"][0]["id"]}
        return {"model": "m", "input": [reference, *answers("responses", ["call_1"])]}

    assert send("responses", [body_of("responses"), follow])
    reject("responses", {"model": "m", "input": [{"type": "item_reference", "id": "x"}]}, "not found")


@pytest.mark.parametrize(
    "item",
    [{"type": "dream"},
     {"type": "function_call", "call_id": "c", "name": "f"},
     {"type": "function_call_output", "output": "7"},
     {"type": "function_call_output", "call_id": "c", "output": {"x": 1}}],
)  # fmt: skip
def test_items_have_what_their_type_needs(item: Json) -> None:
    body = body_of("responses")
    body["input"].append(item)
    with pytest.raises(Rejected):
        send("responses", [body])


@pytest.mark.parametrize(
    ("require", "rest", "match"),
    [("own calls",
      [{"role": "assistant", "content": None, "tool_calls": [
          {"id": "made_up", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
       {"role": "tool", "tool_call_id": "made_up", "content": "7"}], "thought_signature"),
     ("no user after tool", [{"role": "user", "content": "also"}], "after role 'tool'")],
)  # fmt: skip
def test_a_stricter_provider_can_be_played(require: str, rest: list[Json], match: str) -> None:
    bodies: list[Step] = [body_of("chat"), after_call("chat", *answers("chat", ["call_1"]), *rest)]
    assert send("chat", bodies)
    with pytest.raises(Rejected, match=match):
        send("chat", bodies, require=[require])


@pytest.mark.parametrize("require", ["user first", "no user after user"])
def test_templates_of_local_models_can_be_played(require: str) -> None:
    users = [{"role": "user", "content": "hi"}] * 2
    messages = [{"role": "assistant", "content": "x"}, users[0]] if require == "user first" else users
    assert send("chat", [{"model": "m", "messages": messages}])
    with pytest.raises(Rejected, match="Conversation"):
        send("chat", [{"model": "m", "messages": messages}], require=[require])


def test_an_unknown_requirement_is_refused() -> None:
    with pytest.raises(ValueError, match="no requirement"):
        model_of(ONE_CALL, require=["politeness"])


GARBAGE: st.SearchStrategy[Any] = st.sampled_from(
    [None, 0, "", "x", [], {}, [{}], {"type": "x"}, [None], True]
)


def places(value: Any) -> list[tuple[Any, ...]]:
    """The ways to all parts of a JSON value."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return [(key, *rest) for key, inner in pairs for rest in ((), *places(inner))]
    return []


@pytest.mark.slow
@given(data=st.data(), format=st.sampled_from(FORMATS), thinking=st.booleans())
def test_a_request_with_any_part_spoilt_is_answered_or_rejected(
    data: st.DataObject, format: FormatName, thinking: bool
) -> None:
    extra: Json = {"messages": THINKS, "responses": REASONS, "chat": {}}[format] if thinking else {}

    def spoilt(reply: Json) -> Json:
        rest = [
            *answers(format, ids_of(format, 1)),
            {"role": "user", "content": [{"type": "text", "text": "x"}]},
        ]
        body = copy.deepcopy(after_call(format, *rest, **extra)(reply))
        *way, last = data.draw(st.sampled_from(places(body)))
        part = body
        for key in way:
            part = part[key]
        part[last] = data.draw(GARBAGE)
        return body

    with suppress(Rejected):
        _, reply = send(format, [{**body_of(format), **extra}, spoilt])
        assert reply["id"]
