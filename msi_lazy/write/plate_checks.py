"""Checks of a plate that is to be replaced: nothing that is no part of it is deleted with it."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from msi_lazy.errors import StoreExistsError
from msi_lazy.ngff.plate_attributes import read_plate
from msi_lazy.storage.ledger import child_names
from msi_lazy.storage.unfinished import ledger_within
from msi_lazy.write.target_checks import other_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.storage.place import Place
    from msi_lazy.write.job import WriteOptions

__all__ = ["check_plate_kept"]


def check_plate_kept(place: Place, options: WriteOptions, fields: Sequence[str]) -> None:
    """Refuse to delete nodes, such as tables, that are no rows, wells or fields, and no part of an image.

    Parameters
    ----------
    place, options
        Target of the write, and its options.
    fields
        Paths of the fields that are written.

    Raises
    ------
    StoreExistsError
        Names the first.
    """
    if options.mode != "w" or ledger_within(place) is not None:
        return
    found = next(_foreign_nodes(place, fields), None)
    if found is not None:
        raise StoreExistsError(
            f"{place} holds {found!r}, which mode='w' would delete, and which is no part of a plate: move it "
            f"elsewhere, or choose another path"
        )


def _foreign_nodes(place: Place, fields: Sequence[str]) -> Iterator[str]:
    """Yield the paths of nodes that are none of a plate's, from its root down."""
    paths = {tuple(field.split("/")) for field in fields}
    wells = {path[:2] for path in paths}
    with suppress(FileNotFoundError, ValueError):  # no plate
        wells |= set(read_plate(place.open_group().attrs.asdict()).wells)
    for known in ({(row,) for row, _ in wells}, wells, paths):
        for above in sorted({path[:-1] for path in known}):
            group = place.child("/".join(above))
            for name in child_names(group):
                if (
                    (*above, name) not in known
                    and not name.startswith(".")
                    and group.child(name).open_node() is not None
                ):
                    yield "/".join((*above, name))
    for path in sorted(paths):
        yield from (f"{'/'.join(path)}/{name}" for name in other_nodes(place.child("/".join(path)), ()))
