"""Take notice of splits: the exchange rewrites all prices before one, so what is stored of them must be read again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from app.core.corporate_actions import Split
from app.core.date_time import Timestamp
from app.core.entities import CandleSpan, Security, SecurityCard, SeriesState
from app.core.market_data import IClock, LoadOutcome, Rescaling
from app.core.markets import IDirectory
from app.core.storage import IStorage, IUnitOfWork
from app.use_cases.looks import is_due, remember

LOOK = "splits"
EVERY = timedelta(hours=1)

_NEAR = timedelta(days=10)
"""Behind the last day of old shares a ticker may rest so long before new ones are traded."""


@dataclass(frozen=True, slots=True)
class RecordedSplits:
    """What was new of followed securities, and which rows of the list make no sense."""

    splits: Sequence[Split] = ()
    skipped: Sequence[str] = ()


async def record_splits(
    storage: IStorage, directory: IDirectory, clock: IClock, *, every: timedelta = EVERY
) -> RecordedSplits:
    """Read the exchange's splits and record those of followed shares and funds whose day has begun.

    Unless that was done less than `every` ago. One transaction for each security; a crash on the way means once more.
    """
    now = await clock.now()
    if not await is_due(storage, LOOK, now, every=every):
        return RecordedSplits()
    listed = await directory.splits()
    seen_at = min(now, listed.given_at or now)
    today = now.moscow.date()
    async with storage.begin() as uow:
        await uow.listed_splits.add(split for split in listed.rows if split.day <= today)
    recorded: list[Split] = []
    for card in await _concerned(storage):
        async with storage.begin() as uow:
            recorded += await record_listed(uow, card, seen_at)
    await remember(storage, LOOK, now)
    return RecordedSplits(recorded, listed.skipped)


async def record_listed(uow: IUnitOfWork, card: SecurityCard, seen_at: Timestamp | None = None) -> list[Split]:
    """Record the splits of a security that the store knows of its ticker and took no notice of yet.

    Without `seen_at`, as seen on the day of each.
    """
    if not card.is_share:
        return []
    listed = [split async for split in uow.listed_splits.filter_by_ticker(card.security.ticker)]
    if listed:
        await _locked(uow, card.security)  # of two that come at once one records
    known = {split.day async for split in uow.splits.filter_by_security(card.security)}
    return [
        await apply_split(uow, card.security, split.day, split.factor, seen_at or Timestamp.midnight(split.day))
        for split in listed
        if split.day not in known
    ]


async def apply_split(uow: IUnitOfWork, security: Security, day: date, factor: float, seen_at: Timestamp) -> Split:
    """Record a split, known or not, and take the coverage of everything before its day away.

    Until that is read again it is not shown (`SeriesState.stale_before`), and answers given before `seen_at` do not
    count. A series that has nothing before the day stays as it is.
    """
    split = Split(security, day, factor, seen_at)
    await uow.splits.add([split])
    for state in await _locked(uow, security):
        await _uncover(uow, state, split)
    return split


async def record_rescaled(storage: IStorage, outcome: LoadOutcome) -> list[Split]:
    """Record the splits that a load showed by its prices: the exchange rewrote a past that was covered.

    A listed split that begins within days of the last rewritten candle is that split; else the next day is its day.
    """
    found: dict[Security, Rescaling] = {}
    for series, rescaling in outcome.rescaled.items():
        known = found.get(series.security)
        if known is None or known.last < rescaling.last:
            found[series.security] = rescaling
    return [split for security, each in found.items() if (split := await _record(storage, security, each)) is not None]


async def _record(storage: IStorage, security: Security, rescaling: Rescaling) -> Split | None:
    behind = rescaling.last.moscow.date() + timedelta(days=1)
    async with storage.begin() as uow:
        if not (await uow.securities.get(security)).is_share:
            return None
        listed = [split.day async for split in uow.listed_splits.filter_by_ticker(security.ticker)]
        day = next((day for day in sorted(listed) if timedelta(0) <= day - behind <= _NEAR), behind)
        known = {split.day: split.factor async for split in uow.splits.filter_by_security(security)}
        return await apply_split(uow, security, day, known.get(day, 1 / rescaling.factor), rescaling.as_of)


async def _locked(uow: IUnitOfWork, security: Security) -> list[SeriesState]:
    """Keep other writers of all series of a security out; in an order that is the same for all."""
    states = [state async for state in uow.series.filter_by_security(security)]
    return [await uow.series.lock(series) for series in sorted(state.series for state in states)]


async def _uncover(uow: IUnitOfWork, state: SeriesState, split: Split) -> None:
    """Let a series forget that it covers bars that begin before the day, one that holds the midnight among them.

    Its forming bars are dropped: one that is there later was read later.
    """
    cutoff = state.series.timeframe.ceil(split.begin)
    candles = uow.candles.filter_by_series(state.series).filter_by_timestamp_lt(cutoff)
    begins = [span.time_from async for span in uow.spans.filter_by_series(state.series)[:1]]
    begins += [candle.timestamp async for candle in candles[:1]]
    if not begins or min(begins) >= cutoff:
        return
    await uow.spans.remove([CandleSpan(state.series.security, state.series.timeframe, min(begins), cutoff)])
    await candles.filter_by_final(False).clear()  # noqa: FBT003  # a column's value
    version = max(state.version + 1, split.seen_at.microseconds // 1000)
    stale_before = max(cutoff, state.stale_before or cutoff)
    followed_from = state.followed_from and min(state.followed_from, *begins)  # or nobody would read it again
    state = replace(state, followed_from=followed_from, version=version, history_version=version)
    await uow.series.add([replace(state, stale_before=stale_before, checked_at=None)])


async def _concerned(storage: IStorage) -> list[SecurityCard]:
    """Return the cards of followed securities of which a listed split is not recorded."""
    async with storage.read() as uow:
        known = {(split.security, split.day) async for split in uow.splits}
        days: dict[str, set[date]] = {}
        async for split in uow.listed_splits:
            days.setdefault(split.ticker, set()).add(split.day)
        followed = {state.series.security async for state in uow.series.filter_followed()}
        cards = [card async for card in uow.securities if card.security in followed and card.is_share]
    return [
        card for card in cards if any((card.security, day) not in known for day in days.get(card.security.ticker, ()))
    ]
