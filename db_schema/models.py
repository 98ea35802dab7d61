"""The only description of the tables. Instants are `timestamptz` on PostgreSQL, unix microseconds on SQLite."""

from datetime import date, datetime, time
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import SchemaItem
from sqlalchemy.types import TypeDecorator, TypeEngine

from app.core.date_time import Timestamp

MAX_DOUBLE = "1.7976931348623157e308"
"""The largest finite double. NaN sorts above it on PostgreSQL and becomes NULL on SQLite: neither passes."""


class Instant(TypeDecorator[Timestamp]):
    """A `Timestamp`, to the microsecond."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        stored: TypeEngine[Any] = BigInteger() if dialect.name == "sqlite" else DateTime(timezone=True)
        return dialect.type_descriptor(stored)

    def process_bind_param(self, value: Timestamp | None, dialect: Dialect) -> datetime | int | None:
        if value is None:
            return None
        return value.microseconds if dialect.name == "sqlite" else value.utc

    def process_literal_param(self, value: Timestamp | None, dialect: Dialect) -> Any:  # noqa: ANN401  # SQLAlchemy types it as text, and then writes the stored type's literal
        """Let the instant stand in a statement that takes no parameters (COPY)."""
        return self.process_bind_param(value, dialect)

    def process_result_value(self, value: datetime | int | None, dialect: Dialect) -> Timestamp | None:  # noqa: ARG002  # the value's type says enough
        if isinstance(value, datetime):
            return Timestamp(value)
        return None if value is None else Timestamp.from_microseconds(value)


Code = Text().with_variant(Text(collation="C"), "postgresql")
"""A code of the exchange: both databases compare it byte by byte, as Python does."""


_UNFINISHED = text("done_at IS NULL")


class Base(DeclarativeBase):
    """Every constraint has a name, so that migrations can speak of it."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012  # read once by the declarative machinery
        float: Double(),
        str: Text(),
        Timestamp: Instant(),
    }


class Board(Base):
    """Trading modes as the exchange lists them; `group` is the number of the board group."""

    __tablename__ = "board"

    code: Mapped[str] = mapped_column(Code, primary_key=True)
    engine: Mapped[str]
    market: Mapped[str]
    title: Mapped[str]
    engine_title: Mapped[str]
    market_title: Mapped[str]
    group: Mapped[int]
    group_name: Mapped[str]
    group_title: Mapped[str]
    is_default_group: Mapped[bool]
    is_traded: Mapped[bool]
    has_candles: Mapped[bool]
    is_primary: Mapped[bool]
    seen_at: Mapped[Timestamp | None]


class Security(Base):
    """Cards, under their natural key; the id never leaves the SQL repositories."""

    __tablename__ = "security"
    __table_args__ = (UniqueConstraint("ticker", "board"),)

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    ticker: Mapped[str] = mapped_column(Code)
    board: Mapped[str] = mapped_column(Code)
    engine: Mapped[str]
    market: Mapped[str]
    name: Mapped[str]
    short_name: Mapped[str]
    isin: Mapped[str | None]
    kind: Mapped[str | None]
    decimals: Mapped[int | None] = mapped_column(SmallInteger)
    is_traded: Mapped[bool]
    is_primary: Mapped[bool]
    listed_from: Mapped[date | None]
    listed_till: Mapped[date | None]
    secid: Mapped[str] = mapped_column(server_default="")
    latin_name: Mapped[str] = mapped_column(server_default="")
    lot: Mapped[int | None] = mapped_column(BigInteger)
    currency: Mapped[str | None]
    primary_board: Mapped[str | None]
    history_from: Mapped[date | None]
    history_till: Mapped[date | None]
    expires: Mapped[date | None]


class Series(Base):
    """`timeframe` is the interval's number at ISS."""

    __tablename__ = "series"
    __table_args__ = (
        UniqueConstraint("security_id", "timeframe"),
        CheckConstraint("version >= 0 AND history_version >= 0", "versions_count_up"),
    )

    id: Mapped[int] = mapped_column(Integer, Identity(), primary_key=True)
    security_id: Mapped[int] = mapped_column(ForeignKey("security.id"))
    timeframe: Mapped[int] = mapped_column(SmallInteger)
    followed_from: Mapped[Timestamp | None]
    watermark: Mapped[Timestamp | None]
    as_of: Mapped[Timestamp | None]
    version: Mapped[int] = mapped_column(BigInteger)
    history_version: Mapped[int] = mapped_column(BigInteger)
    first_candle: Mapped[Timestamp | None]
    failed_at: Mapped[Timestamp | None]
    failure: Mapped[str | None]
    reread_at: Mapped[Timestamp | None]
    stale_before: Mapped[Timestamp | None]
    checked_at: Mapped[Timestamp | None]
    failures: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    asked_at: Mapped[Timestamp | None]
    is_grown: Mapped[bool] = mapped_column(server_default=false())


def _sane_prices() -> tuple[SchemaItem, ...]:
    """Prices may be negative (futures, spreads), but are numbers, and ordered as the words say."""
    return (
        CheckConstraint(f"low >= -{MAX_DOUBLE} AND high <= {MAX_DOUBLE}", "prices_are_finite"),
        CheckConstraint(
            "low <= high AND low <= open AND low <= close AND high >= open AND high >= close", "prices_are_ordered"
        ),
        CheckConstraint(f"volume BETWEEN 0 AND {MAX_DOUBLE}", "volume_is_finite"),
        CheckConstraint(f"value BETWEEN -{MAX_DOUBLE} AND {MAX_DOUBLE}", "value_is_finite"),
    )


class Candle(Base):
    """Columns of four, two and one bytes stand before those of eight, so that PostgreSQL pads one byte a row only.

    `timeframe` repeats that of the series: it costs nothing there, and lets the table be partitioned by it later.
    `series_id` is no foreign key: PostgreSQL checks those row by row, which makes COPY 2.7 times slower. Writers lock
    the series they write below instead, and a trigger, `series_keeps_candles`, keeps a series that has candles.
    """

    __tablename__ = "candle"
    __table_args__ = (*_sane_prices(), {"sqlite_with_rowid": False})

    series_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    timeframe: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    is_final: Mapped[bool]
    begin: Mapped[Timestamp] = mapped_column(primary_key=True)
    open: Mapped[float]
    high: Mapped[float]
    low: Mapped[float]
    close: Mapped[float]
    volume: Mapped[float]
    value: Mapped[float]


class CandleSpan(Base):
    """Half-open `[time_from, time_till)`. PostgreSQL itself forbids that spans of a series overlap."""

    __tablename__ = "candle_span"

    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True, autoincrement=False)
    time_from: Mapped[Timestamp] = mapped_column(primary_key=True)
    time_till: Mapped[Timestamp]

    __table_args__ = (
        CheckConstraint("time_from < time_till", "is_not_empty"),
        ExcludeConstraint(
            (func.int4range(text("series_id"), text("series_id"), text("'[]'")), "&&"),
            (func.tstzrange(text("time_from"), text("time_till")), "&&"),
            name="ex_candle_span_overlap",
            using="gist",
        ).ddl_if(dialect="postgresql"),
    )


class CandleRevision(Base):
    """What a final candle was before; `revision` counts from 1 for each candle."""

    __tablename__ = "candle_revision"
    __table_args__ = (*_sane_prices(), CheckConstraint("revision >= 1", "revision_counts_from_one"))

    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True, autoincrement=False)
    begin: Mapped[Timestamp] = mapped_column(primary_key=True)
    revision: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    open: Mapped[float]
    high: Mapped[float]
    low: Mapped[float]
    close: Mapped[float]
    volume: Mapped[float]
    value: Mapped[float]
    reason: Mapped[str]
    superseded_at: Mapped[Timestamp]


class Quarantine(Base):
    """Rows that failed their checks, as they came."""

    __tablename__ = "quarantine"
    __table_args__ = (CheckConstraint("attempts >= 1", "attempts_count_from_one"),)

    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True, autoincrement=False)
    begin: Mapped[Timestamp] = mapped_column(primary_key=True)
    raw: Mapped[str]
    reason: Mapped[str]
    seen_at: Mapped[Timestamp]
    attempts: Mapped[int]


class CalendarDay(Base):
    """What the exchange says of a day of one engine; hours are those of the Moscow wall clock."""

    __tablename__ = "calendar_day"

    engine: Mapped[str] = mapped_column(Code, primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    is_traded: Mapped[bool]
    trade_date: Mapped[date | None]
    reason: Mapped[str | None]
    opens: Mapped[time | None]
    closes: Mapped[time | None]
    seen_at: Mapped[Timestamp | None]


class Split(Base):
    """On this Moscow day one share became `factor` shares."""

    __tablename__ = "split"
    __table_args__ = (CheckConstraint(f"factor > 0 AND factor <= {MAX_DOUBLE}", "factor_is_positive"),)

    security_id: Mapped[int] = mapped_column(ForeignKey("security.id"), primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column("date", primary_key=True)
    factor: Mapped[float]
    seen_at: Mapped[Timestamp]


class ListedSplit(Base):
    """The same as the exchange lists it: of a ticker, followed or not."""

    __tablename__ = "listed_split"
    __table_args__ = (CheckConstraint(f"factor > 0 AND factor <= {MAX_DOUBLE}", "factor_is_positive"),)

    ticker: Mapped[str] = mapped_column(Code, primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    factor: Mapped[float]


class Rename(Base):
    """From this Moscow day a share had another ticker."""

    __tablename__ = "rename"

    old: Mapped[str] = mapped_column(Code, primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    new: Mapped[str] = mapped_column(Code)


class BoardMove(Base):
    """From this Moscow day a ticker traded on another board."""

    __tablename__ = "board_move"

    ticker: Mapped[str] = mapped_column(Code, primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    from_board: Mapped[str] = mapped_column(Code)
    to_board: Mapped[str] = mapped_column(Code)


class Look(Base):
    """When a list of the exchange was read last and all of it taken notice of."""

    __tablename__ = "look"

    name: Mapped[str] = mapped_column(Code, primary_key=True)
    seen_at: Mapped[Timestamp]


class UpdateWish(Base):
    """What somebody asked to have loaded, and when; what of each series stands in its parts."""

    __tablename__ = "update_wish"

    id: Mapped[str] = mapped_column(Code, primary_key=True)
    asked_at: Mapped[Timestamp] = mapped_column(index=True)


class UpdatePart(Base):
    """Half-open `[time_from, time_till)` of one series. `asked_at` repeats that of the wish."""

    __tablename__ = "update_part"
    __table_args__ = (
        Index("ix_update_part_unfinished", "series_id", postgresql_where=_UNFINISHED, sqlite_where=_UNFINISHED),
    )

    series_id: Mapped[int] = mapped_column(ForeignKey("series.id"), primary_key=True, autoincrement=False)
    update_id: Mapped[str] = mapped_column(Code, ForeignKey("update_wish.id"), primary_key=True, index=True)
    asked_at: Mapped[Timestamp]
    time_from: Mapped[Timestamp]
    time_till: Mapped[Timestamp]
    again: Mapped[bool]
    minutes_before: Mapped[int] = mapped_column(BigInteger)
    done_at: Mapped[Timestamp | None]
    rows: Mapped[int | None] = mapped_column(BigInteger)


class Lease(Base):
    """Who alone may do something until then, by the clock of the database."""

    __tablename__ = "lease"

    name: Mapped[str] = mapped_column(Code, primary_key=True)
    holder: Mapped[str]
    until: Mapped[Timestamp]


class Source(Base):
    """One row: who filled this store."""

    __tablename__ = "source"
    __table_args__ = (CheckConstraint("id = 1", "is_one_row"),)

    id: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    name: Mapped[str]
