"""Reading a file of users: CSV with a header line, or JSON lines."""

import csv
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from authsvc import strict_json
from authsvc.flows.import_users import Row, RowFault

COLUMNS = ("email", "password_hash")
MAX_LINE_BYTES = 1024 * 1024
JSON_SUFFIXES = frozenset({".jsonl", ".ndjson", ".json"})


class ImportFileError(Exception):
    """The file as a whole cannot be read; the message says why."""


def read(path: Path, advance: Callable[[int], object]) -> Iterator[Row | RowFault]:
    """Yield the rows of a file; `advance` hears how many bytes were read.

    Raises:
        ImportFileError: it is a CSV file without the columns, or its lines have no end.
    """
    parse = _json_rows if path.suffix.lower() in JSON_SUFFIXES else _csv_rows
    with path.open("rb") as file:
        yield from parse(_lines(file, advance))


def _lines(file: BinaryIO, advance: Callable[[int], object]) -> Iterator[str]:
    for number, line in enumerate(iter(partial(file.readline, MAX_LINE_BYTES), b""), start=1):
        if len(line) == MAX_LINE_BYTES:
            raise ImportFileError(f"Line {number} is longer than 1 MiB: this is no file of users.")
        advance(len(line))
        # What is not UTF-8 is found at fault as an address or a hash, in its own row.
        yield line.decode("utf-8-sig" if number == 1 else "utf-8", "surrogateescape")


def _json_rows(lines: Iterator[str]) -> Iterator[Row | RowFault]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if number == 1 and line.lstrip().startswith("["):
            raise ImportFileError("This is one JSON array: give one object a line, as jq -c '.[]' does.")
        try:
            members = strict_json.loads(line)
        except ValueError:
            members = None
        values = [members.get(name) for name in COLUMNS] if isinstance(members, dict) else []
        yield _row(number, values, "This is no JSON object with the texts email and password_hash.")


def _csv_rows(lines: Iterator[str]) -> Iterator[Row | RowFault]:
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
    except csv.Error:
        header = []
    if not all(header.count(name) == 1 for name in COLUMNS):
        raise ImportFileError("The first line must name the columns: email,password_hash (others are not read).")
    columns = f"This has not the {len(header)} columns of the first line: a hash with commas in it stands in quotes."
    positions = [header.index(name) for name in COLUMNS]
    while True:
        line = reader.line_num + 1  # where the row begins: a quoted text may go over several lines
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            # A quote that nobody closes takes in what follows, up to the field limit of the csv module.
            lost = f" Neither are the lines to {reader.line_num}." if reader.line_num > line else ""
            yield RowFault(line, f"This is not CSV: look at its quotes.{lost}")
            continue
        if cells:
            values: list[object] = [cells[position] for position in positions] if len(cells) == len(header) else []
            yield _row(line, values, columns)


def _row(line: int, values: list[object], otherwise: str) -> Row | RowFault:
    texts = [value for value in values if isinstance(value, str)]
    return Row(line, *texts) if len(texts) == len(COLUMNS) else RowFault(line, otherwise)
