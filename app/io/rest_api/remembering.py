"""Reading a text once that many requests send."""

from collections.abc import Callable
from functools import lru_cache
from typing import Concatenate, ParamSpec, TypeVar

Options = ParamSpec("Options")
Value = TypeVar("Value")

_MOST = 4096
_LONGEST = 64
"""Characters: what a caller sends is remembered in bounded memory."""


def remembering(read: Callable[Concatenate[str, Options], Value]) -> Callable[Concatenate[str, Options], Value]:
    """Remember what short texts mean; errors are not remembered. For readers whose answer never changes."""
    known = lru_cache(_MOST)(read)

    def remembered(text: str, /, *args: Options.args, **options: Options.kwargs) -> Value:
        if len(text) > _LONGEST:
            return read(text, *args, **options)
        return known(text, *args, **options)  # type: ignore[arg-type]  # words and switches can be hashed

    return remembered
