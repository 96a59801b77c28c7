from __future__ import annotations

from functools import partial

from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

from asyncfc.depgraph.effects import conflict
from asyncfc.testing import directed
from asyncfc.testing.oracle import Ref, Step, Text, refs
from asyncfc.testing.programs import Emitted, Program, declared_as, has_late_label, programs
from asyncfc.testing.trial import in_order

ALL = [
    programs(),
    programs(limits=True),
    directed.never_runs(),
    directed.wide_covers(),
    directed.two_failed_inputs(),
    directed.live_results(),
]


@given(st.one_of(*ALL, directed.escapes()))
def test_every_program_is_well_formed_and_its_repr_can_be_pasted(program: Program) -> None:
    steps = program.steps
    assert [step.arguments["n"] for step in steps] == list(range(len(steps)))
    assert all(ref.call < n for n, step in enumerate(steps) for ref in refs(step.arguments))
    assert all(1 <= len(message.steps) <= 4 for message in program.messages)
    names = {"Program": Program, "Emitted": Emitted, "Step": Step, "Ref": Ref, "Text": Text}
    assert eval(repr(program), names) == program


@given(st.one_of(ALL))
def test_every_program_can_be_run_in_order_and_repeats_itself(program: Program) -> None:
    assert in_order(program).promised == in_order(program).promised


def test_emission_times_add_up_the_gaps() -> None:
    step = Step("pick", {"n": 0, "path": "a"})
    program = Program((Emitted((step, step), (1, 2, 4)), Emitted((step,), (0, 8))))
    assert program.sealed_at == [1, 3, 7]
    assert program.committed_at == [7, 7, 15]


@given(programs(barriers=False))
def test_declaring_tools_otherwise_changes_nothing_but_their_names(program: Program) -> None:
    wide = declared_as(program, "wide")
    assert [step.arguments for step in wide.steps] == [step.arguments for step in program.steps]
    assert {step.tool.partition("_")[2] for step in wide.steps if step.tool != "pick"} <= {"wide", "a"}
    (digests, cells), (wide_digests, wide_cells) = in_order(program).promised, in_order(wide).promised
    assert wide_cells == cells
    assert [digest[:2] for digest in wide_digests] == [digest[:2] for digest in digests]


def _kinds(program: Program) -> set[str]:
    """The kinds of conflict between calls of the program, and what else it has that is rare."""
    trial = in_order(program)
    claims = [trial.tools[step.tool].spec.bind(step.arguments) for step in program.steps]
    pairs = ((claims[i], claims[j]) for j in range(len(claims)) for i in range(j))
    found = {reason.kind for one, two in pairs if (reason := conflict(one, two)) is not None}
    return {*found, *(digest[0] for digest in trial.promised[0])}


def _shows(kind: str, program: Program) -> bool:
    return kind in _kinds(program)


def test_random_programs_have_every_kind_of_conflict_and_of_outcome() -> None:
    quick = settings(max_examples=50, phases=[Phase.generate], derandomize=True, database=None)
    found: set[str] = set()
    for kind in ("RAW", "WAR", "WAW", "value", "failure", "upstream"):
        if kind not in found:
            found |= _kinds(find(programs(), partial(_shows, kind), settings=quick))
    find(programs(), lambda program: any(map(has_late_label, program.steps)), settings=quick)
