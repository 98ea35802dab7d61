"""How an answer writes its candles: in which form, zone and order."""

from dataclasses import dataclass
from datetime import tzinfo
from enum import StrEnum

from app.answers import encoding
from app.core.pages import CandlePage


class Form(StrEnum):
    """How candles are written."""

    OBJECTS = "objects"
    COLUMNS = "columns"
    CSV = "csv"


_LAYOUTS = {Form.OBJECTS: encoding.objects, Form.COLUMNS: encoding.rows, Form.CSV: encoding.csv}

_PART = 256
"""Candles."""


@dataclass(frozen=True, slots=True)
class Writing:
    """All that the bytes of a candle depend on, beside the candle."""

    form: Form
    zone: tzinfo
    is_descending: bool

    @property
    def layout(self) -> encoding.Layout:
        return _LAYOUTS[self.form]

    @property
    def key(self) -> tuple[str, str, bool]:
        """The same as text, which is compared and hashed quickly."""
        return (self.form.value, str(self.zone), self.is_descending)

    def candles(self, page: CandlePage) -> bytes:
        """Write an ascending page in this order, without anything around."""
        return self.layout.separator.join(self.parts(page))

    def parts(self, page: CandlePage) -> list[bytes]:
        """Write the same in parts, none of them empty: what fits into a processor's cache is written quicker."""
        ordered = page[::-1] if self.is_descending else page
        starts = range(0, len(page), _PART)
        return [self.layout.candles(ordered[start : start + _PART], self.zone) for start in starts]
