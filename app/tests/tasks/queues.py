"""What a test sees of the queue, in Redis itself."""

from typing import Any

from redis.asyncio import Redis

QUEUE = "candles"
URGENT = "candles:urgent"
DEAD = "candles:dead"


async def is_idle(client: Redis) -> bool:
    return await client.xlen(QUEUE) + await client.xlen(URGENT) == 0


async def workers_known(client: Redis) -> int:
    return len(await client.xinfo_consumers(QUEUE, QUEUE)) if await client.exists(QUEUE) else 0


async def reasons_of_the_dead(client: Redis) -> list[bytes]:
    entries: Any = await client.xrange(DEAD)
    return [fields[b"reason"] for _, fields in entries]


async def left_to_others(client: Redis) -> list[Any]:
    """The messages that no worker works on, with how often they were taken and for how long nobody has."""
    return list(await client.xpending_range(QUEUE, QUEUE, "-", "+", 1000, consumername="nobody"))


async def calls(client: Redis, command: str) -> int:
    """How often Redis was told to do this."""
    statistics = await client.info("commandstats")
    return int(statistics.get(f"cmdstat_{command}", {}).get("calls", 0))


async def pause(client: Redis) -> None:
    """Have Redis not answer whoever writes, until `resume`."""
    await client.client_pause(600_000, all=False)


async def resume(client: Redis) -> None:
    await client.client_unpause()


async def fill(client: Redis) -> None:
    """Leave no room in a Redis of three megabytes, which evicts nothing, until `make_room`."""
    await client.setrange("filler", 3_000_000, b"x")  # as much in a command would stay in its buffer for seconds
    await client.config_set("maxmemory", "3mb")


async def make_room(client: Redis) -> None:
    await client.delete("filler")
