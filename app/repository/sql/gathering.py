"""Many small questions at once: those that come while an answer is awaited go together in the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Gathering(Generic[Question, Answer]):
    """Asks for many what each of them asks for, never before they ask: an answer is as fresh as one of its own.

    Whoever comes while fewer than `at_once` batches are on their way takes all that wait along, itself included, a turn
    of the loop later. When it is done it hands over to one that came meanwhile, so there is no task that nobody awaits.
    """

    def __init__(self, ask: Callable[[Sequence[Question]], Awaitable[Sequence[Answer]]], *, at_once: int) -> None:
        """Take how a batch is asked: an answer for each question, in their order."""
        self._ask = ask
        self._free = at_once
        self._waiting: list[tuple[Question, asyncio.Future[Answer | None]]] = []

    async def __call__(self, question: Question) -> Answer:
        """Return the answer; what a batch raises, all of it are told."""
        while True:
            place: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
            self._waiting.append((question, place))
            if self._free:
                await self._take_all()
            try:
                answer = await place
            except asyncio.CancelledError:
                self._hand_over()  # it may have been its turn
                raise
            if answer is not None:
                return answer

    async def _take_all(self) -> None:
        self._free -= 1
        batch: list[tuple[Question, asyncio.Future[Answer | None]]] = []
        try:
            await asyncio.sleep(0)  # those that came in the same turn of the loop go together
            batch, self._waiting = self._waiting, []
            answers = await self._ask([question for question, _ in batch])
        except Exception as error:  # noqa: BLE001  # each of them raises it
            for _, place in batch:
                _fail(place, error)
        except BaseException:  # the one that asked was cancelled, the others were not: they ask again
            _settle([place for _, place in batch], [None] * len(batch))
            raise
        else:
            _settle([place for _, place in batch], answers)
        finally:
            self._free += 1
            self._hand_over()

    def _hand_over(self) -> None:
        """Wake one of those that wait: it takes the others along."""
        while self._waiting and self._free:
            _, place = self._waiting.pop(0)
            if not place.done():
                place.set_result(None)
                return


def _settle(places: "Sequence[asyncio.Future[Answer | None]]", answers: Sequence[Answer | None]) -> None:
    for place, answer in zip(places, answers, strict=True):
        if not place.done():
            place.set_result(answer)


def _fail(place: "asyncio.Future[Answer | None]", error: Exception) -> None:
    if not place.done():
        place.set_exception(error)
