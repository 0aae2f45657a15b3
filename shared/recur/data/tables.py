"""Tables of text, as spreadsheets and data frames are written out."""

import io
import shlex
import warnings
from collections.abc import Mapping

import pandas as pd

from recur.errors import InputError, suggestion


def parse_table(content: bytes, name: str, delimiter: str, columns: Mapping[str, str], row: str) -> pd.DataFrame:
    """Reads a table with a header; every cell is text, and an empty one is empty text.

    Args:
        content: UTF-8, with or without a byte order mark.
        name: What messages call the table.
        delimiter: Between cells, which quotation marks may enclose.
        columns: Those that it must have, each with the flag by which a user names it.
        row: What a row is, "a review a row" say.

    Raises:
        InputError: It is empty, not UTF-8, lacks a column, or has a row of more cells than the header.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        utf_16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
        command = f"iconv -f {'utf-16' if utf_16 else 'latin1'} -t utf-8 {shlex.quote(name)} > utf8.csv"
        wrong = f"byte 0x{content[error.start]:02x} at offset {error.start}"
        raise InputError(f"{name} is not UTF-8 ({wrong}); convert it first, perhaps: {command}") from None
    if not text.strip():
        raise InputError(f"{name} is empty; give a table with a header and {row}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of cells that no column has
            table = pd.read_csv(io.StringIO(text), sep=delimiter, dtype=str, keep_default_na=False, index_col=False)
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = str(error).strip().removeprefix("Error tokenizing data. C error: ").splitlines()[0].rstrip(".")
        advice = "put texts that hold the delimiter or a line end between quotation marks"
        raise InputError(f"{name} is no table: {reason}; {advice}") from None
    for column in columns:
        if column not in table.columns:
            present = ", ".join(table.columns[:20])[:300]
            hint = suggestion(column, list(table.columns), f"name them with {' and '.join(columns.values())}")
            raise InputError(f"{name} has no column named {column}; it has {present}; {hint}")
    if table.empty:
        raise InputError(f"{name} has a header and no row below it; give {row}")
    return table.fillna("")
