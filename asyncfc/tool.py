"""Tool: a function with its schema, declared effects and limits.

A plain function gets the JSON values as the model wrote them, just as in the user's own loop: its
annotations are schema for the model, not checks (DESIGN V2b). Only parameters that are pydantic
models, or all of them with `validate=True`, are validated, right before the work starts.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from functools import cached_property, partial
from types import SimpleNamespace
from typing import Any, Literal, TypeAlias, get_args, get_type_hints, overload

from asyncfc.depgraph.assignment import Declarations, assign
from asyncfc.depgraph.effects import UNDECLARED, EffectSpec, LabelsOf
from asyncfc.errors import BadArguments, DeclarationError
from asyncfc.futures.call import short_name

Thread: TypeAlias = Literal["worker", "pool", "caller"]
_KEYWORDS = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


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
    ) -> None:
        if isinstance(function, Tool):
            raise DeclarationError(f"{function!r} is a tool already; use its `with_name` or `with_effects`")
        self.function = function
        self.name = name or _name_of(function)
        self.description = inspect.getdoc(_innermost(function)) or "" if description is None else description
        self.is_async = _is_async(function)
        self._resolve = resolve
        self._validate = validate
        self._effects = effects
        self._read_signature()
        self.validators = self._validators()
        self.spec: EffectSpec = UNDECLARED
        self.timeout: float | None = None
        self.idempotent = False
        self.thread: Thread | None = None
        self.abandon_after: float | None = None
        self.on_abandon: Literal["quarantine", "release"] = "quarantine"
        if effects is not None:
            self._declare(effects)

    def with_effects(self, effects: Mapping[str, Any] | str) -> Tool:
        """A copy with another declaration, for tools that one does not own."""
        return self._copy(self.name, effects)

    def with_name(self, name: str) -> Tool:
        """A copy with another name, and all else as it is."""
        return self._copy(name, self._effects)

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

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the parameters, `{"type": "object", ...}`, as a model is told them.

        A parameter whose annotation pydantic cannot describe admits anything.
        """
        from asyncfc.schema import parameters_schema  # pydantic: only where a schema is wanted

        return parameters_schema(self.parameters, self.annotations, takes_any=self.takes_any)

    def __repr__(self) -> str:
        return f"<Tool {self.name!r}>"

    def _copy(self, name: str, effects: Mapping[str, Any] | str | None) -> Tool:
        return Tool(
            self.function,
            name=name,
            description=self.description,
            effects=effects,
            validate=self._validate,
            resolve=self._resolve,
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
            if (self._validate and parameter.annotation is not empty) or _is_model(self.annotations.get(name))
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
        self.thread = declaration.thread
        self.abandon_after = declaration.abandon_after
        self.on_abandon = declaration.on_abandon

    def _read_signature(self) -> None:
        try:
            signature = inspect.signature(self.function)
        except (TypeError, ValueError) as error:
            raise DeclarationError(
                f"tool {self.name!r}: no readable signature ({error}); wrap it in a function"
            ) from error
        kinds = {name: parameter.kind for name, parameter in signature.parameters.items()}
        self.takes_any = inspect.Parameter.VAR_KEYWORD in kinds.values()
        self._positional = [n for n, kind in kinds.items() if kind is inspect.Parameter.POSITIONAL_ONLY]
        self.parameters = {
            name: signature.parameters[name]
            for name, kind in kinds.items()
            if kind in _KEYWORDS or kind is inspect.Parameter.POSITIONAL_ONLY
        }
        empty = inspect.Parameter.empty
        self.required = frozenset(n for n, p in self.parameters.items() if p.default is empty)
        self.defaults = {n: p.default for n, p in self.parameters.items() if p.default is not empty}
        self.annotations = _annotations(self.function, self.parameters)


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


def _innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, partial):
        function = function.func
    return function


def _name_of(function: Callable[..., Any]) -> str:
    inner = _innermost(function)
    name: str = getattr(inner, "__name__", None) or type(inner).__name__
    if name == "<lambda>":
        raise DeclarationError(f"{function!r} has no name of its own; pass name=..., or a mapping of tools")
    return name


def _is_async(function: Callable[..., Any]) -> bool:
    inner = _innermost(function)
    return any(
        inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code)
        for code in (inner, type(inner).__call__)
    )


def _annotations(function: Callable[..., Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Resolved annotations; a parameter whose annotation cannot be resolved is missing."""
    target: Any = _innermost(function)
    if not inspect.isroutine(target):
        target = target.__init__ if inspect.isclass(target) else type(target).__call__
    try:
        hints = get_type_hints(target, include_extras=True)
    except Exception:  # a name that does not exist here: a forward reference, a TYPE_CHECKING import
        hints = _one_by_one(target)
    return {n: hint for n, hint in hints.items() if n in parameters and hint is not inspect.Parameter.empty}


def _one_by_one(target: Any) -> dict[str, Any]:
    """The annotations that can be resolved: one that cannot costs the others nothing."""
    names = getattr(inspect.unwrap(target), "__globals__", {})
    hints: dict[str, Any] = {}
    for name, annotation in getattr(target, "__annotations__", {}).items():
        one = SimpleNamespace(__annotations__={name: annotation})
        with suppress(Exception):
            hints |= get_type_hints(one, names, include_extras=True)
    return hints


def _is_model(annotation: Any) -> bool:
    """Whether a pydantic model occurs in the annotation (asked without importing pydantic)."""
    if isinstance(annotation, type) and hasattr(annotation, "__pydantic_validator__"):
        return True
    return any(_is_model(part) for part in get_args(annotation))


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


def toolbox(
    tools: Iterable[Tool | Callable[..., Any]] | Mapping[str, Tool | Callable[..., Any]],
    effects: Declarations,
) -> dict[str, Tool]:
    """Tools by name, with the declarations for those that one does not own; these replace their own.

    Raises:
        DeclarationError: two tools of one name, effects for no tool, or anything written wrongly.
    """
    named = tools.items() if isinstance(tools, Mapping) else ((None, tool) for tool in tools)
    made: dict[str, Tool] = {}
    for name, function in named:
        tool = function if isinstance(function, Tool) else Tool(function, name=name)
        tool = tool if name in (None, tool.name) else tool.with_name(name)
        if tool.name in made:
            raise DeclarationError(f"two tools are called {tool.name!r}; pass a mapping that renames one")
        made[tool.name] = tool
    for name, (declaration, place) in assign(effects, made).items():
        try:
            made[name] = made[name].with_effects(declaration)
        except DeclarationError as error:
            raise DeclarationError(f"{place}: {error}") from None
    return made
