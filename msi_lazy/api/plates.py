"""Plates that are read: lazy mappings of wells and fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

from msi_lazy.arguments.plate_names import lab_order
from msi_lazy.storage.open_image import open_image
from msi_lazy.storage.place import Place
from msi_lazy.storage.stored_plate import open_stored_plate
from msi_lazy.tree.build_tree import stack_levels

if TYPE_CHECKING:
    import xarray as xr

    from msi_lazy.ngff.plate_attributes import StoredPlate
    from msi_lazy.storage.stored_plate import WellReader

__all__ = ["Plate", "Well", "open_plate"]

FieldKey = tuple[str, str, int | str]
_MOST_ROWS, _MOST_COLUMNS = 32, 48
"""Most rows and columns of a plate that are drawn: those of a plate of 1536 wells."""


def open_plate(store: Any, *, storage_options: Mapping[str, Any] | None = None, group: str = "") -> Plate:
    """Open a plate of a high-content screen as a lazy mapping of its fields.

    Only the plate's own metadata are read now; those of a well when its fields are asked for, and an image when it is
    taken from the mapping.

    Parameters
    ----------
    store
        Path, URL, or a zarr store or group of the plate.
    storage_options
        Options of the file system behind a URL.
    group
        Path of the plate in the store.

    Returns
    -------
    Plate
        ``plate["A", "1", 0]`` is the pyramid of a field, as :func:`open_multiscale` opens it, and ``plate["A", "1"]``
        the mapping of the fields of a well.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group at ``store``.
    ValueError
        The group is no plate, or a malformed one; the message says what it is.
    """
    stored, wells = open_stored_plate(Place.parse(store, group, storage_options))
    return Plate(stored, wells)


class Well(Mapping[int | str, "xr.DataTree"]):
    """A well of a plate: a mapping of its fields, by number, or by name where that is none; see :func:`open_plate`."""

    def __init__(self, wells: WellReader, name: tuple[str, str], *, acquisition: int | None = None) -> None:
        self._wells, (self.row, self.column), self._only = wells, name, acquisition

    @property
    def acquisitions(self) -> dict[int | str, int | None]:
        """Acquisition of each field; ``None`` where the well states none."""
        fields = self._wells.fields((self.row, self.column))
        return {_field_key(name): number for name, number in fields.items() if self._only in (None, number)}

    def __getitem__(self, field: int | str) -> xr.DataTree:
        known = self.acquisitions
        if _field_key(field) not in known:
            listed = ", ".join(map(repr, known))
            raise KeyError(f"the well {self.row}/{self.column} has no field {field!r}; its fields are {listed}")
        return stack_levels(open_image(self._wells.place.child(f"{self.row}/{self.column}/{field}")))

    def __iter__(self) -> Iterator[int | str]:
        return iter(self.acquisitions)

    def __len__(self) -> int:
        return len(self.acquisitions)

    def __contains__(self, field: object) -> bool:
        return _field_key(field) in self.acquisitions

    def __repr__(self) -> str:
        stated = {number for number in self.acquisitions.values() if number is not None}
        of = f" of the acquisitions {', '.join(map(str, sorted(stated)))}" if stated else ""
        fields = ", ".join(map(repr, self))
        return f"<msi_lazy.Well {self.row}/{self.column}: fields {fields}{of}>"


class Plate(Mapping[FieldKey, "xr.DataTree"]):
    """A plate, or a part of one: a lazy mapping of its fields; see :func:`open_plate`.

    Keys are ``("A", "1", 0)``: row, column, and the number of the field, or its name where that is no number.  A path,
    ``plate["A/1/0"]``, and a number in place of a column's name do as well.
    """

    def __init__(self, stored: StoredPlate, wells: WellReader, *, acquisition: int | None = None) -> None:
        self._stored, self._wells, self._only = stored, wells, acquisition

    @property
    def name(self) -> str:
        """Name of the plate; empty if it has none."""
        return self._stored.name

    @property
    def version(self) -> str:
        """OME-Zarr version that the plate states."""
        return self._stored.version

    @property
    def rows(self) -> tuple[str, ...]:
        """Names of the rows, also of those without wells."""
        return self._stored.rows

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, also of those without wells."""
        return self._stored.columns

    @property
    def wells(self) -> tuple[tuple[str, str], ...]:
        """Row and column of each well that is stored."""
        return self._stored.wells

    @property
    def acquisitions(self) -> dict[int, dict[str, Any]]:
        """What the plate states of each acquisition, by its id."""
        return {number: dict(stated) for number, stated in self._stored.acquisitions.items()}

    @property
    def field_count(self) -> int | None:
        """Most fields of a well, as the plate states it."""
        return self._stored.field_count

    def well(self, row: str, column: str | int) -> Well:
        """Return a well; nothing is read.

        Raises
        ------
        KeyError
            The plate has none there.
        """
        if (row, str(column)) not in self.wells:
            raise KeyError(
                f"the plate has no well {row}/{column}; its {len(self.wells)} wells lie in "
                f"{_range_text('rows', self.rows)} and {_range_text('columns', self.columns)}"
            )
        return Well(self._wells, (row, str(column)), acquisition=self._only)

    def row(self, row: str) -> Plate:
        """Return the part of the plate in one row."""
        return self._part("row", row, self.rows, [well for well in self.wells if well[0] == row])

    def column(self, column: str | int) -> Plate:
        """Return the part of the plate in one column."""
        return self._part("column", str(column), self.columns, [w for w in self.wells if w[1] == str(column)])

    def acquisition(self, acquisition: int) -> Plate:
        """Return the part of the plate that one acquisition took: its fields, of all wells.

        Raises
        ------
        KeyError
            The plate states no such acquisition.
        """
        if acquisition not in self.acquisitions:
            raise KeyError(f"the plate has no acquisition {acquisition!r}; it has {list(self.acquisitions)}")
        stored = replace(self._stored, acquisitions={acquisition: self._stored.acquisitions[acquisition]})
        return Plate(stored, self._wells, acquisition=acquisition)

    def _part(self, what: str, name: str, names: tuple[str, ...], wells: list[tuple[str, str]]) -> Plate:
        if name not in names:
            raise KeyError(f"the plate has no {what} {name!r}; it has {_range_text(f'{what}s', names)}")
        part: Any = {f"{what}s": (name,), "wells": tuple(wells)}
        return Plate(replace(self._stored, **part), self._wells, acquisition=self._only)

    @overload
    def __getitem__(self, key: tuple[str, str]) -> Well: ...
    @overload
    def __getitem__(self, key: FieldKey | str) -> xr.DataTree: ...
    def __getitem__(self, key: Any) -> Any:
        parts = _key_parts(key)
        well = self.well(parts[0], parts[1])
        return well if len(parts) == 2 else well[parts[2]]

    def acquisition_of(self, key: FieldKey | str) -> int | None:
        """Id of the acquisition that took a field; ``None`` if its well states none."""
        row, column, field = _key_parts(key)
        return self.well(row, column).acquisitions[_field_key(field)]

    def acquisitions_of_fields(self) -> dict[FieldKey, int]:
        """Return the ids of the acquisitions of all fields whose wells state one."""
        return {key: number for key, number in self._fields() if number is not None}

    def _fields(self) -> Iterator[tuple[FieldKey, int | None]]:
        for (row, column), fields in self._wells.fields_of(self.wells).items():
            for field, number in fields.items():
                if self._only in (None, number):
                    yield (row, column, _field_key(field)), number

    def __iter__(self) -> Iterator[FieldKey]:
        return (key for key, _ in self._fields())

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, key: object) -> bool:
        try:
            row, column, *field = _key_parts(key)
            well = self.well(row, column)
        except (KeyError, TypeError):
            return False
        return not field or field[0] in well

    def __repr__(self) -> str:
        wells, most = len(self.wells), self.field_count
        lines = [
            f"<msi_lazy.Plate {self.name!r}, OME-Zarr {self.version}, at {self._wells.place.named}",
            f"  {wells} well{'s' * (wells != 1)} in {_range_text('rows', self.rows)} and "
            f"{_range_text('columns', self.columns)}"
            + (f", up to {most} field{'s' * (most != 1)} each" if most is not None else ""),
        ]
        for number, stated in self.acquisitions.items():
            of = "only the fields of " if self._only is not None else ""
            lines.append(f"  {of}acquisition {number}{': ' + str(stated['name']) if stated.get('name') else ''}")
        if len(self.rows) <= _MOST_ROWS and len(self.columns) <= _MOST_COLUMNS:
            lines += self._drawing()
        return "\n".join(lines) + ">"

    def _drawing(self) -> list[str]:
        """Draw the plate: a letter for each place, ``o`` where there is a well."""
        margin, width = max(map(len, self.rows), default=0), max(map(len, self.columns), default=0)
        wells = set(self.wells)
        drawn = [" ".join([" " * margin, *(column.rjust(width) for column in self.columns)])]
        for row in self.rows:
            places = ("o" if (row, column) in wells else "." for column in self.columns)
            drawn.append(" ".join([row.rjust(margin), *(place.rjust(width) for place in places)]))
        return [f"  {line}" for line in drawn]


def _key_parts(key: Any) -> tuple[Any, ...]:
    """Parts of the key of a field or a well, as users give it.

    Raises
    ------
    TypeError
        It is none.
    """
    parts = tuple(part for part in key.split("/") if part) if isinstance(key, str) else key
    usual = isinstance(parts, tuple) and len(parts) in (2, 3) and all(type(part) in (int, str) for part in parts)
    if not usual:
        raise TypeError(
            f"the key of a field is its row, column and number, ('A', '1', 0), or its path, 'A/1/0'; that of a well "
            f"has no number; not {key!r}"
        )
    return (str(parts[0]), str(parts[1]), *parts[2:])


def _field_key(field: Any) -> Any:
    """Return the number of a field, if its name is one, so that no two names have the same; else the name."""
    plain = isinstance(field, str) and field.isascii() and field.isdigit() and str(int(field)) == field
    return int(field) if plain else field


def _range_text(what: str, names: tuple[str, ...]) -> str:
    """Name rows or columns: all of a few, the first and the last of many."""
    if len(names) == 1:
        return f"{what[:-1]} {names[0]}"
    ordered = tuple(sorted(names, key=lab_order)) == names
    if len(names) > 3 and ordered:
        return f"{len(names)} {what} {names[0]} to {names[-1]}"
    return f"{what} {', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"
