"""The simulator: its bounds are bounds, its numbers come out right on programs done by hand."""

from __future__ import annotations

import json
import random
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner

from benchmarks.simulate import agents as simulated
from benchmarks.simulate.__main__ import app
from benchmarks.simulate.agents import Agent, Work
from benchmarks.simulate.plot import distributions
from benchmarks.simulate.programs import GENERATORS, WINDOW, Step, lower_bound, spread
from benchmarks.simulate.runs import compare, makespans

CHAIN = (*(Step(0, 1.0) for _ in range(4)), Step(1, 2.0), Step(1, 2.0, (4,)))


def test_the_bound_is_the_longest_way_or_all_work_over_the_slots() -> None:
    assert lower_bound(CHAIN, 1) == 8
    assert lower_bound(CHAIN, 2) == 4
    assert lower_bound((Step(0, 1.0, room=1), Step(0, 5.0, room=2), Step(0, 5.0, room=1)), 9) == 6


@pytest.mark.parametrize("kind", GENERATORS)
def test_no_schedule_beats_the_bound_and_one_slot_meets_it(kind: str) -> None:
    rng = random.Random(1)
    programs = [GENERATORS[kind](rng, lambda _: rng.uniform(0.1, 3)) for _ in range(2)]
    for program in programs:
        assert 2 <= len(program) <= 200
        assert all(parent < n for n, step in enumerate(program) for parent in step.parents)
    for slots in (1, 3):
        (took, other) = makespans(programs, slots, "critical")
        for seconds, program in zip((took, other), programs, strict=True):
            assert seconds >= lower_bound(program, slots) - 1e-9
            if slots == 1:
                assert seconds == pytest.approx(lower_bound(program, 1))


def test_programs_are_drawn_as_they_say() -> None:
    rng = random.Random(0)
    programs = [spread(rng, lambda _: 1.0) for _ in range(100)]
    assert {len(program) for program in programs} <= set(range(10, 101))
    late = [(n, step) for program in programs for n, step in enumerate(program) if n >= WINDOW]
    assert all(n - WINDOW <= parent for n, step in late for parent in step.parents)
    parts = [sum(len(step.parents) == k for _, step in late) / len(late) for k in range(4)]
    assert parts == pytest.approx([0.25, 0.45, 0.20, 0.10], abs=0.03)


def test_known_programs_take_what_they_must() -> None:
    warm = tuple(Step(n % 2, 1.0 + n % 2) for n in range(2))
    assert makespans([warm, CHAIN], 2, "critical")[1] == 4
    assert makespans([warm, CHAIN], 2, "emission")[1] == 6


def test_it_is_the_same_every_time() -> None:
    assert compare("fans", 3, 4, seed=7) == compare("fans", 3, 4, seed=7)


@pytest.mark.slow
def test_the_targets_are_met() -> None:
    found = compare("spread", 200, 4, seed=0)
    assert found.mean_ratio_to_lower_bound <= 1.03
    assert found.mean_ratio_to_emission_order <= 0.96


def test_the_longest_way_of_an_agent_ends_where_a_call_fails() -> None:
    works = (Work(0, 3.0, (), fails=True), Work(0, 50.0, (0,), fails=False), Work(0, 1.0, (), fails=False))
    assert simulated.bound(Agent(0.0, ((1.0, works),))) == 4


@pytest.mark.parametrize("how", simulated.HOWS)
def test_agents_end_not_before_their_longest_way_and_keep_the_slots_busy(how: simulated.How) -> None:
    agents = simulated.draw(12, 2, seed=3)
    lived = simulated.live(agents, 2, how)
    for agent, seconds in zip(agents, lived.seconds, strict=True):
        assert seconds >= simulated.bound(agent) - 1e-9
    assert 0.2 < lived.utilisation <= 1


def test_a_plot_is_one_well_formed_picture(tmp_path: Path) -> None:
    picture = distributions({"a <b>": [1.0, 2.0, 30.0], "c": [0.5] * 3}, "seconds")
    root = ET.fromstring(picture)
    assert len(root.findall("{*}polyline")) == 2
    assert "a <b>" in [text.text for text in root.findall("{*}text")]


@pytest.mark.slow
def test_the_command_prints_one_object_and_its_status_says_whether_the_targets_are_met(
    tmp_path: Path,
) -> None:
    plot = tmp_path / "plot.svg"
    arguments = ["--programs", "5", "--agents", "5", "--seed", "1", "--json", "--plot", str(plot)]
    result = CliRunner().invoke(app, arguments)
    found = json.loads(result.stdout.splitlines()[-1])
    met = found["mean_ratio_to_lower_bound"] <= 1.03 and found["mean_ratio_to_emission_order"] <= 0.96
    assert result.exit_code == (0 if met else 1)
    assert found["programs"] == 5
    assert set(found["generators"]) == set(GENERATORS) - {"spread"}
    assert plot.read_text(encoding="utf-8").startswith("<svg")
    assert "slots in use" in CliRunner().invoke(app, arguments[:6]).stdout
