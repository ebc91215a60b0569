"""Row of a specification: all facts that depend on the version of OME-Zarr."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from msi_lazy.errors import UnsupportedImageError

if TYPE_CHECKING:
    from msi_lazy.ngff.stored_image import StoredImage
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["GROUP_BLOCKS", "AxesForm", "Block", "Specification", "ZarrFormat", "axes_form"]

ZarrFormat = Literal[2, 3]
AxesForm = Literal["order", "names", "objects", "systems"]
"""Form in which an image has its axes: none, as their order is fixed; a list of names, or of objects; within coordinate
systems."""
Block = Mapping[str, Any]
"""OME-Zarr attributes of a group: ``multiscales``, ``omero``, ``image-label``, ``labels``, ``series``, and so on."""

GROUP_BLOCKS = ("multiscales", "labels", "image-label", "omero", "bioformats2raw.layout", "series", "plate", "well")
"""Members of a block, by which it is recognised if it has no attribute of its own."""


def axes_form(block: Block) -> AxesForm:
    """Form of the axes of the first image in a block; ``"objects"`` for whatever is none.

    Examples
    --------
    >>> axes_form({"multiscales": [{"datasets": [{"path": "0"}]}]}), axes_form({"labels": ["cells"]})
    ('order', 'objects')
    """
    listed = block.get("multiscales")
    first = listed[0] if isinstance(listed, list) and listed else None
    if not isinstance(first, Mapping):
        return "objects"
    axes = first.get("axes")
    if axes is None:
        return "systems" if "coordinateSystems" in first else "order" if "datasets" in first else "objects"
    named = isinstance(axes, list) and axes and all(isinstance(axis, str) for axis in axes)
    return "names" if named else "objects"


def _refuse_write(plan: PyramidPlan, members: Block, version: str) -> NoReturn:
    raise UnsupportedImageError(_READ_ONLY.format(version=f"OME-Zarr {version}"))


def _refuse_append(block: Block, plan: PyramidPlan, paths: Sequence[str]) -> NoReturn:
    raise UnsupportedImageError(_READ_ONLY.format(version="of an old version of OME-Zarr"))


_READ_ONLY = (
    "the image is {version}, which is read, and not written any more: upgrade it first, by msi_lazy.upgrade(store, "
    "target) or msi-lazy upgrade STORE TARGET"
)


@dataclass(frozen=True)
class Specification:
    """One version of a specification: facts, a reader and a writer."""

    version: str
    """Version, as users and stores name it."""
    zarr_format: ZarrFormat
    """Zarr version that it is stored in."""
    holder: str | None
    """Attribute of a group that holds the block and its version; ``None`` if the attributes are the block."""
    read: Callable[[Block, str], StoredImage]
    """Reader: from a block and the version to the first multiscale image in it.  Raises ``KeyError`` and the like if
    something is missing, ``ValueError`` with a reason if something contradicts itself."""
    write: Callable[[PyramidPlan, Block, str], dict[str, Any]] = _refuse_write
    """Writer: from a plan, other members of the block (``omero``, ``image-label``) and the version to a block; by
    default that of versions which are read only, and raises an error."""
    append: Callable[[Block, PyramidPlan, Sequence[str]], dict[str, Any]] = _refuse_append
    """Writer of further levels: from a block, a plan and the paths of new arrays to a block."""
    axes: AxesForm = "objects"
    """Form of the axes, by which images are told apart that state no version."""
    composed: tuple[str, ...] = ("axes", "coordinateTransformations", "datasets", "metadata", "name", "type", "version")
    """Members of a multiscale image that the reader and the writer are about; others are carried over as they are."""
    arrange: Callable[[Block], dict[str, Any]] = dict
    """Converts a multiscale image from the flat form, in which its members are kept, to that of this version."""
    also: tuple[str, ...] = ()
    """Other versions that stores state and that are this one: release candidates."""
    previews: tuple[str, ...] = ()
    """Versions to come that are read as this one, with a remark."""
    marks: tuple[str, ...] = GROUP_BLOCKS
    """Attributes any of which shows a block without a holder."""
    version_in_label: bool = True
    """Whether the block of a label image states the version."""
    version_in_multiscale: bool = False
    """Whether each multiscale image states the version."""
    version_in_plate: bool = False
    """Whether a plate states the version, too."""
    separator: str | None = None
    """Separator of indices in the keys of chunks, if the specification asks for one."""
    dimension_names_required: bool = False
    """Whether each array has the names of the axes in its metadata."""
    channel_display_required: bool = False
    """Whether each channel in ``omero`` has a colour and a window."""
    all_labels_listed: bool = False
    """Whether a label image should be in the list of its group."""
    field_names: str = "[A-Za-z0-9]+"
    """Pattern of the names that the fields of a well may have."""

    @property
    def has_transformations(self) -> bool:
        """Whether the geometry of images is stated: in old versions it is not."""
        return self.axes in ("objects", "systems")

    @property
    def is_written(self) -> bool:
        """Whether images are written so; others are only read."""
        return self.write is not _refuse_write

    def check_written(self, reason: str = "") -> None:
        """Refuse an image of a version that is only read, for what needs a newer one.

        Raises
        ------
        UnsupportedImageError
            Names the version, and how to upgrade.
        """
        if not self.is_written:
            raise UnsupportedImageError(reason + _READ_ONLY.format(version=f"OME-Zarr {self.version}"))

    def holds(self, attributes: Mapping[Any, Any]) -> bool:
        """Tell whether ``attributes`` of a group have a block in the place of this specification."""
        if self.holder is None:
            return any(mark in attributes for mark in self.marks)
        return isinstance(attributes.get(self.holder), Mapping)

    def same_place(self, other: Specification) -> bool:
        """Tell whether the block of ``other`` has the same place."""
        return (self.holder, self.marks) == (other.holder, other.marks)

    def block_of(self, attributes: Mapping[Any, Any]) -> Block:
        """Block in the ``attributes`` of a group; empty if there is none."""
        found = attributes if self.holder is None else attributes.get(self.holder)
        return found if isinstance(found, Mapping) else {}

    def place(self, block: Block) -> dict[str, Any]:
        """Compose the attributes of a group from ``block``."""
        return dict(block) if self.holder is None else {self.holder: dict(block)}

    def extend(self, attributes: Mapping[Any, Any], members: Block) -> dict[str, Any]:
        """Compose the attributes that add ``members`` to the block in a group's ``attributes``."""
        if self.holder is None:
            return dict(members)
        return self.place({**self.block_of(attributes), "version": self.version, **members})

    def is_called(self, version: Any) -> bool:
        """Tell whether a store that states ``version`` means this specification."""
        return bool(version == self.version) or version in self.also

    def reads(self, version: Any) -> bool:
        """Tell whether a store that states ``version`` can be read so: this one, or a tool's own kind of it.

        Such as ``0.5-dev-spatialdata``, ``0.5.2`` or ``0.5rc1``; not ``0.51``.
        """
        known = "|".join(map(re.escape, (self.version, *self.previews)))
        return re.match(rf"\s*v?({known})(?!\d)", str(version)) is not None

    def fits(self, zarr_format: int) -> bool:
        """Tell whether it is stored in this Zarr version."""
        return zarr_format == self.zarr_format

    def stated_version(self, attributes: Mapping[Any, Any]) -> str | None:
        """Version that the block or its first multiscale image states, right or wrong; ``None`` if neither does."""
        block = self.block_of(attributes)
        listed = block.get("multiscales")
        first = listed[0] if isinstance(listed, list) and listed else None
        stated = [first.get("version")] if isinstance(first, Mapping) else []
        if self.holder is not None:
            stated.insert(0, block.get("version"))
        return next((str(version) for version in stated if version), None)
