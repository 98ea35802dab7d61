"""Search the exchange."""

from collections.abc import Sequence

from app.core.errors import InputError
from app.core.markets import FoundSecurity, IDirectory


async def find_securities(directory: IDirectory, text: str, *, limit: int) -> Sequence[FoundSecurity]:
    """Return what the exchange finds by a part of ticker, name or ISIN, at most `limit` of it; followed or not.

    Raises InputError for an empty text.
    """
    if not (wanted := text.strip()):
        raise InputError("q", "say what to search for: a part of a ticker, of a name, or an ISIN")
    return await directory.find(wanted, limit=limit)
