"""The cases: what a model says to each framework, and what must come of it. See `harness.Case`.

Where a step is `PROVISIONAL`, a call of it ends only then (`until`): that its outcome is still unseen is
certain, so asyncfc must wait for it, tell the model and ask again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from typing import Any

from asyncfc.testing.models import Ask, Emit, View
from tests.adapters.conformance.harness import Case, Check, Does, Ran, Step, texts_of

PROVISIONAL = Emit("This is provisional.")
"""What is said while outcomes are unseen; nobody may see it."""
AWAIT = Emit(calls=[("await_future", {})])
IRREVERSIBLE = {"writes": ["bank"], "level": "irreversible"}
PATIENT = {"grace": 60}
"""A grace within which every tool ends that waits for nothing."""
SUBSTITUTE = {"final": "substitute"}
OPEN = {"final": "open"}
CATS = ("search", {"text": "cats"})


# --- tools: what they do; when they end is said by the case -------------------------------------------


def search(text: str) -> str:
    """Search for a text."""
    return f"found {text}"


def fetch(url: str) -> dict[str, Any]:
    """Fetch a page."""
    return {"title": f"page of {url}", "items": [{"id": 7}, {"id": 8}]}


def put(text: str) -> str:
    """Put a text."""
    return f"put {text}"


def lookup(number: int) -> int:
    """Look up a number."""
    return 10 * number


def collect(items: list[dict[str, str]]) -> str:
    """Collect texts."""
    return "collected " + ", ".join(item["text"] for item in items)


def broken(url: str) -> str:
    """Fetch a page that is not there."""
    raise ValueError(f"no such page: {url}")


def pay(amount: int) -> str:
    """Pay an amount."""
    return f"paid {amount}"


def show(text: str) -> str:
    """Show a log."""
    return "see $this_1 and $this_2"


# --- what the model says ------------------------------------------------------------------------------


def tells(view: View) -> Emit:
    """The last words: all that the model was told, handles and all, so that these must be replaced."""
    return Emit("Told: " + " | ".join(texts_of(view)))


def tells_what_is_put(view: View) -> Emit:
    """Those that are about the second turn; handles of the first may be those of a session that is over."""
    return Emit("Told: " + " | ".join(text for text in texts_of(view) if "put x" in text))


def tells_or_awaits(view: View) -> Emit:
    """The same once everything is told; until then, wait for it."""
    told = any(" = search(" in text for text in texts_of(view))
    return tells(view) if told else AWAIT


def calls(name: str, **arguments: Any) -> Emit:
    """A message with one call."""
    return Emit(calls=[(name, arguments)])


def asks_with(tool: str, key: str, pattern: str, of: str = "search") -> Step:
    """A step that passes the result of a tool on: `{h}` is its handle, `{name}` the same without its `$`."""

    def step(view: View) -> Emit:
        handle = view.passed_on(of)
        return Emit(calls=[(tool, {key: pattern.format(h=handle, name=handle[1:])})])

    return step


def told(view: View, text: str) -> bool:
    """Whether the model knows it."""
    return any(text in one for one in texts_of(view))


def runs_together(ran: Ran) -> bool:
    """Whether all calls had begun before the first of them ended."""
    return max(run.began for run in ran.runs) < min(run.ended or 0 for run in ran.runs)


def one_after_the_other(ran: Ran, *tools: str) -> None:
    """These calls ran in this order."""
    times = [(run.began, run.ended) for tool in tools for run in ran.of(tool)]
    ends = [time for pair in times for time in pair]
    assert len(times) == len(tools)
    assert ends == sorted(time or 0 for time in ends), ran.runs


# --- the cases ------------------------------------------------------------------------------------------

CASES: list[Case] = []


def case(name: str, steps: Sequence[Step], tools: Sequence[Does], **more: Any) -> Callable[[Check], Check]:
    """Add a case; decorates what checks it."""

    def add(check: Check) -> Check:
        CASES.append(Case(name, steps, check, tools, **more))
        return check

    return add


@case(
    "independent calls run together, and the model goes on",
    [
        Emit("Let me see.", calls=[CATS, ("search", {"text": "dogs"}), ("fetch", {"url": "a"})]),
        PROVISIONAL,
        tells,
    ],
    [Does(search, until=2), Does(fetch, until=2)],
)
def _(ran: Ran) -> None:
    assert runs_together(ran)
    assert len(ran.runs) == 3
    assert [answer.text.count("is running") for answer in ran.views[1].answers()] == [1, 1, 1]
    for value in ("found cats", "found dogs", "page of a"):
        assert value in ran.text


@case(
    "a handle is passed on to the next call",
    [Emit(calls=[CATS]), asks_with("fetch", "url", "{h}"), PROVISIONAL, tells],
    [Does(search, until=3), Does(fetch)],
)
def _(ran: Ran) -> None:
    assert ran.inputs("fetch") == [{"url": "found cats"}]
    assert "page of found cats" in ran.text


@case(
    "a handle deep in an argument",
    [
        Emit(calls=[CATS]),
        lambda view: calls("collect", items=[{"text": view.passed_on("search")}, {"text": "dogs"}]),
        PROVISIONAL,
        tells,
    ],
    [Does(search, until=3), Does(collect)],
)
def _(ran: Ran) -> None:
    assert ran.inputs("collect") == [{"items": [{"text": "found cats"}, {"text": "dogs"}]}]
    assert "collected found cats, dogs" in ran.text


@case(
    "a handle with a path, where an integer is expected",
    [
        calls("fetch", url="a"),
        asks_with("lookup", "number", "{h}.items[1].id", of="fetch"),
        PROVISIONAL,
        tells,
    ],
    [Does(fetch, until=3), Does(lookup)],
)
def _(ran: Ran) -> None:
    assert ran.inputs("lookup") == [{"number": 8}]
    assert "string" in json.dumps(ran.last.tools["lookup"].schema)  # a handle is one
    assert "80" in ran.text


@case(
    "handles in prose",
    [
        calls("fetch", url="a"),
        asks_with("put", "text", "The ${{{name}.title}}!", of="fetch"),
        PROVISIONAL,
        tells,
    ],
    [Does(fetch, until=3), Does(put)],
)
def _(ran: Ran) -> None:
    assert ran.inputs("put") == [{"text": "The page of a!"}]


@case(
    "calls of one message that depend on each other",
    [
        Emit(
            calls=[
                ("fetch", {"url": "a"}),
                ("lookup", {"number": "$this_1.items[0].id"}),
                ("put", {"text": "got ${this_2}"}),
            ]
        ),
        PROVISIONAL,
        tells,
    ],
    [Does(fetch, until=2), Does(lookup), Does(put)],
)
def _(ran: Ran) -> None:
    assert [run.arguments for run in ran.runs] == [{"url": "a"}, {"number": 7}, {"text": "got 70"}]
    assert "put got 70" in ran.text


@case(
    "a failure reaches what depends on it, and nothing else",
    [
        Emit(calls=[("broken", {"url": "x"}), ("fetch", {"url": "$this_1"}), ("put", {"text": "y"})]),
        PROVISIONAL,
        tells,
    ],
    [Does(broken, {"writes": ["notes"]}, until=2), Does(fetch), Does(put, {"writes": ["notes"]})],
)
def _(ran: Ran) -> None:
    assert ran.of("fetch") == []
    one_after_the_other(ran, "broken", "put")
    assert told(ran.last, "UpstreamFailed")
    assert "no such page: x" in ran.text
    assert "put y" in ran.text


@case(
    "a failure is told within grace, too",
    [calls("broken", url="x"), tells],
    [Does(broken)],
    settings=PATIENT,
)
def _(ran: Ran) -> None:
    assert len(ran.runs) == 1
    assert "no such page: x" in ran.text


@case(
    "an irreversible call waits until the model knows what came before",
    [Emit(calls=[CATS]), calls("pay", amount=5), calls("pay", amount=4), PROVISIONAL, tells],
    [Does(search, until=2), Does(pay, IRREVERSIBLE, until=4)],
)
def _(ran: Ran) -> None:
    assert ran.inputs("pay") == [{"amount": 4}]
    assert "was not made" in ran.views[2].answer_of("pay")
    assert told(ran.views[2], "found cats")
    assert "paid 4" in ran.text


@case(
    "a call that takes too long",
    [Emit(calls=[CATS]), AWAIT, tells],
    [Does(search, {"pure": True, "timeout": 0.02}, until=3)],
)
def _(ran: Ran) -> None:
    assert "ToolTimeout" in ran.text
    assert "found cats" not in ran.text


def _cancel(view: View) -> Emit:
    return calls("cancel_future", handle=view.passed_on("search"))


@case(
    "the model cancels a call",
    [Emit(calls=[CATS]), _cancel, tells_or_awaits],
    [Does(search, until=9)],
    then=tells_or_awaits,
    needs=frozenset({"cancel"}),
)
def _(ran: Ran) -> None:
    assert told(ran.views[2], "was asked to stop")
    assert ran.runs[0].error is not None
    assert "was cancelled" in ran.text


@case(
    "the model cancels a call that cannot be stopped",
    [Emit(calls=[CATS]), _cancel, PROVISIONAL, tells],
    [Does(search, until=3)],
    without="cancel",
)
def _(ran: Ran) -> None:
    assert told(ran.views[2], "cannot be stopped")
    assert ran.runs[0].error is None
    assert "found cats" in ran.text


# --- answers and awaits ---


@case("within grace the value goes out", [Emit(calls=[CATS]), tells], [Does(search)], settings=PATIENT)
def _(ran: Ran) -> None:
    assert not told(ran.last, "is running")
    assert "found cats" in ran.text


@case(
    "after grace the handle goes out",
    [Emit(calls=[CATS]), PROVISIONAL, tells],
    [Does(search, until=2)],
    settings={"grace": 0.01},
)
def _(ran: Ran) -> None:
    assert "is running" in ran.views[1].answer_of("search")


@case(
    "the model awaits all",
    [Emit(calls=[CATS, ("fetch", {"url": "a"})]), AWAIT, tells],
    [Does(search, until=2), Does(fetch, until=2)],
)
def _(ran: Ran) -> None:
    answer = ran.last.answer_of("await_future")
    assert "found cats" in answer
    assert "page of a" in answer


@case(
    "the model awaits any",
    [
        Emit(calls=[CATS, ("fetch", {"url": "a"})]),
        lambda view: calls("await_future", handles=view.handles(), mode="any"),
        PROVISIONAL,
        tells,
    ],
    [Does(search, until=2), Does(fetch, until=3)],
)
def _(ran: Ran) -> None:
    answer = ran.views[2].answer_of("await_future")
    assert "found cats" in answer
    assert re.search(r"Still running: \$\w+ \(fetch\)", answer)
    assert "page of a" in ran.text


@case(
    "the model awaits for a time",
    [Emit(calls=[CATS]), calls("await_future", timeout=0.01), PROVISIONAL, tells],
    [Does(search, until=3)],
)
def _(ran: Ran) -> None:
    assert "Still running" in ran.views[2].answer_of("await_future")
    assert "found cats" in ran.text


@case(
    "an await beside the call that it is for",
    [Emit(calls=[CATS, ("await_future", {"handles": ["$this_1"]})]), tells],
    [Does(search)],
)
def _(ran: Ran) -> None:
    assert "found cats" in ran.text


# --- the last word ---


@case(
    "values take the place of handles in the last words",
    [Emit(calls=[CATS]), lambda view: Emit(f"It is {view.passed_on('search')}.")],
    [Does(search, until=2)],
    settings=SUBSTITUTE,
    untold=True,
)
def _(ran: Ran) -> None:
    assert ran.text == "It is found cats."


@case(
    "a failure is told, not substituted",
    [calls("broken", url="x"), lambda view: Emit(f"provisional: {view.passed_on('broken')}"), tells],
    [Does(broken, until=2)],
    settings=SUBSTITUTE,
)
def _(ran: Ran) -> None:
    assert "no such page: x" in ran.text


@case(
    "calls go on into the next turn of the user",
    [Emit(calls=[CATS]), Emit("It runs."), tells_or_awaits],
    [Does(search, until=3)],
    then=tells_or_awaits,
    turns=("Go.", "And now?"),
    settings=OPEN,
    needs=frozenset({"open"}),
)
def _(ran: Ran) -> None:
    assert ran.texts[0] == "It runs."
    assert "found cats" in ran.text
    assert len(ran.runs) == 1


@case(
    "an open turn waits for what its text names",
    [Emit(calls=[CATS]), lambda view: Emit(f"It is {view.passed_on('search')}.")],
    [Does(search, until=2)],
    settings=OPEN,
    untold=True,
)
def _(ran: Ran) -> None:
    assert ran.text == "It is found cats."


@case(
    "a message asked for only because outcomes were unseen is counted and capped",
    [Emit(calls=[CATS]), PROVISIONAL, calls("put", text="x"), tells],
    [Does(search, until=2), Does(put, until=3)],
    settings={"max_extra_messages": 1},
)
def _(ran: Ran) -> None:
    assert "put x" in ran.last.answer_of("put")
    assert not told(ran.last, "_2 is running")


FORM = {
    "type": "object",
    "properties": {"answer": {"type": "string"}},
    "required": ["answer"],
    "additionalProperties": False,
}


@case(
    "structured output is asked for once all is known, and holds no handle",
    [
        Emit(calls=[CATS]),
        Emit(json.dumps({"answer": "provisional"})),
        lambda view: Emit(json.dumps({"answer": view.passed_on("search")})),
    ],
    [Does(search, until=2)],
    structured=FORM,
    needs=frozenset({"structured"}),
)
def _(ran: Ran) -> None:
    assert json.loads(ran.text) == {"answer": "found cats"}


# --- handles that name nothing ---


def _bad_handles(view: View) -> Emit:
    forward = view.passed_on("search").replace("_1", "_99")
    return Emit(calls=[("put", {"text": text}) for text in ("$zz9z_7", forward, "$this_3", "$this_4")])


@case(
    "invented, foreign, forward and self handles get one and the same answer",
    [Emit(calls=[CATS]), _bad_handles, PROVISIONAL, Emit("Sorry.")],
    [Does(search, until=3), Does(put)],
)
def _(ran: Ran) -> None:
    assert ran.of("put") == []
    texts = [re.sub(r"\$\w+_\d+", "$", answer.text) for answer in ran.views[2].answers("put")]
    assert len(texts) == 4
    assert len(set(texts)) == 1
    assert "UnknownHandle" in texts[0]


@case(
    "text that only looks like a handle passes unharmed",
    [calls("show", text="x"), lambda view: calls("put", text=view.answer_of("show")), Emit("Done.")],
    [Does(show), Does(put)],
    turns=("Go with $this_1.",),
    settings=PATIENT,
)
def _(ran: Ran) -> None:
    assert told(ran.last, "Go with $$this_1.")
    assert told(ran.last, "see $$this_1 and $$this_2")
    assert ran.inputs("put") == [{"text": "see $this_1 and $this_2"}]


# --- who asks ---


@case(
    "an inline tool is answered with its value, after what it depends on",
    [Emit(calls=[CATS]), asks_with("put", "text", "{h}"), tells],
    [Does(search, until=2), Does(put, inline=True)],
)
def _(ran: Ran) -> None:
    assert ran.inputs("put") == [{"text": "found cats"}]
    assert "put found cats" in ran.views[2].answer_of("put")
    assert told(ran.views[2], "found cats")  # by then it was known, so it came along
    assert "_2 is running" not in ran.views[2].answer_of("put")


@case(
    "a program of the model gets values",
    [Emit(calls=[Ask("search", {"text": "cats"}, kind="program")]), tells],
    [Does(search)],
    needs=frozenset({"program"}),
)
def _(ran: Ran) -> None:
    assert ran.last.answer_of("search") == "found cats"


@case(
    "a tool that is not there",
    [Emit(calls=[("no_such_tool", {"x": 1}), CATS]), PROVISIONAL, tells],
    [Does(search, until=2)],
    needs=frozenset({"unknown"}),
)
def _(ran: Ran) -> None:
    assert [run.tool for run in ran.runs] == ["search"]
    assert ran.last.answer_of("no_such_tool")
    assert "found cats" in ran.text


# --- order ---


@case(
    "calls that touch the same run in the order of the message",
    [Emit(calls=[("put", {"text": str(n)}) for n in range(8)]), PROVISIONAL, tells],
    [Does(put, {"writes": ["notes"]}, until=2)],
)
def _(ran: Ran) -> None:
    assert ran.inputs("put") == [{"text": str(n)} for n in range(8)]
    times = [time for run in ran.runs for time in (run.began, run.ended)]
    assert times == list(range(1, 17))


@case(
    "a read waits for the write before it, and a pure call for nothing",
    [calls("put", text="x"), Emit(calls=[CATS, ("fetch", {"url": "a"})]), PROVISIONAL, tells],
    [Does(put, {"writes": ["notes"]}, until=3), Does(search, {"reads": ["notes"]}), Does(fetch)],
)
def _(ran: Ran) -> None:
    one_after_the_other(ran, "put", "search")
    assert ran.of("fetch")[0].began < (ran.of("put")[0].ended or 0)


@case(
    "undeclared calls of one message run together where they did so without asyncfc",
    [Emit(calls=[CATS, ("put", {"text": "x"})]), PROVISIONAL, tells],
    [Does(search, None, after=("put", 1), until=2), Does(put, None, until=2)],
    needs=frozenset({"together"}),
)
def _(ran: Ran) -> None:
    assert runs_together(ran)


@case(
    "undeclared calls of one message run in its order where they did so without asyncfc",
    [Emit(calls=[CATS, ("put", {"text": "x"})]), PROVISIONAL, tells],
    [Does(search, None, until=2), Does(put, None)],
    without="together",
)
def _(ran: Ran) -> None:
    one_after_the_other(ran, "search", "put")


@case(
    "undeclared calls of different messages run in their order",
    [Emit(calls=[CATS]), calls("put", text="x"), PROVISIONAL, tells],
    [Does(search, None, until=3), Does(put, None)],
)
def _(ran: Ran) -> None:
    one_after_the_other(ran, "search", "put")


# --- the conversation ---


def _second_turn(ran: Ran) -> None:
    assert len(ran.runs) == 2
    assert "found cats" in ran.texts[0]
    assert "put x" in ran.texts[1]


TWO_TURNS: list[Step] = [
    Emit(calls=[CATS]),
    PROVISIONAL,
    tells,
    calls("put", text="x"),
    PROVISIONAL,
    tells_what_is_put,
]


@case(
    "every turn of the user gets its own results",
    TWO_TURNS,
    [Does(search, until=2), Does(put, until=5)],
    turns=("Go.", "Go on."),
)
def _(ran: Ran) -> None:
    _second_turn(ran)


@case(
    "what the model has seen goes with its history",
    TWO_TURNS,
    [Does(search, until=2), Does(put, until=5)],
    turns=("Go.", "Go on."),
    forgets=True,
)
def _(ran: Ran) -> None:
    _second_turn(ran)
    assert not told(ran.last, "found cats")


@case(
    "what the model has not seen comes, though its call is gone from the history",
    [Emit(calls=[CATS]), Emit("It runs."), tells_or_awaits],
    [Does(search, until=3)],
    then=tells_or_awaits,
    turns=("Go.", "And now?"),
    settings=OPEN,
    forgets=True,
    needs=frozenset({"open"}),
)
def _(ran: Ran) -> None:
    assert re.search(r"= search\(\{\"text\": ?\"cats\"\}\) has ended", "\n".join(texts_of(ran.last)))
    assert "found cats" in ran.text


@case(
    "a request that failed brings the same when it is sent again",
    [Emit(calls=[CATS]), asks_with("put", "text", "{h}"), tells],
    [Does(search, until=2), Does(put, inline=True)],
    faults=(None, None, "500"),
    needs=frozenset({"retry"}),
)
def _(ran: Ran) -> None:
    assert [run.tool for run in ran.runs] == ["search", "put"]
    assert len(ran.views) == 3
    assert told(ran.last, "has ended:\nfound cats")


@case(
    "calls that are asked for again do not run again",
    [Emit(calls=[CATS, ("put", {"text": "x"})]), PROVISIONAL, tells],
    [Does(search, until=2), Does(put)],
    resubmits=True,
    needs=frozenset({"resubmit"}),
)
def _(ran: Ran) -> None:
    assert sorted(run.tool for run in ran.runs) == ["put", "search"]
    assert "found cats" in ran.text
