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


def config_from_dict(cls: type[T], values: Mapping[str, Any]) -> T:
    """Rebuild a (nested) dataclass from :func:`config_to_dict`'s result.

    Raises:
        UserError: a key is unknown; nothing is silently dropped.
    """
    hints = typing.get_type_hints(cls)
    unknown = set(values) - {field.name for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    if unknown:
        raise UserError(f"Unknown {cls.__name__} option(s): {', '.join(sorted(unknown))}.")
    return cls(**{name: _restore(hints[name], value) for name, value in values.items()})


def _restore(hint: Any, value: Any) -> Any:
    if value is None:
        return None
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if dataclasses.is_dataclass(hint):
        return config_from_dict(typing.cast(type, hint), value)
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)[0]
        return tuple(_restore(inner, item) for item in value)
    return value
