"""What time it is: by this machine, or by the exchange."""

from datetime import UTC, datetime

from app.core.date_time import Timestamp
from app.market_data_adapter.iss import IssClient


class SystemClock:
    """This machine's clock."""

    async def now(self) -> Timestamp:
        return Timestamp(datetime.now(UTC))


class SourceClock:
    """The exchange's clock, asked each time: for a simulator, whose time may stand still or run."""

    def __init__(self, client: IssClient) -> None:
        """Take the way to the exchange."""
        self._client = client

    async def now(self) -> Timestamp:
        return await self._client.date()
