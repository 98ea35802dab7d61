"""What happens to a security besides trading: splits, new tickers, other boards."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from app.core.date_time import Timestamp
from app.core.entities import Security, SecurityCard


@dataclass(frozen=True, slots=True, order=True)
class ListedSplit:
    """A split as the exchange lists it: of a ticker, whatever the board.

    `day` is the first Moscow day on which the new shares trade, `factor` shares after divided by shares before.
    """

    ticker: str
    day: date
    factor: float


@dataclass(frozen=True, slots=True, order=True)
class Split:
    """A split that the store took notice of: on this Moscow day one share became `factor` shares.

    So an old price divided by `factor` is the new price: 10 for one share that became ten, 1/5000 for five thousand
    that became one. The exchange rewrites the prices, not the volumes, of all bars before the day.
    `seen_at`: answers given before it may have the old prices.
    """

    security: Security
    day: date
    factor: float
    seen_at: Timestamp

    @property
    def begin(self) -> Timestamp:
        """The Moscow midnight at which the day begins: bars that begin before it are rewritten."""
        return Timestamp.midnight(self.day)


@dataclass(frozen=True, slots=True, order=True)
class Rename:
    """A share's ticker was replaced; `day` is the last Moscow day of the old one or the first of the new one.

    The list does not say which; the cards of the securities may.
    """

    old: str
    new: str
    day: date

    @property
    def is_merger(self) -> bool:
        """Tell whether an additional issue (`HYDR-041D`) was merged into the share that was there before."""
        return self.old.startswith(f"{self.new}-")


@dataclass(frozen=True, slots=True, order=True)
class BoardMove:
    """A ticker went on trading on another board; `day` is the first Moscow day there."""

    ticker: str
    from_board: str
    to_board: str
    day: date


@dataclass(frozen=True, slots=True)
class FormerName:
    """A ticker that a security had before, and its last Moscow day."""

    ticker: str
    until: date


@dataclass(frozen=True, slots=True)
class NextName:
    """The ticker that a security has since a Moscow day."""

    ticker: str
    since: date


@dataclass(frozen=True, slots=True)
class Lineage:
    """Under which names and where else a security traded, as far as anybody read it. Candles are never stitched.

    `formerly`: the names before this one, the latest first. `continues`: how it is named since it is not named so any
    more. `moves`: from board to board, oldest first.
    """

    formerly: Sequence[FormerName] = ()
    continues: NextName | None = None
    moves: Sequence[BoardMove] = ()


NO_LINEAGE = Lineage()
_A_DAY = timedelta(days=1)


def factors_of(splits: Iterable[Split], moment: Timestamp) -> tuple[float, ...]:
    """Return by what a price that begins at the moment may have been multiplied: by 1 / factor of each later split.

    And by products of these: nobody knows how many of the splits an old value has seen.
    """
    found = {1.0}
    for split in splits:
        if moment < split.begin:
            found |= {factor / split.factor for factor in found}
    return tuple(sorted(found - {1.0}))


class Chains:
    """All renames and moves that are known, ready to be asked often."""

    def __init__(self, renames: Iterable[Rename], moves: Iterable[BoardMove]) -> None:
        """Sort them by what they are asked by."""
        self._to: dict[str, list[Rename]] = {}
        self._from: dict[str, list[Rename]] = {}
        self._moves: dict[str, list[BoardMove]] = {}
        for rename in sorted(renames, key=lambda rename: rename.day):
            if not rename.is_merger:
                self._to.setdefault(rename.new, []).append(rename)
                self._from.setdefault(rename.old, []).append(rename)
        for move in sorted(moves, key=lambda move: move.day):
            self._moves.setdefault(move.ticker, []).append(move)

    def of(self, card: SecurityCard) -> Lineage:
        """Return those of a security.

        A ticker that is given to somebody else later means another security: what happened to the ticker before this
        one was listed, or after it was gone, is not told of.
        """
        ticker, begin = card.security.ticker, card.history_from
        end = None if card.is_traded else card.history_till
        later = [each for each in self._from.get(ticker, ()) if begin is None or begin < each.day]
        before = self._before(ticker, end)
        return Lineage(
            tuple(FormerName(each.old, each.day - _A_DAY if each.day == begin else each.day) for each in before),
            _next_name(later[-1], end) if later else None,
            tuple(self._moves.get(ticker, ())),
        )

    def _before(self, ticker: str, end: date | None) -> tuple[Rename, ...]:
        """Walk back from name to name; every step goes back in time, so that it ends."""
        before = [each for each in self._to.get(ticker, ()) if end is None or each.day <= end]
        if not before:
            return ()
        return before[-1], *self._before(before[-1].old, before[-1].day - _A_DAY)


def _next_name(rename: Rename, end: date | None) -> NextName:
    is_first_day = end is not None and end < rename.day
    return NextName(rename.new, rename.day if is_first_day else rename.day + _A_DAY)
