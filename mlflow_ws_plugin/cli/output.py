"""How commands print: plain tables for people, JSON for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final

import click

__all__ = ["as_duration", "as_size", "as_time", "output_option", "print_json", "print_table"]

_BLOCKS: Final = "▁▂▃▄▅▆▇█"


def output_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add `-o table|json`."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help="How to print.",
    )(command)


def print_json(value: object) -> None:
    """Print `value` as JSON; times are ISO 8601 or milliseconds since 1970, as named."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=True, default=str))


def print_table(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> None:
    """Print rows in aligned columns, with a header and no decoration."""
    cells = [[_cell(row.get(column)) for column in columns] for row in rows]
    header = [column.replace("_", " ").upper() for column in columns]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    for line in (header, *cells):
        padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(padded).rstrip())


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """The course of `values` in one line of block characters; NaN and infinities are left blank."""
    sample = [values[int(i * len(values) / width)] for i in range(min(width, len(values)))]
    if len(values) <= width:
        sample = list(values)
    finite = [value for value in sample if abs(value) < float("inf")]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    step = (high - low) / (len(_BLOCKS) - 1) or 1.0
    return "".join(
        _BLOCKS[round((value - low) / step)] if abs(value) < float("inf") else " "
        for value in sample
    )


def as_time(time_ms: int | None) -> str:
    """Local time to the second, of milliseconds since 1970."""
    if time_ms is None:
        return "-"
    moment = datetime.fromtimestamp(time_ms / 1000, tz=timezone.utc).astimezone()
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def as_duration(start_ms: int | None, end_ms: int | None) -> str:
    """The time between, such as `1h02m` or `3.4s`; `-` while it is not over."""
    if start_ms is None or end_ms is None:
        return "-"
    seconds = (end_ms - start_ms) / 1000
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest:02d}s" if minutes < 60 else f"{minutes // 60}h{minutes % 60:02d}m"


def as_size(size_bytes: int) -> str:
    """Binary units, such as `1.5 MiB`."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _cell(value: object) -> str:
    # A line end or a control character in a name must not break the table.
    text = "-" if value is None else str(value)
    return "".join(char if char.isprintable() else "?" for char in text)
