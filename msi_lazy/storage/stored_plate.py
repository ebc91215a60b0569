"""Plates as they are stored: the plate's own attributes at once, those of wells when they are asked for."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from msi_lazy.compat.zarr_stores import fetch_bytes
from msi_lazy.errors import warn_user
from msi_lazy.ngff.plate_attributes import read_plate, read_well
from msi_lazy.ngff.specifications import ome_block
from msi_lazy.storage.broken_documents import reading
from msi_lazy.storage.inside import describe_inside
from msi_lazy.storage.open_image import open_image_group
from msi_lazy.storage.unfinished import naming_unfinished
from msi_lazy.storage.zarr_formats import store_format

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from msi_lazy.ngff.plate_attributes import StoredPlate
    from msi_lazy.storage.place import Place, ZarrFormat

__all__ = ["WellReader", "field_paths", "first_field", "is_plate", "open_stored_plate"]

WellName = tuple[str, str]
"""Row and column of a well."""


def open_stored_plate(place: Place) -> tuple[StoredPlate, WellReader]:
    """Open the plate in the group at a place: one document is read, however many wells it lists.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group.
    UnfinishedImageError
        The write of the plate was interrupted, or is still running.
    ValueError
        The group is no plate, or a malformed one.
    """
    with naming_unfinished(place):
        group = open_image_group(place)
        with reading("the attributes of the group"):
            attributes = group.attrs.asdict()
        if "plate" not in ome_block(attributes):
            raise ValueError(f"the group {place.named} is no plate{describe_inside(place)}")
        return read_plate(attributes), WellReader(place, group.metadata.zarr_format)


def is_plate(place: Place) -> bool:
    """Tell whether a group is a plate; what cannot be opened is none."""
    with suppress(Exception):
        return "plate" in ome_block(place.open_group().attrs.asdict())
    return False


def first_field(place: Place) -> Place:
    """Place of the first field of a plate, of which one well is read; of any other group its own."""
    if not is_plate(place):
        return place
    stored, wells = open_stored_plate(place)
    for row, column in stored.wells:
        for name in wells.fields((row, column)):
            return place.child(f"{row}/{column}/{name}")
    raise ValueError(f"the plate {place.named} has no fields")


def field_paths(place: Place) -> list[str]:
    """Paths of the fields of a plate, below it; of any other group the path of its own image, which is empty."""
    if not is_plate(place):
        return [""]
    stored, wells = open_stored_plate(place)
    found = wells.fields_of(stored.wells)
    return [f"{row}/{column}/{name}" for (row, column), fields in found.items() for name in fields]


class WellReader:
    """Reads the fields of wells, and remembers them.

    Parameters
    ----------
    place
        Place of the plate.
    zarr_format
        Zarr version that it is stored in.
    """

    def __init__(self, place: Place, zarr_format: ZarrFormat) -> None:
        self.place, self.zarr_format, self._names = place, zarr_format, store_format(zarr_format)
        self._in_one_document = self._names.attributes_document == self._names.consolidated_document
        self._known: dict[WellName, dict[str, int | None]] = {}
        self._consolidated: Mapping[str, Any] | None = None

    def fields(self, well: WellName) -> dict[str, int | None]:
        """Fields of one well, and the acquisition of each.

        Raises
        ------
        FileNotFoundError
            The well is not there.
        """
        self._read([well])
        if well not in self._known:
            raise FileNotFoundError(f"the plate {self.place.named} lists the well {'/'.join(well)}, which is not there")
        return self._known[well]

    def fields_of(self, wells: Iterable[WellName]) -> dict[WellName, dict[str, int | None]]:
        """Fields of several wells, whose documents are read at once; a warning names those that are not there."""
        wells = list(wells)
        self._read(wells)
        lost = ["/".join(well) for well in wells if well not in self._known]
        if lost:
            more = ", ..." if len(lost) > 10 else ""
            warn_user(f"the plate {self.place.named} lists wells that are not there: {', '.join(lost[:10])}{more}")
        return {well: self._known[well] for well in wells if well in self._known}

    def _read(self, wells: Iterable[WellName]) -> None:
        unread = [well for well in wells if well not in self._known]
        if len(unread) > 1 and self._consolidated is None:
            self._consolidated = self._read_consolidated()
        found = {well: self._consolidated_attributes("/".join(well)) for well in unread} if self._consolidated else {}
        unread = [well for well in unread if found.get(well) is None]
        keys = [f"{self.place.below('/'.join(well))}/{self._names.attributes_document}" for well in unread]
        for well, content in zip(unread, fetch_bytes(self.place.store, keys), strict=True):
            found[well] = self._parse(well, content)
        for well, attributes in found.items():
            if attributes is not None:
                self._known[well] = read_well(attributes, f"the well {'/'.join(well)} of {self.place.named}")

    def _parse(self, well: WellName, content: bytes | None) -> dict[str, Any] | None:
        if content is None:
            return None
        with reading(f"the attributes of the well {'/'.join(well)}"):
            document: dict[str, Any] = dict(json.loads(content))
            return dict(document.get("attributes", {})) if self._in_one_document else document

    def _read_consolidated(self) -> Mapping[str, Any]:
        """Metadata of all nodes, by path or key, where the plate has them; none if they are not what they should be."""
        (content,) = fetch_bytes(self.place.store, [self.place.below(self._names.consolidated_document)])
        with suppress(ValueError, KeyError, TypeError):
            document = json.loads(content or b"")
            found = document["consolidated_metadata"]["metadata"] if self._in_one_document else document["metadata"]
            return dict(found)
        return {}

    def _consolidated_attributes(self, path: str) -> dict[str, Any] | None:
        key = path if self._in_one_document else f"{path}/{self._names.attributes_document}"
        found = (self._consolidated or {}).get(key)
        if isinstance(found, dict) and self._in_one_document:
            found = found.get("attributes")
        return found if isinstance(found, dict) else None
