"""What processes share of what they wrote. A value that cannot be read is a miss."""

from array import array
from collections.abc import Mapping, Sequence
from typing import TypeVar

import msgspec

from app.answers.blocks import Block
from app.answers.writing import Writing
from app.answers.written import Written
from app.core.cache import ICache

Packed = TypeVar("Packed")


class _Block(msgspec.Struct, frozen=True, array_like=True):
    begins: bytes
    starts: bytes
    candles: bytes


_encode = msgspec.msgpack.Encoder().encode
_as_block = msgspec.msgpack.Decoder(_Block)
_as_answer = msgspec.msgpack.Decoder(Written)


class Shared:
    """Answers by their tags and blocks by their keys, in a cache where there is one."""

    def __init__(self, cache: ICache | None) -> None:
        """Take the cache, or None."""
        self._cache = cache

    @property
    def is_there(self) -> bool:
        """Tell whether it is worth asking."""
        return self._cache is not None and not self._cache.is_away

    async def answer(self, tag: str) -> Written | None:
        """Return an answer."""
        (value,) = await self._get([f"answer:{tag}"])
        found = None if value is None else _read(_as_answer, value)
        return found if found is not None and found.tag == tag else None

    async def keep_answer(self, written: Written) -> None:
        """Let others have it."""
        await self._put({f"answer:{written.tag}": _encode(written)})

    async def blocks(self, keys: Sequence[str], writing: Writing) -> list[Block | None]:
        """Return the blocks of these keys, all written alike."""
        packed = [None if found is None else _read(_as_block, found) for found in await self._get(keys)]
        return [None if block is None else _unpacked(block, writing) for block in packed]

    async def keep_blocks(self, blocks: Mapping[str, Block]) -> None:
        """Let others have them."""
        await self._put({
            key: _encode(_Block(block.begins.tobytes(), block.starts.tobytes(), block.candles))
            for key, block in blocks.items()
        })  # fmt: skip

    async def _get(self, keys: Sequence[str]) -> Sequence[bytes | None]:
        return await self._cache.get(keys) if self._cache is not None and self.is_there else [None] * len(keys)

    async def _put(self, values: Mapping[str, bytes]) -> None:
        if self._cache is not None and self.is_there:
            await self._cache.put(values)


def _read(decoder: msgspec.msgpack.Decoder[Packed], value: bytes) -> Packed | None:
    try:
        return decoder.decode(value)
    except msgspec.MsgspecError:
        return None


def _unpacked(block: _Block, writing: Writing) -> Block:
    return Block(array("q", block.begins), array("I", block.starts), block.candles, writing)
