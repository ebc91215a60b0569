"""Progress display of a write: a bar for each level, in a terminal or in a notebook."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from html import escape
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress

__all__ = ["is_watched", "level_progress", "shown"]

_SECONDS = 0.2
"""Seconds between two tables in a notebook."""
_RATE_OVER = 600
"""Most seconds over which a rate is measured: large blocks are stored minutes apart."""


def in_notebook() -> bool:
    """Tell whether this runs in a notebook, whose cells show HTML."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return type(shell).__name__ == "ZMQInteractiveShell"


def is_watched() -> bool:
    """Tell whether anybody sees a progress bar: in a notebook, or where the output is a terminal."""
    return in_notebook() or bool(getattr(sys.stdout, "isatty", lambda: False)())


def level_progress(**options: Any) -> Progress:
    """Build rich's display: each task counts bytes, and has fields ``blocks`` and ``stored`` (blocks).

    Examples
    --------
    >>> progress = level_progress(get_time=iter(range(9)).__next__)
    >>> task = progress.add_task("scale0", total=2_000_000, blocks=4, stored=1)
    >>> for blocks in (2, 3):
    ...     progress.update(task, advance=500_000, stored=blocks)
    >>> [str(column(progress.tasks[0])) for column in progress.columns[2:]]
    [' 50%', '1.0/2.0 MB', '3/4 blocks', '500.0 kB/s', '0:00:02']
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=12),
        TaskProgressColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[stored]}/{task.fields[blocks]} blocks", justify="right"),
        TransferSpeedColumn(),
        TimeRemainingColumn(elapsed_when_finished=True),
        console=Console(file=sys.stdout),
        speed_estimate_period=_RATE_OVER,
        **options,
    )


@contextmanager
def shown(progress: Progress) -> Iterator[None]:
    """Show ``progress`` repeatedly within, and once more at the end, also after an error."""
    if not in_notebook():
        with progress:
            yield
        return
    from IPython.display import HTML, display

    show: Any = display  # both are untyped
    table: Any = HTML
    handle = show(table(_as_html(progress)), display_id=True)
    ended = Event()

    def refresh() -> None:
        while not ended.wait(_SECONDS):
            handle.update(table(_as_html(progress)))

    refreshing = Thread(target=refresh, name="msi_lazy-progress", daemon=True)
    refreshing.start()
    try:
        yield
    finally:
        ended.set()
        refreshing.join()
        handle.update(table(_as_html(progress)))


def _as_html(progress: Progress) -> str:
    """Format a table of HTML's own progress bars, as rich needs ipywidgets in a notebook."""
    from rich.progress import ProgressColumn

    lines = []
    for task in progress.tasks:
        name = escape(task.description)
        bar = f'<progress max="{task.total}" value="{task.completed}" aria-label="{name}"></progress>'
        texts = (column.render(task) for column in progress.columns[2:] if isinstance(column, ProgressColumn))
        cells = "".join(f"<td>{escape(str(text))}</td>" for text in texts)
        lines.append(f'<tr><th scope="row">{name}</th><td>{bar}</td>{cells}</tr>')
    return f"<table><caption>stored so far</caption><tbody>{''.join(lines)}</tbody></table>"
