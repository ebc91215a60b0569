"""A write as people watch it: a bar for each level, in a terminal or in a notebook."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from html import escape
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Protocol

from dask.utils import format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.run.tally import Row, Tally

__all__ = ["is_watched", "row_texts", "watching"]

_SECONDS = 0.2
"""Between two looks at the tally."""
_UNITS = ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "kiB"), (0, "B"))
"""Units of bytes, by their power of two."""


class _Display(Protocol):
    def show(self, rows: Sequence[Row]) -> None:
        """Show how far the levels are."""
        ...

    def close(self) -> None:
        """Leave what was shown last."""
        ...


def in_notebook() -> bool:
    """Whether this runs in a notebook, whose cells show HTML."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def is_watched() -> bool:
    """Whether anybody sees a progress bar: in a notebook, or where the output is a terminal."""
    return in_notebook() or bool(getattr(sys.stdout, "isatty", lambda: False)())


@contextmanager
def watching(tally: Tally) -> Iterator[None]:
    """Show, again and again, how far ``tally`` is; once more at the end, however that comes."""
    display: _Display = _NotebookDisplay() if in_notebook() else _TerminalDisplay()
    ended = Event()

    def watch() -> None:
        while not ended.wait(_SECONDS):
            display.show(tally.rows())

    display.show(tally.rows())
    watcher = Thread(target=watch, name="msi_lazy-progress", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        display.show(tally.rows())
        display.close()


def row_texts(row: Row) -> tuple[str, str, str, str]:
    """Bytes, blocks, rate and time left of a row.

    Examples
    --------
    >>> from msi_lazy.run.tally import Row
    >>> row_texts(Row("scale0", 2**31, 8, 2**30, 4, 2**27))
    ('1.0 of 2.0 GiB', '4/8 blocks', '128.00 MiB/s', '0:08 left')
    """
    unit, name = next((2**power, name) for power, name in _UNITS if row.nbytes >= 2**power or power == 0)
    size = f"{row.stored_bytes / unit:.1f} of {row.nbytes / unit:.1f} {name}"
    blocks = f"{row.stored_blocks}/{row.blocks} blocks"
    rate = f"{format_bytes(round(row.rate))}/s" if row.rate else ""
    if row.seconds_left is None:
        return size, blocks, rate, ""
    minutes, seconds = divmod(round(row.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return size, blocks, rate, "done" if row.stored_bytes == row.nbytes else f"{left} left"


class _TerminalDisplay:
    """Bars that rich draws."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

        texts = [TextColumn(f"{{task.fields[{name}]}}", justify="right") for name in ("size", "blocks", "rate", "left")]
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12),
            TaskProgressColumn(),
            *texts,
            console=Console(file=sys.stdout),
            auto_refresh=False,
        )
        self._tasks: dict[str, Any] = {}
        self._progress.start()

    def show(self, rows: Sequence[Row]) -> None:
        for row in rows:
            fields: dict[str, Any] = dict(zip(("size", "blocks", "rate", "left"), row_texts(row), strict=True))
            if row.name not in self._tasks:
                self._tasks[row.name] = self._progress.add_task(row.name, total=row.nbytes, **fields)
            self._progress.update(self._tasks[row.name], completed=row.stored_bytes, **fields)
        self._progress.refresh()

    def close(self) -> None:
        self._progress.stop()


class _NotebookDisplay:
    """A table of HTML's own progress bars, renewed in place."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, rows: Sequence[Row]) -> None:
        from IPython.display import HTML, display

        show: Any = display  # untyped, both
        table = HTML(_rows_html(rows))  # type: ignore[no-untyped-call]
        if self._handle is None:
            self._handle = show(table, display_id=True)
        else:
            self._handle.update(table)

    def close(self) -> None:
        pass


def _rows_html(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        name = escape(row.name)
        bar = f'<progress max="{row.nbytes}" value="{row.stored_bytes}" aria-label="{name}"></progress>'
        cells = "".join(f"<td>{escape(text)}</td>" for text in row_texts(row))
        lines.append(f'<tr><th scope="row">{name}</th><td>{bar}</td>{cells}</tr>')
    return f"<table><caption>stored so far</caption><tbody>{''.join(lines)}</tbody></table>"
