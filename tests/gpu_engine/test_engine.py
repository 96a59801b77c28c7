"""The public face: an engine on a real (random, tiny) model."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import aclosing
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, MambaConfig, MambaForCausalLM

from asyncfc import Session
from asyncfc.errors import AsyncFCError, DeclarationError, EngineError, UnsupportedModel
from asyncfc.gpu_engine import Done, Engine, Event, Sampling
from asyncfc.testing.loop import run_virtual
from tests.gpu_engine.writer import USER, tokenizer


def llama(positions: int = 512) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer()),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=positions,
    )
    return LlamaForCausalLM(config).double()


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    return llama()


@pytest.fixture
def engine(model: LlamaForCausalLM) -> Iterator[Engine]:
    with Engine(model, tokenizer(), slots=4, context_tokens=2_048, seconds=lambda _: 1.0) as made:
        yield made


async def talk(engine: Engine, session: Session, messages: Any = USER, **settings: Any) -> list[Event]:
    chat = engine.chat(messages, session, **{"note": False, "max_new_tokens": 12, **settings})
    async with aclosing(chat):
        return [event async for event in chat]


def answer(events: list[Event]) -> Done:
    done = events[-1]
    assert isinstance(done, Done)
    return done


@pytest.mark.parametrize(("inject", "told"), [("turn", True), ("call", False)])
def test_calls_of_the_same_message_have_names_only_where_a_message_may_have_several(
    inject: str, told: bool
) -> None:
    async def main() -> str:
        made = Engine(llama(8_192), tokenizer(), context_tokens=8_192, seconds=lambda _: 1.0)
        with made as engine:
            async with Session([find], id="s") as session:
                await talk(engine, session, inject=inject, note=True, max_new_tokens=1)
                [row] = engine._kept.values()
                return engine.dialect.decode(row.tokens)

    prompt = run_virtual(main())
    assert "future" in prompt
    assert ("$this_" in prompt) is told


def find(q: str) -> str:
    """Find something."""
    return q


# --- what goes wrong --------------------------------------------------------------------------------


def test_a_model_that_cannot_work_is_refused_with_the_reason() -> None:
    mamba = MambaForCausalLM(MambaConfig(vocab_size=64, hidden_size=16, num_hidden_layers=1, state_size=4))
    with pytest.raises(UnsupportedModel, match="MambaForCausalLM"):
        Engine(mamba, tokenizer())


def test_a_failed_start_gives_the_model_back_as_it_was(model: LlamaForCausalLM) -> None:
    before = model.config._attn_implementation
    with pytest.raises(AsyncFCError, match="family"):
        Engine(model, tokenizer(), dialect="no such family")
    assert model.config._attn_implementation == before


def test_a_setting_that_does_not_exist_is_named(engine: Engine) -> None:
    async def main() -> None:
        async with Session([find]) as session:
            with pytest.raises(DeclarationError, match="there is no setting 'finale'; did you mean 'final'"):
                await talk(engine, session, finale="deliver")

    run_virtual(main())


def test_a_setting_of_the_session_is_sent_there(engine: Engine) -> None:
    async def main() -> None:
        async with Session([find]) as session:
            with pytest.raises(DeclarationError, match="settings of the Session"):
                await talk(engine, session, grace=3)

    run_virtual(main())


def test_a_prompt_that_does_not_fit_is_refused_and_the_engine_goes_on(engine: Engine) -> None:
    async def main() -> int:
        async with Session([find]) as session:
            with pytest.raises(EngineError, match="at most 512 fit"):
                await talk(engine, session, [{"role": "user", "content": "x" * 600}])
            return answer(await talk(engine, session)).sampled

    assert run_virtual(main()) == 12


def test_two_turns_of_one_session_at_once_are_refused(engine: Engine) -> None:
    async def main() -> list[Any]:
        async with Session([find]) as session:
            turns = (talk(engine, session), talk(engine, session))
            return list(await asyncio.gather(*turns, return_exceptions=True))

    first, second = run_virtual(main())
    assert isinstance(first[-1], Done)
    assert isinstance(second, EngineError)
    assert "one at a time" in str(second)


def test_a_closed_engine_says_so(model: LlamaForCausalLM) -> None:
    engine = Engine(model, tokenizer(), context_tokens=256)
    engine.close()
    engine.close()

    async def main() -> None:
        async with Session([find]) as session:
            with pytest.raises(EngineError, match="the engine is closed"):
                await talk(engine, session)

    asyncio.run(main())


def test_leaving_a_conversation_early_frees_its_row(engine: Engine) -> None:
    async def main() -> None:
        async with Session([find]) as session:
            chat = engine.chat(USER, session, note=False, max_new_tokens=400)
            async with aclosing(chat):
                await anext(chat)
            assert engine.core.running == engine.core.trapped == ()

    run_virtual(main())
    assert engine.core.pool.free == engine.core.pool.count


# --- what works -------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_words_whatever_else_is_in_the_batch(engine: Engine) -> None:
    sampling = Sampling(temperature=1.0, seed=7)

    async def alone() -> str:
        async with Session([find], id="s") as session:
            return answer(await talk(engine, session, sampling=sampling)).text

    async def among(others: int) -> str:
        async def other(number: int) -> None:
            async with Session([find]) as session:
                messages = [{"role": "user", "content": "x" * number}]
                await talk(engine, session, messages, sampling=Sampling(temperature=2.0, seed=number))

        mine = asyncio.create_task(alone())
        await asyncio.gather(mine, *(other(number) for number in range(others)))
        return mine.result()

    assert run_virtual(alone()) == run_virtual(among(5)) != ""


def test_the_next_turn_computes_only_what_is_new(engine: Engine) -> None:
    async def main() -> tuple[int, int]:
        async with Session([find], id="s") as session:
            first = answer(await talk(engine, session, [{"role": "user", "content": "long " * 20}]))
            before = engine.core.computed
            messages = [*first.messages, {"role": "user", "content": "more"}]
            await talk(engine, session, messages, max_new_tokens=1)
            again = engine.core.computed - before
            engine.release(session)
            before = engine.core.computed
            await talk(engine, session, messages, max_new_tokens=1)
            return again, engine.core.computed - before

    again, anew = run_virtual(main())
    assert again < anew / 2


def test_a_kept_conversation_goes_with_its_session(engine: Engine) -> None:
    async def main() -> None:
        async with Session([find]) as session:
            await talk(engine, session)
            assert len(engine.core.trapped) == 1
            engine.release(session)
            engine.release(session)

    run_virtual(main())
    assert engine.core.pool.free == engine.core.pool.count


def test_a_kept_conversation_goes_with_its_session_even_if_nobody_says_so(engine: Engine) -> None:
    async def main() -> None:
        for _ in range(3):
            async with Session([find]) as session:
                await talk(engine, session)
            del session
            gc.collect()
        async with Session([find]) as other:
            await talk(engine, other)
            assert len(engine.core.trapped) == 1

    run_virtual(main())


@pytest.mark.parametrize(
    "wrong", [{"protocol": "CML"}, {"inject": "trun"}, {"trap": "anny", "protocol": "cml"}]
)
def test_a_setting_of_the_engine_that_is_written_wrongly_is_refused(
    engine: Engine, wrong: dict[str, Any]
) -> None:
    async def main() -> None:
        async with Session([find]) as session:
            with pytest.raises(DeclarationError, match=next(iter(wrong))):
                await talk(engine, session, **wrong)

    run_virtual(main())


def test_a_cancellation_is_never_swallowed(model: LlamaForCausalLM) -> None:
    async def main() -> None:
        with Engine(model, tokenizer(), context_tokens=1_024) as engine:
            async with Session([find]) as session:
                task = asyncio.create_task(talk(engine, session, max_new_tokens=400))
                await asyncio.sleep(0.05)
                task.cancel()
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task

    asyncio.run(main())


def test_programs_without_a_loop_have_a_blocking_form(model: LlamaForCausalLM) -> None:
    events: list[Event] = []
    with Engine(model, tokenizer(), context_tokens=512) as engine:
        settings: dict[str, Any] = {"note": False, "max_new_tokens": 5, "grace": 1, "final": "substitute"}
        done = engine.run(USER, [find], on_event=events.append, **settings)
    assert done.reason == "length"
    assert done.sampled == 5
    assert events[-1] is done


def test_an_engine_serves_one_loop_after_the_other(model: LlamaForCausalLM) -> None:
    with Engine(model, tokenizer(), context_tokens=512) as engine:
        texts = [engine.run(USER, [find], note=False, max_new_tokens=5).text for _ in range(2)]
    assert texts[0] == texts[1]


def test_closing_gives_the_model_back(model: LlamaForCausalLM) -> None:
    ids = torch.tensor([[1, 2, 3]])
    with torch.inference_mode():
        before = model(input_ids=ids).logits
        Engine(model, tokenizer(), context_tokens=512).close()
        assert torch.equal(model(input_ids=ids).logits, before)
