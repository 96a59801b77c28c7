"""Tool: a function with its schema, declared effects and limits.

A plain function gets the JSON values as the model wrote them, just as in the user's own loop: its
annotations are schema for the model, not checks (DESIGN V2b). Only parameters that are pydantic
models, or all of them with `validate=True`, are validated, right before the work starts.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property, partial
from typing import Any, Literal, TypeAlias, get_args, get_type_hints, overload

from asyncfc.depgraph.effects import UNDECLARED, EffectSpec
from asyncfc.errors import BadArguments, DeclarationError

Thread: TypeAlias = Literal["worker", "pool", "caller"]
_KEYWORDS = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Tool:
    """A function that a model may call. Still callable itself, as the function that it wraps.

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
        DeclarationError: no usable name or signature, or the effects are written wrongly.
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
        self.function = function
        self.name = name or _name_of(function)
        self.description = inspect.getdoc(_innermost(function)) or "" if description is None else description
        self.is_async = _is_async(function)
        self._resolve = resolve
        self._validate = validate
        self._read_signature()
        self.spec: EffectSpec = UNDECLARED
        self.timeout: float | None = None
        self.idempotent = False
        self.thread: Thread | None = None
        if effects is not None:
            self._declare(effects)

    def with_effects(self, effects: Mapping[str, Any] | str) -> Tool:
        """A copy with another declaration, for tools that one does not own."""
        return Tool(
            self.function,
            name=self.name,
            description=self.description,
            effects=effects,
            validate=self._validate,
            resolve=self._resolve,
        )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
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
        unknown = sorted(given - self.parameters.keys()) if not self.takes_any else []
        faults = [f"missing {missing}"] * bool(missing) + [f"unknown {unknown}"] * bool(unknown)
        raise BadArguments(
            f"{self.name} ({call_id}): {' and '.join(faults)}; its parameters are {list(self.parameters)}"
        )

    def invoke(self, arguments: dict[str, Any]) -> Any:
        """Call the function with final arguments: the value, or an awaitable of it.

        Raises:
            BadArguments: a parameter that validates itself refused its value.
        """
        if self.validators:
            arguments = self._validated(arguments)
        if self._positional:
            arguments = dict(arguments)
            positional = [arguments.pop(name) for name in self._positional if name in arguments]
            return self.function(*positional, **arguments)
        return self.function(**arguments)

    def label_arguments(self, arguments: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
        """The arguments that the effect labels need, defaults applied, and those that cannot be told.

        A parameter that validates itself may change its value. Where that cannot be known ahead
        without running user code, its value counts as untold, which only widens the claim.
        """
        wanted: dict[str, Any] = {}
        untold: set[str] = set()
        for name in self.spec.parameters:
            if name in arguments:
                try:
                    wanted[name] = self._foretell(name, arguments[name])
                except ValueError:
                    untold.add(name)
            elif name in self.defaults:
                wanted[name] = self.defaults[name]
        return wanted, untold

    @cached_property
    def schema(self) -> dict[str, Any]:
        """JSON schema of the parameters, `{"type": "object", ...}`, as a model is told them.

        A parameter whose annotation pydantic cannot describe admits anything.
        """
        from asyncfc.schema import parameters_schema  # pydantic: only where a schema is wanted

        return parameters_schema(self.parameters, self.annotations, takes_any=self.takes_any)

    @cached_property
    def validators(self) -> dict[str, Any]:
        """Of each parameter that validates itself: a pydantic `TypeAdapter`."""
        names = [
            name
            for name, annotation in self.annotations.items()
            if name in self.parameters and (self._validate or _is_model(annotation))
        ]
        if not names:
            return {}
        from pydantic import TypeAdapter

        return {name: TypeAdapter(self.annotations[name]) for name in names}

    def __repr__(self) -> str:
        return f"<Tool {self.name!r}>"

    def _foretell(self, name: str, value: Any) -> Any:
        """The value that the function will get. ValueError: cannot be known before its time."""
        adapter = self.validators.get(name)
        if adapter is None:
            return value
        if not _is_builtin(adapter.core_schema):
            raise ValueError(name)
        return adapter.validate_python(value)  # pydantic's ValidationError is a ValueError

    def _validated(self, arguments: dict[str, Any]) -> dict[str, Any]:
        from pydantic import ValidationError

        checked = dict(arguments)
        for name in self.validators.keys() & arguments.keys():
            try:
                checked[name] = self.validators[name].validate_python(arguments[name])
            except ValidationError as error:
                raise BadArguments(f"{self.name}: argument {name!r}: {error}") from error
        return checked

    def _declare(self, effects: Mapping[str, Any] | str) -> None:
        from asyncfc.depgraph.declaration import parse_declaration  # pydantic: only where declared

        declaration = parse_declaration(effects, tool=self.name)
        names = None if self.takes_any else list(self.parameters)
        self.spec = declaration.spec(self.name, names, self._resolve)
        self.timeout = declaration.timeout
        self.idempotent = bool(declaration.idempotent)
        self.thread = declaration.thread

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
    reads: str | list[str] | None = None,
    writes: str | list[str] | None = None,
    pure: bool | None = None,
    level: Literal["read", "write", "irreversible"] | None = None,
    idempotent: bool | None = None,
    thread: Thread | None = None,
    timeout: float | None = None,
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
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(type(inner).__call__)


def _annotations(function: Callable[..., Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Resolved annotations; a parameter whose annotation cannot be resolved is missing."""
    target: Any = _innermost(function)
    if not inspect.isroutine(target):
        target = target.__init__ if inspect.isclass(target) else type(target).__call__
    try:
        hints = get_type_hints(target, include_extras=True)
    except Exception:  # a name that does not exist here: a forward reference, a TYPE_CHECKING import
        hints = {n: p.annotation for n, p in parameters.items() if not isinstance(p.annotation, str)}
    return {n: hint for n, hint in hints.items() if n in parameters and hint is not inspect.Parameter.empty}


def _is_model(annotation: Any) -> bool:
    """Whether a pydantic model occurs in the annotation (asked without importing pydantic)."""
    if isinstance(annotation, type) and hasattr(annotation, "__pydantic_validator__"):
        return True
    return any(_is_model(part) for part in get_args(annotation))


def _is_builtin(schema: Mapping[str, Any]) -> bool:
    """Whether a pydantic core schema checks by built-in rules alone, so that it runs no user code."""
    while schema["type"] in ("nullable", "default"):
        schema = schema["schema"]
    if schema["type"] == "list":
        return _is_builtin(schema.get("items_schema", {"type": "any"}))
    return schema["type"] in ("any", "str", "int", "float", "bool", "literal", "none")


def toolbox(
    tools: Iterable[Tool | Callable[..., Any]] | Mapping[str, Tool | Callable[..., Any]],
    effects: Mapping[str, Mapping[str, Any] | str],
) -> dict[str, Tool]:
    """Tools by name, with the declarations for those that one does not own.

    Raises:
        DeclarationError: two tools of one name, effects for no tool, or anything written wrongly.
    """
    named = tools.items() if isinstance(tools, Mapping) else ((None, tool) for tool in tools)
    made: dict[str, Tool] = {}
    for name, function in named:
        tool = function if isinstance(function, Tool) and name in (None, function.name) else None
        tool = tool or Tool(function, name=name)
        if tool.name in made:
            raise DeclarationError(f"two tools are called {tool.name!r}; pass a mapping that renames one")
        made[tool.name] = tool
    for name, declaration in effects.items():
        if name not in made:
            raise DeclarationError(f"effects are declared for {name!r}, but the tools are {sorted(made)}")
        made[name] = made[name].with_effects(declaration)
    return made
