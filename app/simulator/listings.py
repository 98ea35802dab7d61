"""What the simulated exchange lists: engines, markets, boards, and the securities of the generated tape."""

import re
from dataclasses import dataclass
from datetime import date


@dataclass(frozen=True, slots=True)
class Engine:
    """A trading system of the exchange, with the hours its timetable names."""

    id: int
    name: str
    title: str
    opens: str
    closes: str


@dataclass(frozen=True, slots=True)
class Market:
    """A market of an engine."""

    id: int
    engine: Engine
    name: str
    title: str


@dataclass(frozen=True, slots=True)
class Board:
    """A trading mode; `group` is the number of its board group."""

    id: int
    code: str
    title: str
    group: int
    market: Market
    is_primary: bool = True


STOCK = Engine(1, "stock", "Фондовый рынок и рынок депозитов", "09:50:00", "23:50:00")
CURRENCY = Engine(3, "currency", "Валютный рынок", "09:50:00", "23:50:00")
FUTURES = Engine(4, "futures", "Срочный рынок", "09:00:00", "23:50:00")
ENGINES = (STOCK, CURRENCY, FUTURES)

SHARES = Market(1, STOCK, "shares", "Рынок акций")
BONDS = Market(2, STOCK, "bonds", "Рынок облигаций")
INDEX = Market(5, STOCK, "index", "Индексы фондового рынка")
SELT = Market(10, CURRENCY, "selt", "Биржевые сделки с ЦК")
FORTS = Market(22, FUTURES, "forts", "ФОРТС")
OPTIONS = Market(24, FUTURES, "options", "Рынок опционов")
MARKETS = (SHARES, BONDS, INDEX, SELT, FORTS, OPTIONS)

TQBR = Board(129, "TQBR", "Т+: Акции и ДР - безадрес.", 57, SHARES)
TQTF = Board(178, "TQTF", "Т+: ETF - безадрес.", 57, SHARES)
TQIF = Board(177, "TQIF", "Т+: Паи - безадрес.", 57, SHARES)
SMAL = Board(36, "SMAL", "Т+: Неполные лоты (акции) - безадрес.", 21, SHARES, is_primary=False)
TQOB = Board(135, "TQOB", "Т+: Гособлигации - безадрес.", 58, BONDS, is_primary=False)
TQCB = Board(349, "TQCB", "Т+: Облигации - безадрес.", 58, BONDS, is_primary=False)
TQIR = Board(377, "TQIR", "Т+ Облигации ПИР - безадрес.", 58, BONDS, is_primary=False)
SNDX = Board(44, "SNDX", "Индексы фондового рынка", 9, INDEX)
RTSI = Board(102, "RTSI", "Индексы РТС", 9, INDEX)
CETS = Board(21, "CETS", "Системные сделки - безадрес.", 13, SELT)
RFUD = Board(101, "RFUD", "Фьючерсы", 45, FORTS)
ROPD = Board(103, "ROPD", "Опционы", 35, OPTIONS)
BOARDS = {board.code: board for board in (TQBR, TQTF, TQIF, SMAL, TQOB, TQCB, TQIR, SNDX, RTSI, CETS, RFUD, ROPD)}

SHARE, FUND, BOND = ("common_share", "stock_shares"), ("exchange_ppif", "stock_ppif"), ("ofz_bond", "stock_bonds")
UNITS, CORPORATE = ("private_ppif", "stock_ppif"), ("exchange_bond", "stock_bonds")
STOCK_INDEX, PAIR, CONTRACT, OPTION = (
    ("stock_index", "stock_index"),
    ("currency", "currency_selt"),
    ("futures", "futures_forts"),
    ("option", "futures_options"),
)


@dataclass(frozen=True, slots=True, eq=False)
class Listing:
    """A security on a board, and how its generated market behaves.

    `price` is what it hovers about, in the units of its quotes (per cent of par for bonds); `silence` how many minutes
    of 256 pass without a trade, `idle_days` how many days of 256; `turnover` a usual minute's volume in lots; `swing`
    its usual move in a minute as a part of the price. `sunk` is taken off every price of a contract, in units of its
    quotes, so that it may fall below zero. `expires` is the last day of a contract or a bond. From `long_hours_from` on
    it trades in the sessions that are not for all. On the days of `halts`, half-open periods, it does not trade.
    `formerly` is the code it was renamed from on the day before `listed_from`; `moves_on` that another board takes over
    after `listed_till`.
    """

    ticker: str
    board: Board
    name: str
    short_name: str
    kind: tuple[str, str] = SHARE
    isin: str | None = None
    decimals: int = 2
    lot: int = 1
    price: float = 100.0
    listed_from: date = date(2011, 12, 15)
    listed_till: date | None = None
    is_primary: bool = True
    silence: int = 3
    idle_days: int = 0
    turnover: int = 200
    swing: float = 0.0004
    sunk: int = 0
    expires: date | None = None
    currency: str = "RUB"
    long_hours_from: date | None = None
    halts: tuple[tuple[date, date], ...] = ()
    formerly: str | None = None
    moves_on: bool = False

    def is_listed(self, day: date) -> bool:
        return self.listed_from <= day and (self.listed_till is None or day <= self.listed_till)

    def is_announced(self, day: date) -> bool:
        """Tell whether the exchange knows of it on this day: contracts are announced long before they trade."""
        return self.listed_from <= day or self.board.market.engine is FUTURES

    def is_primary_on(self, day: date) -> bool:
        return self.is_primary and not (self.moves_on and self.listed_till is not None and self.listed_till < day)

    def is_halted(self, day: date) -> bool:
        return any(first <= day < after for first, after in self.halts)

    def has_long_hours(self, day: date) -> bool:
        return self.long_hours_from is not None and self.long_hours_from <= day


_LONG_HOURS_FROM = date(2025, 1, 27)

LISTINGS = (
    Listing(
        "SBER", TQBR, "Сбербанк России ПАО ао", "Сбербанк", SHARE, "RU0009029540", 2, 10, 160.0, turnover=2000,
        long_hours_from=_LONG_HOURS_FROM, formerly="SBER03",
    ),
    Listing(
        "SBER", SMAL, "Сбербанк России ПАО ао", "Сбербанк", SHARE, "RU0009029540", 2, 1, 160.0, is_primary=False,
        listed_from=date(2013, 7, 8), silence=200, idle_days=20, turnover=2,
    ),
    Listing(
        "GAZP", TQBR, '"Газпром" (ПАО) ао', "ГАЗПРОМ ао", SHARE, "RU0007661625", 2, 10, 170.0, turnover=1500,
        long_hours_from=_LONG_HOURS_FROM,
    ),
    Listing(
        "LKOH", TQBR, "НК ЛУКОЙЛ (ПАО) - ао", "ЛУКОЙЛ", SHARE, "RU0009024277", 1, 1, 3500.0, turnover=600,
        long_hours_from=_LONG_HOURS_FROM,
    ),
    Listing("GMKN", TQBR, 'ГМК "Нор.Никель" ПАО ао', "ГМКНорНик", SHARE, "RU0007288411", 2, 10, 130.0, turnover=300),
    Listing(
        "OZON", TQBR, "АДР Ozon Holdings PLC ORD SHS", "OZON-адр", SHARE, "US69269L1044", 1, 1, 2400.0,
        listed_from=date(2020, 11, 24), turnover=80,
    ),
    Listing(
        "YNDX", TQBR, "PLLC Yandex N.V. class A shs", "Yandex clA", SHARE, "NL0009805522", 1, 1, 2100.0,
        listed_from=date(2014, 6, 4), listed_till=date(2024, 6, 14), turnover=120,
    ),
    Listing(
        "SBMX", TQTF, "БПИФ Первая Топ Рос. акций", "SBMX ETF", FUND, "RU000A0ZZK06", 3, 1, 14.0,
        listed_from=date(2018, 9, 17), listed_till=date(2026, 5, 31), moves_on=True, silence=60, turnover=400,
        swing=0.0003,
    ),
    Listing(
        "SU26238RMFS4", TQOB, "ОФЗ-ПД 26238 15/05/2041", "ОФЗ 26238", BOND, "RU000A1038V6", 3, 1, 60.0,
        listed_from=date(2021, 6, 23), silence=170, idle_days=6, turnover=60, swing=0.0001,
        expires=date(2041, 5, 15),
    ),
    Listing(
        "RU000A103X66", TQCB, "Почта России БО-002P-01", "ПочтаР2P01", CORPORATE, "RU000A103X66", 2, 1, 92.0,
        listed_from=date(2021, 10, 20), silence=190, idle_days=10, turnover=30, swing=0.0001,
        expires=date(2029, 9, 28),
    ),
    Listing(
        "RU000A1041B2", TQIR, "Завод КЭС 001P-04", "ЗаводКЭС1P", CORPORATE, "RU000A1041B2", 2, 1, 71.0,
        listed_from=date(2021, 11, 1), silence=245, idle_days=80, turnover=4, swing=0.0003, expires=date(2027, 10, 20),
    ),
    Listing(
        "RU000A0JR2C1", TQIF, "ЗПИФ Аренда-Бизнес", "АрендаБизн", UNITS, "RU000A0JR2C1", 1, 1, 640.0,
        listed_from=date(2013, 4, 4), silence=235, idle_days=90, turnover=3, swing=0.0005,
    ),
    Listing(
        "IMOEX", SNDX, "Индекс МосБиржи", "Индекс МосБиржи", STOCK_INDEX, "RU000A0JP7K5", 2, 1, 2500.0, silence=0,
        turnover=40_000, swing=0.0003,
    ),
    Listing(
        "RTSI", RTSI, "Индекс РТС", "Индекс РТС", STOCK_INDEX, None, 2, 1, 1100.0, silence=0, turnover=20_000,
        swing=0.0003, currency="USD",
    ),
    Listing(
        "USD000UTSTOM", CETS, "USDRUB_TOM - USD/РУБ", "USDRUB_TOM", PAIR, None, 4, 1000, 65.0, turnover=900,
        swing=0.0002,
    ),
    Listing(
        "SiZ6", RFUD, "Фьючерсный контракт Si-12.26", "Si-12.26", CONTRACT, None, 0, 1, 90_000.0,
        listed_from=date(2024, 12, 20), listed_till=date(2026, 12, 17), silence=20, turnover=150, swing=0.0002,
        expires=date(2026, 12, 17),
    ),
    Listing(
        "SiH4", RFUD, "Фьючерсный контракт Si-3.24", "Si-3.24", CONTRACT, None, 0, 1, 90_000.0,
        listed_from=date(2022, 3, 18), listed_till=date(2024, 3, 21), silence=20, turnover=150, swing=0.0002,
        expires=date(2024, 3, 21),
    ),
    Listing(
        "SiZ3", RFUD, "Фьючерсный контракт Si-12.23", "Si-12.23", CONTRACT, None, 0, 1, 90_000.0,
        listed_from=date(2021, 12, 17), listed_till=date(2023, 12, 21), silence=20, turnover=150, swing=0.0002,
        expires=date(2023, 12, 21),
    ),
    Listing(
        "CLG4", RFUD, "Фьючерсный контракт CL-2.24", "CL-2.24", CONTRACT, None, 2, 1, 70.0,
        listed_from=date(2023, 8, 21), listed_till=date(2024, 2, 20), silence=90, turnover=20, sunk=75,
        expires=date(2024, 2, 20),
    ),
    Listing(
        "Si90000BC4", ROPD, "Опцион Call на Si-3.24, 90000", "Si90000BC4", OPTION, None, 0, 1, 2500.0,
        listed_from=date(2023, 9, 22), listed_till=date(2024, 3, 21), silence=220, idle_days=40, turnover=5,
        swing=0.002, expires=date(2024, 3, 21),
    ),
    Listing(
        "POLY", TQBR, "Polymetal International plc", "Polymetal", SHARE, "JE00B6T5S470", 1, 1, 500.0,
        listed_from=date(2013, 6, 21), listed_till=date(2023, 10, 12), turnover=90,
    ),
    Listing(
        "TCSG", TQBR, "МКПАО Т-Технологии ао", "ТКСХолд ао", SHARE, "RU000A107UL4", 1, 1, 2800.0,
        listed_from=date(2019, 10, 28), listed_till=date(2024, 11, 27), turnover=100,
    ),
    Listing(
        "T", TQBR, "МКПАО Т-Технологии ао", "Т-Техно ао", SHARE, "RU000A107UL4", 1, 1, 2800.0,
        listed_from=date(2024, 11, 28), formerly="TCSG", turnover=100, long_hours_from=_LONG_HOURS_FROM,
    ),
    Listing(
        "SBMX", TQBR, "БПИФ Первая Топ Рос. акций", "SBMX ETF", FUND, "RU000A0ZZK06", 3, 1, 14.0,
        listed_from=date(2026, 6, 1), silence=60, turnover=400, swing=0.0003,
    ),
)  # fmt: skip

LOAD_TICKER = re.compile(r"SIM[0-9]{3}")
"""Tickers that exist on TQBR when asked for, so that a load test finds as many as it wants."""


def load_listing(ticker: str) -> Listing:
    """Describe one of them."""
    return Listing(ticker, TQBR, f"Simulated share {ticker}", ticker, lot=10, price=50.0 + int(ticker[3:]))
