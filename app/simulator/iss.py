r"""The text of ISS answers: blocks of rows under named columns, in the compact and the extended form.

Tabs, one row a line, `/` written `\/`, doubles as short as they go: `3`, `543374940`, `599770205.4000001`.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Self

Value = str | int | float | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a block; the types of ISS are string, int32, int64, double, date, time, datetime."""

    name: str
    type: str = "string"
    bytes: int | None = None

    @property
    def metadata(self) -> dict[str, Value]:
        sizes = {"date": 10, "time": 10, "datetime": 19, "string": 765}
        size = self.bytes or sizes.get(self.type)
        return {"type": self.type, **({"bytes": size, "max_size": 0} if size else {})}


@dataclass(frozen=True, slots=True)
class Block:
    """A named table. Each of `rows` is the text of its values, in the order of the columns: `144.02, "TQBR", null`."""

    name: str
    columns: Sequence[Column]
    rows: Sequence[str] = ()

    @classmethod
    def of(cls, name: str, columns: Sequence[Column], rows: Iterable[Sequence[Value]] = ()) -> Self:
        return cls(name, columns, [row_text(row) for row in rows])

    @property
    def cells(self) -> Iterator[list[str]]:
        """The texts of the values, row by row."""
        count = len(self.columns)
        for row in self.rows:
            cells = row.split(", ")  # which is all there is to it unless a text in the row has a comma too
            yield cells if len(cells) == count else [row_text([value]) for value in row_values(row)]

    def select(self, names: Sequence[str]) -> "Block":
        """Keep these columns in this order; unknown names are dropped."""
        places = {column.name.lower(): n for n, column in enumerate(self.columns)}
        chosen = [places[name.lower()] for name in names if name.lower() in places]
        rows = [", ".join([cells[n] for n in chosen]) for cells in self.cells]
        return replace(self, columns=[self.columns[n] for n in chosen], rows=rows)


@dataclass(frozen=True, slots=True)
class Style:
    """How the asker wants the answer: `iss.meta`, `iss.data`, `iss.json`, `iss.only`, `<block>.columns`."""

    meta: bool = True
    data: bool = True
    extended: bool = False
    only: frozenset[str] = frozenset()
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)


def number(value: float) -> str:
    """Write a double as short as it goes; NaN and infinities as JavaScript names them."""
    return repr(value).removesuffix(".0") if isfinite(value) else json.dumps(value)


def row_text(values: Iterable[Value]) -> str:
    """Write the values of a row, without the brackets."""
    return ", ".join(_scalar(value) for value in values)


def row_values(row: str) -> list[Value]:
    """Read a row's text back."""
    values: list[Value] = json.loads(f"[{row}]")
    return values


def render(blocks: Iterable[Block], style: Style) -> str:
    """Write an answer of these blocks."""
    wanted = [block for block in blocks if not style.only or block.name in style.only]
    chosen = [block.select(style.columns[block.name]) if block.name in style.columns else block for block in wanted]
    return _extended(chosen, style) if style.extended else _compact(chosen, style)


def render_error(block: str, message: str) -> str:
    """Write the error that ISS sends with status 200."""
    return _in_list(f'    "{block}": [\n      {{"error": {_scalar(message)}}}\n    ]')


def _compact(blocks: Sequence[Block], style: Style) -> str:
    return "{\n" + ",\n".join(_compact_block(block, style) for block in blocks) + "}\n"


def _compact_block(block: Block, style: Style) -> str:
    columns = ", ".join(_scalar(column.name) for column in block.columns)
    parts = [f'\t"columns": [{columns}]']
    if style.meta:
        metadata = ",\n".join(f"\t\t{_scalar(c.name)}: {_object(c.metadata)}" for c in block.columns)
        parts.insert(0, f'\t"metadata": {{\n{metadata}\n\t}}')
    if style.data:
        rows = ",\n".join([f"\t\t[{row}]" for row in block.rows]) or "\t\t"
        parts[-1] += f', \n\t"data": [\n{rows}\n\t]'
    return f'"{block.name}": {{\n' + ",\n".join(parts) + "\n}"


def _extended(blocks: Sequence[Block], style: Style) -> str:
    return _in_list(",\n".join(_extended_block(block, style) for block in blocks))


def _extended_block(block: Block, style: Style) -> str:
    names = [_scalar(column.name).replace("%", "%%") for column in block.columns]
    form = "{" + ", ".join(f"{name}: %s" for name in names) + "}"
    items = [form % tuple(cells) for cells in block.cells] if style.data else []
    if style.meta:
        items.insert(0, _object({"metadata": {column.name: column.metadata for column in block.columns}}))
    return f'    "{block.name}": [\n' + ",\n".join(f"      {item}" for item in items) + "\n    ]"


def _in_list(blocks: str) -> str:
    return '[\n  {"charsetinfo": {"name": "utf-8"}},\n  {\n' + blocks + "}\n]\n"


def _scalar(value: Value) -> str:
    return number(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False).replace("/", "\\/")


def _object(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False).replace("/", "\\/")
