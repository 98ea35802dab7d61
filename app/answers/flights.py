"""The same work wanted by many at once: done once."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from typing import Generic, TypeVar

Value = TypeVar("Value")
Flight = asyncio.Future[Sequence[Value]]
"""What is being made: one value when it is there, none if it was given up."""


class Flights(Generic[Value]):
    """Whoever wants what is already on its way waits for it.

    What is on its way began before: who waits must not care, because the key holds the version, or must compare.
    """

    def __init__(self) -> None:
        """Begin with nothing on its way."""
        self._under_way: dict[Hashable, Flight[Value]] = {}

    def under_way(self, key: Hashable) -> Flight[Value] | None:
        """Return what is being made under this key."""
        return self._under_way.get(key) if self._under_way else None  # a key may take long to hash

    async def outcome(self, flight: Flight[Value]) -> Sequence[Value]:
        """Wait for what others make; nothing if it failed or was given up."""
        await asyncio.wait([flight])
        return [] if flight.exception() else flight.result()

    async def run(self, key: Hashable, make: Callable[[], Awaitable[Value]]) -> Value:
        """Return what `make` makes, or what is being made under this key; what it raises, all of them raise.

        Where the one who makes it is cancelled, one of those who wait makes it in its place.
        """
        while (place := self._under_way.get(key)) is not None:
            for value in await asyncio.shield(place):
                return value
        return await self._lead(key, make)

    async def _lead(self, key: Hashable, make: Callable[[], Awaitable[Value]]) -> Value:
        place = self._under_way[key] = asyncio.get_running_loop().create_future()
        try:
            value = await make()
        except Exception as error:
            place.set_exception(error)
            place.exception()  # heard, even if nobody waits
            raise
        except BaseException:  # it was cancelled; the others were not
            place.set_result([])
            raise
        else:
            place.set_result([value])
            return value
        finally:
            del self._under_way[key]
