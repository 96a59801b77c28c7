"""What models write in the arguments of `await_future` and `cancel_future`, and how it is understood."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asyncfc.conversation.control import (
    AwaitRequest,
    CancelRequest,
    await_tool,
    cancel_tool,
    read_await,
    read_cancel,
)
from asyncfc.conversation.wording import Wording
from asyncfc.errors import BadArguments, BadReference, CallError
from asyncfc.futures.call import Call
from asyncfc.futures.handle import DEFAULT_GRAMMAR, HandleGrammar

ALL = AwaitRequest(None)
ONE = AwaitRequest(("$k7qz_1",))
TWO = AwaitRequest(("$k7qz_1", "$k7qz_2"))


def awaited(arguments: Any) -> AwaitRequest:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return read_await(Call("c", "await_future", text), DEFAULT_GRAMMAR)


def cancelled(arguments: Any) -> CancelRequest:
    return read_cancel(Call("c", "cancel_future", json.dumps(arguments)), DEFAULT_GRAMMAR)


# --- what cannot be understood ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ("{", "are not valid JSON"),
        ("[]", "are a JSON array"),
        ({"handles": [1]}, r"hold '1' as 'handles'; expected handles, each a string"),
        ({"handles": [["$k7qz_1"]]}, "expected handles, each a string"),
        ({"handle": {"id": "$k7qz_1"}}, "as 'handle'; expected handles"),
        ({"future": True}, "as 'future'; expected handles"),
        ({"mode": "first"}, "hold 'first' as 'mode'; expected 'all' or 'any'"),
        ({"mode": ["all"]}, "as 'mode'; expected 'all' or 'any'"),
        ({"timeout": -1}, "hold '-1' as 'timeout'; expected a number of seconds, 0 or more"),
        ({"timeout": True}, "as 'timeout'; expected a number"),
        ({"timeout": "soon"}, "as 'timeout'; expected a number"),
        ('{"timeout": NaN}', "as 'timeout'; expected a number"),
        ('{"timeout": 1e999}', "as 'timeout'; expected a number"),
        ({"timeout": 10**400}, "as 'timeout'; expected a number"),
        ({"seconds": 3}, r"unknown keys \['seconds'\]; expected only \['handles', 'mode', 'timeout'\]"),
    ],
)
def test_an_await_that_cannot_be_understood_says_what_was_expected(arguments: Any, expected: str) -> None:
    with pytest.raises(BadArguments, match=expected) as raised:
        awaited(arguments)
    assert "'await_future'" in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, "name 0 handles; expected one as 'handle'"),
        ({"handle": None}, "name 0 handles"),
        ({"handle": ""}, "name 0 handles"),
        ({"handles": ["$k7qz_1", "$k7qz_2"]}, "name 2 handles; expected one as 'handle'. Make one call for"),
        ({"handle": "$k7qz_1", "mode": "all"}, r"unknown keys \['mode'\]; expected only \['handle'\]"),
    ],
)
def test_a_cancel_names_one_call(arguments: Any, expected: str) -> None:
    with pytest.raises(BadArguments, match=expected):
        cancelled(arguments)


def test_an_endless_path_is_refused() -> None:
    with pytest.raises(BadReference, match="too long"):
        awaited({"handles": "$k7qz_1" + "[0]" * 200})


# --- what can ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    ["", "{}", {"handles": None}, {"handles": []}, {"handles": ""}, {"handles": "all"}, {"handles": ["*"]}],
)
def test_nothing_named_means_all(arguments: Any) -> None:
    assert awaited(arguments) == ALL


@pytest.mark.parametrize("key", ["handles", "handle", "futures", "future", "ids", "id"])
@pytest.mark.parametrize("given", ["$k7qz_1", ["$k7qz_1"]])
def test_handles_come_under_several_keys_alone_or_in_a_list(key: str, given: Any) -> None:
    assert awaited({key: given}) == ONE
    assert cancelled({key: given}) == CancelRequest("$k7qz_1")


@pytest.mark.parametrize(
    "text",
    [
        "$k7qz_1,$k7qz_2",
        " $k7qz_1 ; $k7qz_2\n",
        '["$k7qz_1", "$k7qz_2"]',
        "${k7qz_1} ${k7qz_2.items[0]}",
        "$k7qz_1.id, $k7qz_2['a, $k7qz_3'].b",
        "$k7qz_1 $k7qz_1 $k7qz_2",
        "$k7qz_1. $k7qz_2.",
    ],
)
def test_one_text_holds_several_handles_with_paths_or_without(text: str) -> None:
    assert awaited({"handles": text}) == TWO


@pytest.mark.parametrize("text", ["k7qz_1", "nope", "$", "$user_1", "$$k7qz_1"])
def test_what_names_nothing_is_kept_as_it_is_so_that_it_can_be_said(text: str) -> None:
    assert awaited({"handles": ["$k7qz_2", text]}).handles == ("$k7qz_2", text)


def test_handles_of_the_own_message_are_handles() -> None:
    assert awaited({"handles": ["$this_2.id"]}).handles == ("$this_2",)


def test_handles_are_read_as_the_session_writes_them() -> None:
    call = Call("c", "await_future", {"handles": "@ref-k7qz-1, @ref-{k7qz-2}"})
    assert read_await(call, HandleGrammar("@ref-", "-")).handles == ("@ref-k7qz-1", "@ref-k7qz-2")


@pytest.mark.parametrize(
    ("arguments", "request_"),
    [
        ({"mode": " ANY "}, AwaitRequest(None, "any")),
        ({"mode": None, "timeout": None}, ALL),
        ({"timeout": 0}, AwaitRequest(None, timeout=0.0)),
        ({"timeout": "2.5"}, AwaitRequest(None, timeout=2.5)),
    ],
)
def test_mode_and_timeout_are_read_leniently(arguments: Any, request_: AwaitRequest) -> None:
    assert awaited(arguments) == request_


_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text("$k7qz_1{}[].,\"' all"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
_KEYS = st.sampled_from(["handles", "handle", "ids", "mode", "timeout", "other"])


@given(st.dictionaries(_KEYS, _JSON, max_size=4))
def test_whatever_a_model_writes_is_a_request_or_an_error_of_the_call(arguments: dict[str, Any]) -> None:
    for read in (awaited, cancelled):
        try:
            request = read(arguments)
        except CallError:
            continue
        handles = request.handles or () if isinstance(request, AwaitRequest) else (request.handle,)
        assert all(handle and handle == handle.strip() for handle in handles)


# --- what the model is told -------------------------------------------------------------------------


def test_the_schemas_admit_what_they_describe_and_say_it_in_the_words_of_the_session() -> None:
    wording = Wording(await_tool="Wait!", await_mode="which", cancel_handle="whose")
    wait, cancel = await_tool(wording), cancel_tool(wording)
    assert (wait.name, wait.description, wait.strict) == ("await_future", "Wait!", False)
    assert set(wait.parameters["properties"]) == {"handles", "mode", "timeout"}
    assert wait.parameters["required"] == []
    assert wait.parameters["properties"]["mode"]["description"] == "which"
    assert (cancel.name, cancel.parameters["required"]) == ("cancel_future", ["handle"])
    assert cancel.parameters["properties"]["handle"] == {"type": "string", "description": "whose"}
    for tool in (wait, cancel):
        assert tool.parameters["type"] == "object"
        assert tool.parameters["additionalProperties"] is False
        json.dumps(tool.parameters)
