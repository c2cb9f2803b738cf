"""Configurations as JSON, and back."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from rollouts.errors import UserError

T = TypeVar("T")


def config_to_dict(config: Any) -> dict[str, Any]:
    """A dataclass (nested ones included) as plain JSON values."""
    return json.loads(json.dumps(dataclasses.asdict(config)))


def config_from_dict(cls: type[T], values: Any) -> T:
    """Rebuild a (nested) dataclass from :func:`config_to_dict`'s result.

    Raises:
        UserError: a key is unknown, or a value is of another kind than its option; nothing is silently dropped.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{cls.__name__} options are expected here, not {_short(values)}.")
    hints = typing.get_type_hints(cls)
    unknown = {str(name) for name in set(values) - {field.name for field in dataclasses.fields(cls)}}  # type: ignore[arg-type]
    if unknown:
        raise UserError(f"Unknown {cls.__name__} option(s): {', '.join(sorted(unknown))}.")
    restored = {name: _restore(hints[name], value, f"{cls.__name__}.{name}") for name, value in values.items()}
    try:
        return cls(**restored)
    except TypeError as error:  # one without a default is missing
        raise UserError(f"{cls.__name__} options are incomplete ({error}).") from error


def _restore(hint: Any, value: Any, name: str) -> Any:
    """A value out of JSON as the option's own kind."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return _restore(inner[0], value, name)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in inner:
            return None
        kinds = [option for option in inner if option is not type(None)]
        if len(kinds) > 1:
            return value
        return _restore(kinds[0], value, name)
    if dataclasses.is_dataclass(hint):
        return config_from_dict(typing.cast(type, hint), value)
    fits = True
    if origin is tuple:
        fits = isinstance(value, list | tuple) and (inner[-1] is ... or len(inner) == len(value))
        if fits:
            return tuple(_restore(inner[0], item, name) for item in value)
    elif origin is dict:
        fits = isinstance(value, Mapping)
        if fits:
            return {key: _restore(inner[1], item, name) for key, item in value.items()}
    elif origin is typing.Literal:
        fits = value in inner
    elif hint is float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif hint in (int, str, bool):
        fits = type(value) is hint
    if not fits:
        raise UserError(f"{name} cannot be {_short(value)}.")
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
