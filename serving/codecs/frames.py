"""CSV and Parquet bodies as typed columns. Their libraries are imported when the first such body comes."""

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from serving.schema import Signature
from serving.values import Array
from stagedoor.errors import BodyTooLarge, MalformedBody, SchemaMismatch

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

MAX_UNPACKED_BYTES: Final = 512 * 1024 * 1024
"""Parquet compresses; a small file may not unpack to more than this."""

MAX_COLUMNS: Final = 50_000
"""A CSV header is short to write and each column costs pandas a fixed time."""


def read_csv(body: bytes, signature: Signature, max_rows: int) -> dict[str, Array]:
    """Columns of a CSV text with a header, in UTF-8. Columns of strings, bytes and times are read as text."""
    import pandas as pd  # noqa: PLC0415  a worker without CSV callers never loads it

    if not body.strip():
        raise MalformedBody("is empty")
    if body.split(b"\n", 1)[0].count(b",") > MAX_COLUMNS:
        raise MalformedBody(f"has more than {MAX_COLUMNS} columns")
    texts = {spec.name: object for spec in signature.inputs if spec.datatype == "BYTES"}
    try:
        frame = pd.read_csv(io.StringIO(body.decode("utf-8")), dtype=texts, nrows=max_rows + 1, low_memory=False)
    except (ValueError, OverflowError) as error:  # pandas' parser errors and Unicode errors are ValueErrors
        raise MalformedBody("is not CSV in UTF-8 with a header line") from error
    if not isinstance(frame.index, pd.RangeIndex):
        raise MalformedBody("has lines with more values than the header has names")
    return {str(name): _column(frame[name]) for name in frame.columns}


def _column(series: "pd.Series[Any]") -> Array:
    if isinstance(series.dtype, np.dtype) and series.dtype.kind in "biufM":
        array: Array = series.to_numpy()
        return array
    values: Array = series.to_numpy(dtype=object)
    return np.array([None if value != value else value for value in values], object)  # noqa: PLR0124  NaN differs from itself


def read_parquet(body: bytes, max_rows: int) -> dict[str, Array]:
    """Columns of a Parquet file; an index that pandas stored is left out. Raises BodyTooLarge before it unpacks."""
    import pyarrow as pa  # noqa: PLC0415  a worker without Parquet callers never loads it
    import pyarrow.parquet as pq  # noqa: PLC0415  the same

    try:
        file = pq.ParquetFile(pa.BufferReader(body))
        if file.metadata.num_rows > max_rows:
            raise BodyTooLarge(max_rows, "rows")
        unpacked = sum(file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups))
        if unpacked > MAX_UNPACKED_BYTES:
            raise BodyTooLarge(MAX_UNPACKED_BYTES)
        texts = [field.name for field in file.schema_arrow if _is_text(field.type)]
        table = pq.ParquetFile(pa.BufferReader(body), read_dictionary=texts).read()  # a long text is kept once
    except (pa.ArrowException, OSError, ValueError) as error:
        raise MalformedBody("is not a Parquet file") from error
    names = [name for name in table.column_names if not name.startswith("__index_level_")]
    return {name: _arrow_column(name, table.column(name)) for name in names}


def _is_text(kind: "pa.DataType") -> bool:
    import pyarrow as pa  # noqa: PLC0415  only called where it is loaded

    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_kind(kind) for is_kind in kinds)


def _words(chunk: "pa.DictionaryArray") -> list[Any]:
    words = chunk.dictionary.to_pylist()
    return [None if place is None else words[place] for place in chunk.indices.to_pylist()]


def _arrow_column(name: str, column: "pa.ChunkedArray") -> Array:
    import pyarrow as pa  # noqa: PLC0415  only called where it is loaded

    kind = column.type
    if pa.types.is_dictionary(kind):
        return np.array([value for chunk in column.chunks for value in _words(chunk)], object)
    if pa.types.is_timestamp(kind) and kind.tz is not None:
        raise SchemaMismatch(name, "times without a zone", "times with one")
    if pa.types.is_nested(kind) or (column.null_count and not (pa.types.is_floating(kind) or pa.types.is_temporal(kind))):
        values = np.empty(len(column), object)
        for place, value in enumerate(column.to_pylist()):
            values[place] = value
        return values
    array: Array = column.to_numpy()
    return array
