"""What every repository of securities owes the core."""

from datetime import date

import pytest

from app.core.entities import Security, SecurityCard, Series, SeriesState, Timeframe
from app.core.errors import SecurityNotFoundError, StorageError
from app.core.storage import IStorage
from app.tests.builders import GAZP, SBER, SBER_M1, a_card, follow

SBER_EQ = Security("SBER", "EQBR")
FULL = SecurityCard(
    SBER,
    "stock",
    "shares",
    "Сбербанк России ПАО ао",
    "Сбербанк",
    "RU0009029540",
    "common_share",
    2,
    is_traded=False,
    is_primary=True,
    listed_from=date(2007, 7, 20),
    listed_till=date(2026, 12, 31),
    secid="Sber",
    latin_name="Sberbank",
    lot=10,
    currency="RUB",
    primary_board="TQBR",
    history_from=date(2007, 7, 21),
    history_till=date(2026, 12, 30),
    expires=date(2027, 1, 1),
)


async def test_a_card_comes_back_as_it_was(storage: IStorage) -> None:
    async with storage.begin() as writer:
        await writer.securities.add([FULL, a_card(GAZP, decimals=None)])

    async with storage.read() as reader:
        assert await reader.securities.get(SBER) == FULL
        assert [card async for card in reader.securities] == [a_card(GAZP, decimals=None), FULL]


async def test_an_unknown_security_is_named(storage: IStorage) -> None:
    async with storage.read() as reader:
        with pytest.raises(SecurityNotFoundError, match="TQBR:SBER"):
            await reader.securities.get(SBER)


async def test_codes_are_ordered_byte_by_byte(storage: IStorage) -> None:
    tickers = ["A_B", "AB", "B", "SBERP", "Sber", "sber", "Я"]
    async with storage.begin() as writer:
        await writer.securities.add(a_card(Security(ticker, "TQBR")) for ticker in reversed(tickers))

        assert [card.security.ticker async for card in writer.securities] == sorted(tickers)


async def test_filters_by_ticker_and_board(storage: IStorage) -> None:
    async with storage.begin() as writer:
        await writer.securities.add([a_card(SBER), a_card(SBER_EQ), a_card(GAZP)])
        sber = writer.securities.filter_by_ticker("SBER")

        assert [card.security async for card in sber] == [SBER_EQ, SBER]
        assert [card.security async for card in sber.filter_by_board("EQBR")] == [SBER_EQ]
        assert await writer.securities.filter_by_board("TQBR")[1:].count() == 1
        with pytest.raises(SecurityNotFoundError):
            await sber.get(GAZP)


async def test_a_quote_in_a_ticker_is_only_a_letter(storage: IStorage) -> None:
    async with storage.read() as reader:
        assert await reader.securities.filter_by_ticker("'; DROP TABLE security; --").count() == 0


async def test_add_replaces_the_card_and_keeps_what_hangs_below(storage: IStorage) -> None:
    await follow(storage, SBER_M1)
    async with storage.begin() as writer:
        await writer.securities.add([a_card(SBER, name="old"), a_card(SBER, name="new")])

        assert await writer.securities.get(SBER) == a_card(SBER, name="new")
        assert await writer.series.count() == 1


async def test_remove_and_clear(storage: IStorage) -> None:
    async with storage.begin() as writer:
        await writer.securities.add([a_card(SBER), a_card(SBER_EQ), a_card(GAZP)])
        await writer.securities.remove([a_card(SBER_EQ), a_card(Security("NONE", "TQBR"))])
        await writer.securities.filter_by_ticker("GAZP").clear()

        assert [card.security async for card in writer.securities] == [SBER]


async def test_a_security_with_series_stays(storage: IStorage) -> None:
    await follow(storage, SBER_M1)

    async def remove() -> None:
        async with storage.begin() as writer:
            await writer.securities.remove([a_card(SBER)])

    with pytest.raises(StorageError):
        await remove()


async def test_those_of_which_anything_is_followed_are_found(storage: IStorage) -> None:
    await follow(storage, SBER_M1, Series(GAZP, Timeframe.M1))
    async with storage.begin() as writer:
        await writer.securities.add([a_card(SBER_EQ)])
        await writer.series.add([SeriesState(Series(GAZP, Timeframe.M1)), SeriesState(Series(SBER, Timeframe.D1))])

    async with storage.read() as reader:
        assert [card.security async for card in reader.securities.filter_followed()] == [SBER]
        assert await reader.securities.filter_followed().filter_by_board("EQBR").count() == 0
