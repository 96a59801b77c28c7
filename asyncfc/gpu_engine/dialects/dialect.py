"""Dialect: the tool-call format of one model, both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from asyncfc.errors import DeclarationError
from asyncfc.gpu_engine.dialects.detect import detect
from asyncfc.gpu_engine.dialects.detokenize import Detokenizer, decoder
from asyncfc.gpu_engine.dialects.encoder import Encoder, alternatives
from asyncfc.gpu_engine.dialects.families import THINKING
from asyncfc.gpu_engine.dialects.markers import OF_OTHERS, control_tokens, forbidden_tokens, needed
from asyncfc.gpu_engine.dialects.parts import AnsweredCall
from asyncfc.gpu_engine.dialects.reader import Reader
from asyncfc.gpu_engine.dialects.renderer import Renderer, shielded
from asyncfc.gpu_engine.dialects.scanner import Scanner
from asyncfc.gpu_engine.dialects.shield import Hidden, Shield
from asyncfc.gpu_engine.dialects.tagged import declared_types
from asyncfc.gpu_engine.dialects.turns import Turns

_RESULT = "zQresultQz"
_PROBE = AnsweredCall("callprobe", "probe_tool", {}, _RESULT)


class Dialect:
    """Recognises calls in what a model samples, and renders what the engine injects.

    Args:
        tokenizer: a fast tokenizer of transformers.
        family: the format of the calls, where it cannot be told (`FAMILIES` lists them).
        model_type: of the model's configuration; helps to tell the family.
        chat_template: in Jinja, instead of the tokenizer's own.

    Attributes:
        name: the family, or "response_template" where the tokenizer describes its format itself.
        stop_ids: the tokens that end a turn.
        forbidden_ids: the tokens that the model must not sample: they open or write turns of others (G5).

    Raises:
        DeclarationError: the family cannot be told, or the chat template does not go with it.
    """

    def __init__(
        self,
        tokenizer: Any,
        *,
        family: str | None = None,
        model_type: str | None = None,
        chat_template: str | None = None,
    ) -> None:
        template = chat_template or getattr(tokenizer, "chat_template", None)
        if not isinstance(template, str):
            raise DeclarationError(
                "the tokenizer has no chat template (or several); pass one as chat_template="
            )
        self._tokenizer = tokenizer
        self._decode = decoder(tokenizer)
        self._family = detect(tokenizer, template, family=family, model_type=model_type)
        self.name = self._family.name
        eos = [tokenizer.eos_token] if tokenizer.eos_token else []
        self._turns = Turns(Renderer(tokenizer, template), self._family, [*self._family.stops, *eos])
        self._renderer = self._turns.renderer
        self._find_tokens(template, eos)

    def prompt(
        self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()
    ) -> list[int]:
        """Return the tokens of a conversation, ready for the model to go on as assistant.

        Control tokens that stand in the texts of users, tools and tool schemas become plain words.
        """
        shield = Shield(self._hidden)
        text = self._renderer.text(shielded(messages, shield), [shield.hide(tool) for tool in tools])
        return shield.tokens(text, self._encoder, start=True)

    def reader(self, prompt: Sequence[int], tools: Sequence[Mapping[str, Any]] = ()) -> Reader:
        """Return a reader for the turn that follows the tokens `prompt`."""
        return Reader(
            self._family,
            Detokenizer(self._tokenizer, prompt),
            self._written(prompt),
            self._stops,
            declared_types(tools),
        )

    def kept(self, stop: int, *, calls: bool) -> bool:
        """Whether `stop` is the token with which the chat template ends such a turn.

        If it is not (the model ended its turn with another of the tokens that do so), take it off the token
        list and pass `ended=False`. `calls`: the turn ends with calls.
        """
        return self._stops[stop] == (self._call_end if calls else self._text_end)

    def answers(self, calls: Sequence[AnsweredCall], *, ended: bool) -> list[int]:
        """Return what goes behind a turn that ended with calls: tool turns and the generation prompt.

        Args:
            calls: of that turn, in order, with their answers.
            ended: the token that ends the turn was sampled; otherwise it is among what is returned.
        """
        shield = Shield(self._hidden)
        hidden = [
            AnsweredCall(shield.hide(call.id), shield.hide(call.name), {}, shield.hide(call.text))
            for call in calls
        ]
        _, after = self._turns.answers(hidden)
        return shield.tokens(_behind(after, self._call_end) if ended else after, self._encoder)

    def awaited(self, handles: Sequence[str], text: str, prompt: Sequence[int] = ()) -> list[int]:
        """Return a whole turn that awaits handles, the tool turn with `text`, the generation prompt.

        Args:
            handles: what the forced call awaits.
            text: what answers it.
            prompt: the tokens so far, which end with a generation prompt; one that begins a thought is told
                from one that does not.
        """
        shield = Shield(self._hidden)
        behind_prompt, behind_thought = self._turns.awaited(shield.hide(list(handles)), shield.hide(text))
        if behind_thought:
            behind_thought = self._end_of_thought(prompt) + behind_thought
        return shield.tokens(behind_prompt + behind_thought, self._encoder)

    def said(self, text: str, *, ended: bool) -> list[int]:
        """Return what goes behind a turn of words: a user turn with `text`, the generation prompt.

        `ended`: as for `answers`.
        """
        shield = Shield(self._hidden)
        after = self._turns.said(shield.hide(text))
        return shield.tokens(_behind(after, self._text_end) if ended else after, self._encoder)

    def continued(self, *, ended: bool) -> list[int]:
        """Return what goes behind a turn of words if the model is to go on: the generation prompt.

        `ended`: as for `answers`.
        """
        after = self._turns.continued()
        return self._encoder.middle(_behind(after, self._text_end) if ended else after)

    def encode(self, text: str) -> list[int]:
        """Return the tokens of words in the model's own turn; no control token arises from them."""
        return self._encoder.words(text)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens, control tokens as they are spelled."""
        return str(self._decode(list(tokens)))

    def token_id(self, text: str) -> int | None:
        """Return the one token that is spelled like this, if there is one."""
        tokens = self._encoder.middle(text)
        return tokens[0] if len(tokens) == 1 else None

    def _find_tokens(self, template: str, eos: list[str]) -> None:
        closer, answered = self._turns.answers([_PROBE])
        said = self._turns.said(_RESULT)
        before, opened = self._turns.opening()
        seen = before + opened + closer + answered + said
        control = control_tokens(self._tokenizer, self._family, template + seen)
        pattern = re.compile(alternatives(control))
        known = {*self._family.stops, *eos}
        ends = pattern.findall(answered.partition(_RESULT)[0])
        inside = needed(control, self._family)
        self._call_end = next((end for end in ends if end in known or end not in inside), "")
        self._text_end = next(iter(pattern.findall(said.partition(_RESULT)[0])), "")
        if not (self._call_end and self._text_end):
            raise DeclarationError("the chat template ends a turn of the model without any special token")
        stops = {*known, self._call_end, *({self._text_end} - inside)}
        self._stops = {control[stop]: stop for stop in stops if stop in control}
        if eos:
            self._stops[self._tokenizer.eos_token_id] = eos[0]
        self.stop_ids = frozenset(self._stops)
        own = closer + answered.partition(self._call_end)[0]
        others = before + answered.partition(self._call_end)[2] + opened + said.partition(self._text_end)[2]
        self.forbidden_ids = forbidden_tokens(control, own, others, inside, self.stop_ids)
        self._header = opened[len(before) :]
        self._boundaries = frozenset(self.forbidden_ids)
        self._encoder = Encoder(self._tokenizer, control)
        self._hidden = Hidden(control, control.keys() & (OF_OTHERS | stops) - inside)

    def _written(self, prompt: Sequence[int]) -> str:
        """Return what the chat template pre-wrote of the turn: the generation prompt as a rule.

        Where it writes none (behind tool results, in some), it is what follows the last token of turns of
        others; told by tokens, since what a tool said may look like the beginning of anything.
        """
        header = self._header
        if not header or self.decode(prompt[-len(header) :]).endswith(header):
            return header
        at = next((at for at in reversed(range(len(prompt))) if prompt[at] in self._boundaries), None)
        return "" if at is None else self.decode(prompt[at:])

    def _end_of_thought(self, prompt: Sequence[int]) -> str:
        """Return what ends the thought that the generation prompt began, if it did."""
        written = self._written(prompt) if prompt else self._header
        region = Scanner(self._family.template, written).region
        if region is None or region.field not in THINKING:
            return ""
        literals = self._family.template.fields[region.field].close_literals
        return f"\n{literals[0]}\n\n" if literals else ""


def _behind(text: str, end: str) -> str:
    return text.partition(end)[2] if end in text else text
