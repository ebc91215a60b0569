"""Validation of OME-Zarr: the rules of the specification, and advice on what they leave to the writer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msi_lazy.storage.place import Place
from msi_lazy.validation.check_chunks import DECODE, Decode
from msi_lazy.validation.check_hierarchy import check_hierarchy
from msi_lazy.validation.checks import Checks
from msi_lazy.validation.nodes import MalformedGroupError, open_root
from msi_lazy.validation.report import Finding, ValidationReport

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Finding", "ValidationReport", "validate"]


def validate(
    store: Any, *, storage_options: Mapping[str, Any] | None = None, decode: Decode = "sample", group: str = ""
) -> ValidationReport:
    """Check an OME-Zarr image, its labels, or a collection of images, and report rule by rule.

    Parameters
    ----------
    store
        Path, URL, or a zarr store or group.
    storage_options
        Options of the file system behind a URL.
    decode
        Chunks to read: ``"sample"`` (the first, the middle and the last of each level), ``"all"`` (a few at a
        time), or ``"none"``.  A chunk that is not stored is no fault: it is the fill value.
    group
        Path of the group in the store, such as one image of several.

    Returns
    -------
    ValidationReport
        ``report.ok`` if no MUST of the specification is broken; ``report.findings`` says what is wrong, where, and
        what to do.

    Raises
    ------
    FileNotFoundError
        There is no Zarr group at ``store``.
    TypeError, ValueError
        ``store`` is no store, or is a Zarr array; ``decode`` is unknown.

    Notes
    -----
    Beyond the text of OME-Zarr 0.1 to 0.6, levels are compared with each other (shape with scale, translation with
    scale, dtype), and the shape of labels with that of their image.

    Examples
    --------
    >>> import zarr
    >>> from zarr.storage import MemoryStore
    >>> group = zarr.create_group(MemoryStore(), attributes={"ome": {"version": "0.5", "multiscales": []}})
    >>> for finding in validate(group).findings:
    ...     print(finding)
    MUST multiscales-listed at /: ome.multiscales is empty; it lists the images of the group: add one
    """
    if decode not in DECODE:
        raise ValueError(f"decode must be one of {', '.join(map(repr, DECODE))}, not {decode!r}")
    place = Place.parse(store, group, storage_options)
    checks = Checks()
    try:
        root = open_root(place)
    except MalformedGroupError as error:
        checks.hold("group-opens", False, str(error))
        return checks.report(place.named, decode)
    checks.hold("group-opens", True, "")
    check_hierarchy(root, checks, decode, place)
    return checks.report(place.named, decode)
