"""Tool: a function with its schema, declared effects and limits.

A plain function gets the JSON values as the model wrote them, just as in the user's own loop: its
annotations are schema for the model, not checks (DESIGN V2b). Only parameters that are pydantic
models, or all of them with `validate=True`, are validated, right before the work starts.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, overload

from asyncfc.depgraph.effects import UNDECLARED, EffectSpec, LabelsOf
from asyncfc.errors import BadArguments, DeclarationError
from asyncfc.futures.call import short_name
from asyncfc.signature import Signature, innermost, is_async, is_model, name_of, return_annotation

if TYPE_CHECKING:  # it loads pydantic
    from asyncfc.depgraph.declaration import Breaker

Thread: TypeAlias = Literal["worker", "pool", "caller"]


class Tool:
    """A function that a model may call. Still callable itself, as the function that it wraps.

    A function that is a generator (or an async one), or returns one, gives its result item by item: the
    result is the list of what it yields, and each item is a `progress` event as it comes. A cancelled or
    timed-out one is closed. What a generator returns at its end is not used.

    Args:
        function: sync or async; a function, a bound method or any callable.
        name: default: the function's own.
        description: default: its docstring.
        effects: a declaration in the one written form (DESIGN §4): a mapping such as
            `{"reads": ["fs:{path}"], "timeout": 5}`, or `"pure"` or `"read"`. None: undeclared, so
            that the call is a barrier: ordered against every other call.
        validate: check all arguments against the annotations with pydantic before the work starts.
        resolve: maps the path that an `fs:` label spells to the one that the tool will really touch.
        schema: JSON schema of the parameters, `{"type": "object", ...}`, where the signature does not say
            them: the function then takes whatever the schema admits, by name.
        returns: JSON schema of the result; default: by the return annotation.

    Raises:
        DeclarationError: no usable name or signature, an annotation that cannot be checked although
            that was asked for, or the effects are written wrongly.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        effects: Mapping[str, Any] | str | None = None,
        validate: bool = False,
        resolve: Callable[[str], str] | None = None,
        schema: Mapping[str, Any] | None = None,
        returns: Mapping[str, Any] | None = None,
    ) -> None:
        if isinstance(function, Tool):
            raise DeclarationError(f"{function!r} is a tool already; use its `with_name` or `with_effects`")
        self.function = function
        self.name = name or name_of(function)
        self.description = inspect.getdoc(innermost(function)) or "" if description is None else description
        self.is_async = is_async(function)
        self._resolve = resolve
        self._validate = validate
        self._effects = effects
        self._given_schema = None if schema is None else dict(schema)
        self._given_returns = None if returns is None else dict(returns)
        signature = Signature.of(function, self.name) if schema is None else Signature.of_schema(schema)
        self.parameters: Mapping[str, inspect.Parameter] = signature.parameters
        self.annotations = signature.annotations
        self.required = signature.required
        self.defaults = signature.defaults
        self.takes_any = signature.takes_any
        self._positional = signature.positional
        self.validators = self._validators()
        self.spec: EffectSpec = UNDECLARED
        self.timeout: float | None = None
        self.idempotent = False
        self.retries = 0
        self.breaker: Breaker | None = None
        self.thread: Thread | None = None
        self.abandon_after: float | None = None
        self.on_abandon: Literal["quarantine", "release"] = "quarantine"
        if effects is not None:
            self._declare(effects)

    def with_effects(self, effects: Mapping[str, Any] | str) -> Tool:
        """A copy with another declaration, for tools that one does not own."""
        return self._copy(self.function, self.name, effects)

    def with_name(self, name: str) -> Tool:
        """A copy with another name, and all else as it is."""
        return self._copy(self.function, name, self._effects)

    def __get__(self, instance: Any, owner: type | None = None) -> Tool:
        """Bind a tool that was declared on a method, as a method is bound."""
        if instance is None:
            return self
        return self._copy(self.function.__get__(instance, owner), self.name, self._effects)

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        """Call the wrapped function, past all of asyncfc."""
        return self.function(*args, **kwargs)

    def check(self, arguments: Mapping[str, Any], call_id: str) -> None:
        """Early validation, structural only (DESIGN D7): nothing missing, nothing unknown.

        Raises:
            BadArguments: naming the parameters concerned.
        """
        given = arguments.keys()
        if given >= self.required and (self.takes_any or given <= self.parameters.keys()):
            return
        missing = sorted(self.required - given)
        unknown = sorted(map(short_name, given - self.parameters.keys())) if not self.takes_any else []
        faults = [f"missing {missing}"] * bool(missing) + [f"unknown {unknown}"] * bool(unknown)
        raise BadArguments(
            f"{self.name} ({short_name(call_id)}): {' and '.join(faults)}; "
            f"its parameters are {list(self.parameters)}"
        )

    def invoke(self, arguments: dict[str, Any]) -> Any:
        """Call the function with final arguments: the value, or an awaitable of it.

        Raises:
            BadArguments: a parameter that validates itself refused its value.
        """
        if self.validators:
            arguments = self._validated(arguments)
        if self._positional:
            rest = dict(arguments)  # below: one left out would move those after it forward
            positional = [rest.pop(n) if n in rest else self.defaults[n] for n in self._positional]
            return self.function(*positional, **rest)
        return self.function(**arguments)

    def label_arguments(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
        """The arguments that the effect labels need, defaults applied, and those that cannot be told.

        A parameter that validates itself may change its value. Where that cannot be known ahead
        without running user code, its value counts as untold, which only widens the claim.
        """
        wanted: dict[str, Any] = {}
        untold: set[str] = set()
        for name in self.spec.needs({**self.defaults, **arguments}):
            if name in arguments:
                try:
                    wanted[name] = self._foretell(name, arguments[name])
                except Exception:  # refused, or not to be known before its time; its own turn will tell
                    untold.add(name)
            else:
                wanted[name] = self.defaults[name]
        return wanted, untold

    @property
    def making(self) -> dict[str, Any]:
        """What it takes, beside the function, to make a tool that runs the same in another process.

        The effects are left out: calls are ordered here, wherever they run.
        """
        how = {"validate": self._validate, "schema": self._given_schema}
        return {"name": self.name, "description": "", **how}

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the parameters, `{"type": "object", ...}`, as a model is told them.

        A parameter whose annotation pydantic cannot describe admits anything.
        """
        if self._given_schema is not None:
            return self._given_schema
        from asyncfc.schema import parameters_schema  # pydantic: only where a schema is wanted

        return parameters_schema(self.parameters, self.annotations, takes_any=self.takes_any)

    @cached_property
    def returns(self) -> dict[str, Any] | None:
        """JSON schema of what a call gives; None if nothing says it."""
        if self._given_returns is not None:
            return self._given_returns
        from asyncfc.schema import returns_schema  # as above

        annotation = return_annotation(self.function)
        return None if annotation is None or annotation is Any else returns_schema(annotation)

    def __repr__(self) -> str:
        return f"<Tool {self.name!r}>"

    def _copy(self, function: Callable[..., Any], name: str, effects: Mapping[str, Any] | str | None) -> Tool:
        return Tool(
            function,
            name=name,
            description=self.description,
            effects=effects,
            validate=self._validate,
            resolve=self._resolve,
            schema=self._given_schema,
            returns=self._given_returns,
        )

    def _foretell(self, name: str, value: Any) -> Any:
        """The value that the function will get. ValueError: cannot be known before its time."""
        adapter = self.validators.get(name)
        if adapter is None:
            return value
        if not _is_builtin(adapter.core_schema):
            raise ValueError(name)
        return adapter.validate_python(value)

    def _validated(self, arguments: dict[str, Any]) -> dict[str, Any]:
        from pydantic import ValidationError

        checked = dict(arguments)
        for name, adapter in self.validators.items():
            if name not in arguments:
                continue
            try:
                checked[name] = adapter.validate_python(arguments[name])
            except ValidationError as error:
                raise BadArguments(f"{self.name}: argument {name!r}: {_faults(error)}") from error
        return checked

    def _validators(self) -> dict[str, Any]:
        """Of each parameter that validates itself, in order: a pydantic `TypeAdapter`."""
        empty = inspect.Parameter.empty
        names = [
            name
            for name, parameter in self.parameters.items()
            if (self._validate and parameter.annotation is not empty) or is_model(self.annotations.get(name))
        ]
        if not names:
            return {}
        from pydantic import TypeAdapter

        adapters: dict[str, Any] = {}
        for name in names:
            try:
                adapters[name] = TypeAdapter(self.annotations[name])
            except Exception as error:  # a name not known here, or a type not known to pydantic
                raise DeclarationError(
                    f"tool {self.name!r}: parameter {name!r} cannot be validated against "
                    f"{self.parameters[name].annotation!r}; use an annotation that can be imported here and "
                    f"that pydantic knows, or none"
                ) from error
        return adapters

    def _declare(self, effects: Mapping[str, Any] | str) -> None:
        from asyncfc.depgraph.declaration import parse_declaration  # pydantic: only where declared

        declaration = parse_declaration(effects, tool=self.name)
        names = None if self.takes_any else list(self.parameters)
        self.spec = declaration.spec(self.name, names, self._resolve)
        self.timeout = declaration.timeout
        self.idempotent = bool(declaration.idempotent)
        self.retries = declaration.retries
        self.breaker = declaration.breaker
        if self.retries and self.spec.level != "read" and not self.idempotent:
            raise DeclarationError(
                f"tool {self.name!r}: a call of it may have had its effects when it fails, so that it is not "
                f"tried again; declare it idempotent if it may run twice, or leave retries out"
            )
        self.thread = declaration.thread
        self.abandon_after = declaration.abandon_after
        self.on_abandon = declaration.on_abandon


@overload
def tool(function: Callable[..., Any], /) -> Tool: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    reads: str | LabelsOf | Collection[str | LabelsOf] | None = None,
    writes: str | LabelsOf | Collection[str | LabelsOf] | None = None,
    pure: bool | None = None,
    level: Literal["read", "write", "irreversible"] | None = None,
    idempotent: bool | None = None,
    retries: int | None = None,
    breaker: Mapping[str, float] | None = None,
    thread: Thread | None = None,
    timeout: float | None = None,
    abandon_after: float | None = None,
    on_abandon: Literal["quarantine", "release"] | None = None,
    validate: bool = False,
    resolve: Callable[[str], str] | None = None,
) -> Callable[[Callable[..., Any]], Tool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    validate: bool = False,
    resolve: Callable[[str], str] | None = None,
    **effects: Any,
) -> Any:
    """Make a tool of a function: `@tool`, or `@tool(reads="fs:{path}", timeout=5)`.

    The keywords are those of `Tool` and of the one written form of effects. Without any effect the
    tool is undeclared, and its calls run one after the other with every other call.
    """
    declared = {key: value for key, value in effects.items() if value is not None}
    make = partial(
        Tool, name=name, description=description, effects=declared or None, validate=validate, resolve=resolve
    )
    return make if function is None else make(function)


def _faults(error: Any) -> str:
    """What a pydantic `ValidationError` found, for the model: without links and without its values."""
    details = error.errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(": ".join((*map(str, fault["loc"]), fault["msg"])) for fault in details)


def _is_builtin(schema: Mapping[str, Any]) -> bool:
    """Whether a pydantic core schema checks by built-in rules alone, so that it runs no user code."""
    while schema["type"] in ("nullable", "default"):
        schema = schema["schema"]
    if schema["type"] == "list":
        return _is_builtin(schema.get("items_schema", {"type": "any"}))
    return schema["type"] in ("any", "str", "int", "float", "bool", "literal", "none")
