"""The row of a specification: what tells one version of OME-Zarr from another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from msi_lazy.ngff.stored_image import StoredImage
    from msi_lazy.plan.pyramid import PyramidPlan

__all__ = ["GROUP_BLOCKS", "Block", "Specification", "ZarrFormat"]

ZarrFormat = Literal[2, 3]
Block = Mapping[str, Any]
"""What OME-Zarr says of a group: ``multiscales``, ``omero``, ``image-label``, ``labels``, ``series``, and so on."""

GROUP_BLOCKS = ("multiscales", "labels", "image-label", "omero", "bioformats2raw.layout", "series", "plate", "well")
"""Members of a block, by which it is recognised where it has no attribute of its own."""


@dataclass(frozen=True)
class Specification:
    """One version of a specification: facts, a reader and a writer; whatever depends on the version asks its row."""

    version: str
    """Version, as users and stores name it."""
    zarr_format: ZarrFormat
    """Zarr version that it is stored in."""
    holder: str | None
    """Attribute of a group that holds the block, and in it the version; ``None`` where the attributes are the block."""
    read: Callable[[Block, str], StoredImage]
    """Reader: from a block and the version to the first multiscale image in it; ``KeyError`` and the like where
    something is missing, ``ValueError`` with a reason where something contradicts itself."""
    write: Callable[[PyramidPlan, Block, str], dict[str, Any]]
    """Writer: from a plan, other members of the block (``omero``, ``image-label``) and the version to a block."""
    append: Callable[[Block, PyramidPlan, Sequence[str]], dict[str, Any]]
    """Writer of further levels: the block with those of the plan behind its own, and where their arrays are."""
    marks: tuple[str, ...] = GROUP_BLOCKS
    """Attributes by which a block without a holder is recognised; any of them will do."""
    version_in_multiscale: bool = False
    """Whether each multiscale image states the version."""
    separator: str | None = None
    """What separates indices in the keys of chunks, where the specification asks for one."""
    dimension_names_required: bool = False
    """Whether each array has the names of the axes in its metadata."""
    channel_display_required: bool = False
    """Whether each channel in ``omero`` has a colour and a window."""
    all_labels_listed: bool = False
    """Whether a label image should be in the list of its group."""

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
        """Attributes of a group with ``block``."""
        return dict(block) if self.holder is None else {self.holder: dict(block)}

    def extend(self, attributes: Mapping[Any, Any], members: Block) -> dict[str, Any]:
        """Attributes that give a group ``members`` besides those that its ``attributes`` have in their block."""
        if self.holder is None:
            return dict(members)
        return self.place({**self.block_of(attributes), "version": self.version, **members})

    def is_called(self, version: Any) -> bool:
        """Tell whether a store that states ``version`` means this specification."""
        return bool(version == self.version)

    def fits(self, zarr_format: int) -> bool:
        """Tell whether it is stored in this Zarr version."""
        return zarr_format == self.zarr_format

    def stated_version(self, attributes: Mapping[Any, Any]) -> str | None:
        """Version that the block or its first multiscale image states, right or wrong; ``None`` if none does."""
        block = self.block_of(attributes)
        listed = block.get("multiscales")
        first = listed[0] if isinstance(listed, list) and listed else None
        stated = [first.get("version")] if isinstance(first, Mapping) else []
        if self.holder is not None:
            stated.insert(0, block.get("version"))
        return next((str(version) for version in stated if version), None)
