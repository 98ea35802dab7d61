"""The forms in which files hold candles."""

from enum import StrEnum

from app.core.entities import Series


class FileForm(StrEnum):
    """A form of a file, which is also the ending of its name. `arrow` is an IPC stream."""

    CSV = "csv"
    NDJSON = "ndjson"
    ARROW = "arrow"
    PARQUET = "parquet"

    @property
    def is_text(self) -> bool:
        return self in {FileForm.CSV, FileForm.NDJSON}

    def file_name(self, series: Series) -> str:
        return f"{series.security.board}-{series.security.ticker}-{series.timeframe}.{self}"
