from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, WrapValidator, field_validator

from asyncfc.depgraph.effects import UNDECLARED, covers
from asyncfc.depgraph.resource import parse_label
from asyncfc.errors import BadArguments, DeclarationError
from asyncfc.session import Call, Session
from asyncfc.testing.loop import run_virtual
from asyncfc.testing.puppets import Puppet, settle_loop
from asyncfc.toolbox import toolbox
from asyncfc.tools import Tool, tool

if TYPE_CHECKING:
    Whole = int
    from elsewhere import Missing  # type: ignore[import-not-found]


class Item(BaseModel):
    id: int


class Opaque:
    """Pydantic knows nothing of it."""


def add(a: int, b: int = 2) -> int:
    """Add two numbers."""
    return a + b


async def fetch(url: str) -> str:
    return url


class Desk:
    """Where tickets lie."""

    def __init__(self, place: str = "here") -> None:
        self.place = place

    def close_ticket(self, ticket_id: int) -> str:
        return f"{self.place}: {ticket_id}"

    async def open_ticket(self, title: str) -> str:
        return title

    @classmethod
    def count(cls, limit: int) -> int:
        return limit

    @staticmethod
    def ping(host: str) -> str:
        return host


class Search:
    """Search the web."""

    async def __call__(self, query: str, *, top: int = 3) -> str:
        return query * top


class Shout:
    def __call__(self, text: str) -> str:
        return text.upper()


# --- refused at declaration -----------------------------------------------------------------------


def test_a_lambda_has_no_name_of_its_own() -> None:
    nameless: Callable[[int], int] = lambda x: x + 1  # noqa: E731
    for function in (nameless, functools.partial(nameless, 1)):
        with pytest.raises(DeclarationError, match="name="):
            Tool(function)
    assert Tool(nameless, name="increment").invoke({"x": 1}) == 2
    assert toolbox({"increment": nameless}, {})["increment"].name == "increment"


@pytest.mark.parametrize("what", [dict, max, "a text", 7, None])
def test_what_has_no_readable_signature_is_refused_by_name(what: Any) -> None:
    with pytest.raises(DeclarationError, match=r"tool '\w+': no readable signature .* wrap it"):
        Tool(what)


def test_a_tool_is_not_wrapped_twice() -> None:
    once = Tool(add, effects="pure")
    with pytest.raises(DeclarationError, match="<Tool 'add'> is a tool already"):
        Tool(once, name="plus")
    with pytest.raises(DeclarationError, match="is a tool already"):
        tool(once)


@pytest.mark.parametrize(
    ("effects", "culprit"),
    [
        ({"reads": "fs:{file}"}, "file"),
        ({"reads": ""}, "empty"),
        ({"writes": "a.*"}, r"\*"),
        ({"pure": True, "writes": "a"}, "pure"),
        ({"level": "read", "writes": "a"}, "read"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"thread": "main"}, "thread"),
        ({"idempotent": "yes"}, "idempotent"),
        ({"touches": "a"}, "touches"),
        ("impure", "impure"),
        (3, "3"),
    ],
)
def test_effects_written_wrongly_are_refused_by_tool_and_culprit(effects: Any, culprit: str) -> None:
    with pytest.raises(DeclarationError, match=f"(?s)'add'.*{culprit}"):
        Tool(add, effects=effects)
    if isinstance(effects, dict):
        with pytest.raises(DeclarationError, match=f"(?s)'add'.*{culprit}"):
            tool(**effects)(add)


def test_an_annotation_that_cannot_be_checked_is_refused_where_checks_were_asked_for() -> None:
    def unresolved(x: Missing) -> None: ...

    def unknown(x: Opaque) -> None: ...

    def half(x: Item | Opaque) -> None: ...

    with pytest.raises(DeclarationError, match=r"'unresolved': parameter 'x'.*'Missing'"):
        Tool(unresolved, validate=True)
    with pytest.raises(DeclarationError, match=r"'unknown': parameter 'x'.*'Opaque'"):
        Tool(unknown, validate=True)
    with pytest.raises(DeclarationError, match=r"'half': parameter 'x'.*Item \| Opaque"):
        Tool(half)
    assert Tool(unresolved).invoke({"x": 1}) is Tool(unknown).invoke({"x": 1}) is None


# --- what may be a tool ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "name", "is_async", "parameters", "required"),
    [
        (add, "add", False, ["a", "b"], {"a"}),
        (fetch, "fetch", True, ["url"], {"url"}),
        (Desk().close_ticket, "close_ticket", False, ["ticket_id"], {"ticket_id"}),
        (Desk().open_ticket, "open_ticket", True, ["title"], {"title"}),
        (Desk.count, "count", False, ["limit"], {"limit"}),
        (Desk.ping, "ping", False, ["host"], {"host"}),
        (Desk, "Desk", False, ["place"], set()),
        (Shout(), "Shout", False, ["text"], {"text"}),
        (Search(), "Search", True, ["query", "top"], {"query"}),
        (Search, "Search", False, [], set()),  # a class whose instances are async is not
        (functools.partial(add, 1), "add", False, ["b"], set()),
        (functools.partial(add, b=1), "add", False, ["a", "b"], {"a"}),
        (functools.partial(functools.partial(fetch), "u"), "fetch", True, [], set()),
        (functools.partial(Search(), top=1), "Search", True, ["query", "top"], {"query"}),
    ],
)
def test_a_tool_is_made_of_any_callable(
    function: Callable[..., Any], name: str, is_async: bool, parameters: list[str], required: set[str]
) -> None:
    made = Tool(function)
    assert (made.name, made.is_async, list(made.parameters), set(made.required)) == (
        name, is_async, parameters, required,
    )  # fmt: skip
    assert made.spec is UNDECLARED
    assert set(made.schema["properties"]) == set(parameters)


def test_bound_methods_keep_their_object_and_partials_what_they_bound() -> None:
    assert Tool(Desk("there").close_ticket).invoke({"ticket_id": 1}) == "there: 1"
    assert Tool(functools.partial(add, b=5)).invoke({"a": 1}) == 6
    assert Tool(functools.partial(add, b=5)).invoke({"a": 1, "b": 0}) == 1
    made = Tool(Desk).invoke({"place": "x"})
    assert isinstance(made, Desk)


def test_a_tool_is_still_callable_as_its_function() -> None:
    @tool(pure=True)
    def greet(self: str, name: str = "you") -> str:
        return f"{self} greets {name}"

    assert greet("Ann") == "Ann greets you"
    assert greet(self="Ann", name="Bob") == "Ann greets Bob"
    assert asyncio.run(Tool(fetch)("u")) == "u"


def test_a_decorated_function_shows_the_signature_of_the_original() -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    made = Tool(logged(add))
    assert (made.name, made.description, list(made.parameters)) == ("add", "Add two numbers.", ["a", "b"])
    assert made.schema == Tool(add).schema


def test_the_description_is_the_docstring_unless_given() -> None:
    assert Tool(add).description == "Add two numbers."
    assert Tool(functools.partial(add, 1)).description == "Add two numbers."
    assert Tool(Search()).description == "Search the web."
    assert Tool(fetch).description == ""
    assert Tool(add, description="").description == ""


# --- arguments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({}, r"missing \['a'\]"),
        ({"a": 1, "c": 1}, r"unknown \['c'\]"),
        ({"b": 1, "c": 1, "B": 2}, r"missing \['a'\] and unknown \['B', 'c'\]"),
        ({"a": 1, "": 1}, r"unknown \[''\]"),
        ({"a": 1, "z": 1, 3: 4, None: 5}, r"unknown \['3', 'None', 'z'\]"),
    ],
)
def test_missing_and_unknown_arguments_are_named(arguments: dict[Any, Any], fault: str) -> None:
    with pytest.raises(BadArguments, match=rf"add \(call_7\): {fault}; its parameters are \['a', 'b'\]"):
        Tool(add).check(arguments, "call_7")


@given(st.dictionaries(st.sampled_from(["a", "b", "self", "1"]) | st.integers(), st.none()))
def test_a_check_passes_exactly_what_the_signature_can_bind(arguments: dict[Any, Any]) -> None:
    try:
        inspect.signature(add).bind(**arguments)
    except TypeError:
        with pytest.raises(BadArguments):
            Tool(add).check(arguments, "c")
    else:
        Tool(add).check(arguments, "c")


def test_any_further_argument_fits_a_tool_that_takes_any() -> None:
    def note(title: str, *tags: str, **fields: Any) -> dict[str, Any]:
        return {"title": title, "tags": tags, **fields}

    made = Tool(note)
    assert list(made.parameters) == ["title"]
    made.check({"title": "t", "x": 1, "tags": 2}, "c")
    assert made.invoke({"title": "t", "x": 1}) == {"title": "t", "tags": (), "x": 1}
    with pytest.raises(BadArguments, match=r"missing \['title'\]"):
        made.check({"fields": {}}, "c")


def test_positional_only_parameters_get_their_own_values_whatever_is_left_out() -> None:
    def place(a: int, b: str = "b", c: str = "c", /, *, d: str = "d", **rest: Any) -> tuple[Any, ...]:
        return (a, b, c, d, rest)

    made = Tool(place)
    made.check({"a": 1}, "c")
    assert made.invoke({"a": 1}) == (1, "b", "c", "d", {})
    assert made.invoke({"c": "C", "a": 1}) == (1, "b", "C", "d", {})
    assert made.invoke({"a": 1, "b": "B", "d": "D", "e": 5}) == (1, "B", "c", "D", {"e": 5})
    arguments = {"a": 1}
    made.invoke(arguments)
    assert arguments == {"a": 1}


def test_annotations_are_no_checks() -> None:
    made = Tool(Desk().close_ticket)
    made.check({"ticket_id": "ticket_001"}, "c")
    assert made.invoke({"ticket_id": "ticket_001"}) == "here: ticket_001"

    def close(at: Annotated[str, AfterValidator(pytest.fail)], kind: Literal["a"]) -> tuple[Any, Any]:
        return at, kind

    assert Tool(close).invoke({"at": 5, "kind": "b"}) == (5, "b")


def test_defaults_are_the_functions_own_and_not_checked() -> None:
    def count(n: int = None, item: Item = Opaque()) -> Any:  # type: ignore[assignment]  # noqa: B008, RUF013
        return n, item

    assert Tool(count, validate=True).invoke({})[0] is None
    assert isinstance(Tool(count).invoke({})[1], Opaque)


# --- annotations ----------------------------------------------------------------------------------


def test_an_annotation_that_cannot_be_resolved_costs_the_others_nothing() -> None:
    def order(item: Item, count: int, where: Missing, plain: Any, bare=1) -> Missing:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return item

    made = Tool(order)
    assert made.annotations == {"item": Item, "count": int, "plain": Any}
    assert made.invoke({"item": {"id": 1}, "count": 1, "where": 2, "plain": 3}) == Item(id=1)
    assert made.schema["properties"]["where"] == {}
    assert made.schema["properties"]["bare"] == {"default": 1}


def test_forward_references_are_resolved_where_the_function_was_defined() -> None:
    def order(first: Item, others: list[Item]) -> Any:
        return first, others

    @functools.wraps(order)
    def wrapper(*args: Any) -> Any:
        return order(*args)

    for function in (order, functools.partial(order), wrapper):
        assert Tool(function, name="order").annotations == {"first": Item, "others": list[Item]}
    assert Tool(Search()).annotations == {"query": str, "top": int}
    assert Tool(Desk).annotations == {"place": str}


def test_a_dataclass_is_a_tool_with_its_fields() -> None:
    assert Tool(Point).annotations == {"x": int, "items": list[Item]}
    assert Tool(Point).invoke({"x": 1, "items": [{"id": 2}]}) == Point(1, [Item(id=2)])


@dataclasses.dataclass
class Point:
    x: int
    items: list[Item] = dataclasses.field(default_factory=list)


# --- validation -----------------------------------------------------------------------------------


def test_pydantic_parameters_validate_themselves_however_deep_they_stand() -> None:
    def order(
        one: Item, some: list[Item], maybe: Item | None, named: dict[str, Annotated[Item, "meta"]], n: int
    ) -> Any:
        return one, some, maybe, named, n

    values = {"one": {"id": "1"}, "some": [{"id": 2}], "maybe": None, "named": {"x": {"id": 3}}, "n": "4"}
    made = Tool(order)
    assert list(made.validators) == ["one", "some", "maybe", "named"]
    assert made.invoke(values) == (Item(id=1), [Item(id=2)], None, {"x": Item(id=3)}, "4")
    assert values["one"] == {"id": "1"}


def test_a_value_that_a_pydantic_parameter_refuses_is_named_without_links() -> None:
    def order(items: list[Item]) -> None:
        pytest.fail("it ran")

    with pytest.raises(
        BadArguments, match=r"order: argument 'items': 1: id: Input should be a valid int"
    ) as bad:
        Tool(order).invoke({"items": [{"id": 1}, {"id": "x"}]})
    assert "http" not in str(bad.value)
    with pytest.raises(BadArguments, match=r"items': 0: id: Field required; 1: Input should be"):
        Tool(order).invoke({"items": [{}, 5]})


def test_of_several_refused_values_the_first_parameter_is_named() -> None:
    def many(a: int, b: int, c: int, d: int) -> None: ...

    for _ in range(3):
        with pytest.raises(BadArguments, match="argument 'a'"):
            Tool(many, validate=True).invoke(dict.fromkeys("dcba", "x"))


def test_validate_checks_every_annotated_argument_that_is_given() -> None:
    def add_up(a: int, b: Annotated[int, Field(gt=0)] = -1, c=None, **rest: int) -> Any:  # type: ignore[no-untyped-def]  # noqa: ANN001
        return a, b, c, rest

    made = Tool(add_up, validate=True)
    assert made.invoke({"a": "1", "c": "x", "z": "3"}) == (1, -1, "x", {"z": "3"})
    with pytest.raises(BadArguments, match="'b': Input should be greater than 0"):
        made.invoke({"a": 1, "b": 0})
    with pytest.raises(BadArguments, match="'a': Input should be a valid integer"):
        made.invoke({"a": "ticket_001"})


def test_a_validator_that_raises_something_else_raises_that() -> None:
    def odd(x: Annotated[int, BeforeValidator(_compare)]) -> int:
        return x

    with pytest.raises(TypeError, match="'>' not supported"):
        Tool(odd, validate=True).invoke({"x": "text"})


def _compare(value: Any) -> bool:
    return bool(value > 0)


# --- when user validators run ---------------------------------------------------------------------

CHECKED: list[str] = []


class Upload(BaseModel):
    path: str

    @field_validator("path")
    @classmethod
    def note(cls, path: str) -> str:
        CHECKED.append(path)
        return path


def test_user_validators_run_exactly_once_and_at_the_calls_place_in_the_order() -> None:
    CHECKED.clear()

    async def upload(what: Upload) -> str:
        CHECKED.append("ran")
        return what.path

    async def main() -> None:
        writer = Puppet("write", writes="store")
        later = Tool(upload, effects={"writes": "store.{what}"})
        async with Session([writer.tool, later], id="s") as session:
            answers = await session.submit(
                [Call("1", "write", {}), Call("2", "upload", {"what": {"path": "a"}})]
            )
            await settle_loop()
            assert CHECKED == []
            writer.running[0].succeed()
            assert await answers[1].future == "a"
            assert CHECKED == ["a", "ran"]

    run_virtual(main)


def test_a_refused_value_fails_the_call_at_its_place_and_its_siblings_run() -> None:
    async def main() -> None:
        ran = []

        async def upload(n: int) -> None:
            ran.append(n)

        made = Tool(upload, validate=True)
        async with Session([made], id="s") as session:
            answers = await session.submit([Call(str(n), "upload", {"n": n}) for n in ("x", 2)])
            await session.finish()
            with pytest.raises(BadArguments, match="'n'"):
                await answers[0].future
            assert ran == [2]

    run_virtual(main)


# --- the arguments that labels need ---------------------------------------------------------------


def shifted(path: str) -> str:
    CHECKED.append(path)
    return "/etc/" + path


def save(
    path: Annotated[str, AfterValidator(shifted)], mode: Annotated[str, Field(max_length=1)] = "w"
) -> str:
    return path + mode


def test_labels_get_the_arguments_as_given_with_defaults_where_nothing_validates() -> None:
    made = Tool(save, effects={"writes": ["fs:/srv/{path}", "mode.{mode}"]})
    assert made.label_arguments({"path": "x"}) == ({"path": "x", "mode": "w"}, set())
    assert made.label_arguments({}) == ({"mode": "w"}, set())
    assert Tool(save, effects={"writes": "a"}).label_arguments({"path": "x"}) == ({}, set())


def test_values_that_built_in_rules_check_are_foretold() -> None:
    def go(
        n: int, names: list[Annotated[str, Field(min_length=1)] | None], k: Literal["a", "b"], any: Any
    ) -> None: ...

    made = Tool(go, validate=True, effects={"writes": ["n.{n}.{names}.{k}.{any}"]})
    given = {"n": "7", "names": ["a", None], "k": "a", "any": [1]}
    assert made.label_arguments(given) == ({**given, "n": 7}, set())
    assert made.label_arguments({"n": "x", "names": "no", "k": "c", "any": 1}) == (
        {"any": 1},
        {"n", "names", "k"},
    )


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[str, AfterValidator(shifted)],
        Annotated[str, BeforeValidator(shifted)],
        Annotated[str, WrapValidator(lambda value, handler: shifted(value))],
        list[Annotated[str, AfterValidator(shifted)]],
        Annotated[str, AfterValidator(shifted)] | None,
        Item,
        dict[str, int],
    ],
)
def test_a_value_that_user_code_or_an_unknown_rule_checks_is_untold_and_no_user_code_runs(
    annotation: Any,
) -> None:
    def go(path: Any) -> None: ...

    go.__annotations__["path"] = annotation
    made = Tool(go, validate=True, effects={"writes": "fs:/srv/{path}"})
    CHECKED.clear()
    assert made.label_arguments({"path": "x"}) == ({}, {"path"})
    assert CHECKED == []


def test_a_model_that_is_not_complete_yet_is_untold_until_it_is() -> None:
    class Part(BaseModel):
        whole: Whole

    def go(part: Any, name: str) -> Any:
        return part, name

    go.__annotations__["part"] = Part
    made = Tool(go, effects={"writes": "db.{part}.{name}"})
    assert made.label_arguments({"part": {}, "name": "n"}) == ({"name": "n"}, {"part"})
    Part.model_rebuild(_types_namespace={"Whole": int})
    assert made.invoke({"part": {"whole": "1"}, "name": "n"}) == (Part(whole=1), "n")


def test_the_claim_of_an_untold_path_covers_an_absolute_one() -> None:
    made = Tool(save, validate=True, effects={"writes": "fs:/srv/{path}"})
    arguments, untold = made.label_arguments({"path": "x"})
    assert made.invoke({"path": "x"}) == "/etc/xw"
    final = made.spec.bind({"path": "/etc/x"})
    assert final.writes == (parse_label("fs:/etc/x"),)
    assert covers(made.spec.bind(arguments, (), untold), final)
    assert not covers(made.spec.bind({"path": "x"}), final)


def test_a_call_with_an_untold_path_waits_for_whoever_writes_where_it_ends_up() -> None:
    async def save_there(path: Annotated[str, AfterValidator(shifted)]) -> str:
        return path

    async def main() -> None:
        other = Puppet("other", writes="fs:/etc/x")
        late = Tool(save_there, validate=True, effects={"writes": "fs:/srv/{path}"})
        async with Session([other.tool, late], id="s") as session:
            answers = await session.submit([Call("1", "other", {}), Call("2", "save_there", {"path": "x"})])
            await settle_loop()
            assert not answers[1].future.settled
            other.running[0].succeed()
            assert await answers[1].future == "/etc/x"

    run_virtual(main)


# --- the decorator, copies, toolboxes -------------------------------------------------------------


def test_the_decorator_comes_bare_and_with_keywords() -> None:
    @tool
    def bare() -> None: ...

    @tool()
    def empty() -> None: ...

    @tool(
        name="renamed", description="Does it.", reads="fs:{path}", timeout=5, thread="caller", idempotent=True
    )
    def full(path: str) -> None: ...

    assert bare.spec is empty.spec is UNDECLARED
    assert (full.name, full.description) == ("renamed", "Does it.")
    assert (full.timeout, full.thread, full.idempotent) == (5, "caller", True)
    assert full.spec.bind({"path": "a"}).reads == (parse_label("fs:a"),)
    assert (bare.timeout, bare.thread, bare.idempotent) == (None, None, False)


@pytest.mark.parametrize("nothing", [{"pure": False}, {"reads": None}, {"reads": []}, {"timeout": 3}])
def test_a_declaration_without_effects_leaves_the_tool_a_barrier(nothing: dict[str, Any]) -> None:
    assert tool(**nothing)(add).spec is UNDECLARED


def test_the_one_word_declarations() -> None:
    assert tool(pure=True)(add).spec.pure
    assert Tool(add, effects="pure").spec.pure
    reader = tool(level="read")(add)
    assert reader.spec.declared
    assert reader.spec.bind({}) == Tool(add, effects="read").spec.bind({})
    assert reader.spec.bind({}).reads == (parse_label("*"),)


def test_holes_of_a_tool_that_takes_any_argument_may_name_any() -> None:
    def anything(**fields: Any) -> None: ...

    made = Tool(anything, effects={"writes": "db.{table}"})
    arguments, untold = made.label_arguments({"table": "users", "row": 1})
    assert made.spec.bind(arguments, (), untold).writes == (parse_label("db.users"),)


def test_a_copy_keeps_all_but_what_changes() -> None:
    def there(path: str) -> str:
        return f"/srv/{path}"

    original = Tool(
        save,
        name="s",
        description="d",
        effects={"writes": "fs:{path}", "timeout": 3},
        resolve=there,
        validate=True,
    )
    renamed = original.with_name("t")
    assert (renamed.name, renamed.description, renamed.timeout) == ("t", "d", 3)
    assert renamed.spec.bind({"path": "x"}).writes == (parse_label("fs:/srv/x"),)
    assert list(renamed.validators) == ["path", "mode"]
    declared = original.with_effects({"writes": "fs:{path}", "idempotent": True})
    assert (declared.name, declared.timeout, declared.idempotent) == ("s", None, True)
    assert declared.spec.bind({"path": "x"}).writes == (parse_label("fs:/srv/x"),)
    assert original.timeout == 3
    with pytest.raises(DeclarationError, match="tool 's'"):
        original.with_effects({"writes": "{no}"})


def test_a_toolbox_that_renames_a_tool_keeps_what_it_declares() -> None:
    declared = Tool(add, name="plus", effects={"reads": "n.{a}", "timeout": 2})
    mapping: dict[str, Tool | Callable[..., Any]] = {"sum": declared, "plus": declared, "raw": add}
    box = toolbox(mapping, {"raw": "pure"})
    assert {name: made.name for name, made in box.items()} == {"sum": "sum", "plus": "plus", "raw": "raw"}
    assert box["plus"] is declared
    assert (box["sum"].timeout, list(box["sum"].parameters)) == (2, ["a", "b"])
    assert box["sum"].spec == declared.spec
    assert box["raw"].spec.pure


def test_a_tool_shows_its_name() -> None:
    assert repr(Tool(add)) == "<Tool 'add'>"


def test_a_tool_declared_on_a_method_is_bound_like_one() -> None:
    class Shelf:
        def __init__(self) -> None:
            self.books = ["a"]

        @tool(reads="shelf.{row}")
        def look(self, row: int) -> list[str]:
            return self.books

    shelf = Shelf()
    assert list(shelf.look.parameters) == ["row"]
    assert shelf.look.spec.bind({"row": 3}).reads == (("shelf", "3"),)
    assert shelf.look.invoke({"row": 3}) is shelf.books
    assert shelf.look(row=3) is shelf.books
