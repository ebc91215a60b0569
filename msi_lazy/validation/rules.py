"""Table of the rules: one row each, with its severity and statement."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["RULES", "Rule", "Severity"]

Severity = Literal["must", "should", "unread"]


@dataclass(frozen=True)
class Rule:
    """One rule for a stored image."""

    name: str
    """Short name, as reports show it."""
    severity: Severity
    """``"must"`` where an image that breaks it is not valid, ``"should"`` where it is advice; ``"unread"`` where a part
    of it could not be checked."""
    statement: str
    """Demand of the rule."""


_ROWS = (
    # every node
    Rule("group-opens", "must", "the metadata of a group can be read"),
    Rule("store-read", "unread", "all that is looked at can be read: the disk or the network does not fail"),
    Rule("ome-metadata", "must", "a group holds an image, labels, or a collection of images"),
    Rule("version-known", "must", "the version is 0.1 to 0.4, or 0.5 or 0.6 under 'ome'"),
    Rule(
        "version-stated",
        "should",
        "each multiscale image up to 0.4, and each group of labels of 0.5, states its version",
    ),
    Rule("version-consistent", "must", "every node of a hierarchy has the same version"),
    Rule("zarr-format", "must", "OME-Zarr up to 0.4 is stored as Zarr v2, from 0.5 on as Zarr v3"),
    Rule("field-present", "must", "a field that is required is there"),
    Rule("field-type", "must", "a field has the required JSON type"),
    # a multiscale image
    Rule("multiscales-listed", "must", "'multiscales' lists at least one image"),
    Rule("multiscale-name", "should", "a multiscale image has a name"),
    Rule("multiscale-type", "should", "a multiscale image states its downsampling method"),
    Rule("multiscale-metadata", "should", "a multiscale image has details on the downsampling"),
    Rule("axes-count", "must", "there are 2 to 5 axes"),
    Rule("axes-unique", "must", "no two axes have the same name"),
    Rule("axes-names", "must", "in 0.3, axes are some of t, c, z, y and x, in this order, y and x among them"),
    Rule("axes-type", "should", "each axis has a type: space, time or channel"),
    Rule("axes-space", "must", "2 or 3 axes are space; in 0.6 there may be 2 or more of type array instead"),
    Rule("axes-time-channel", "must", "at most one axis is time, and one channel or of a type of its own"),
    Rule("axes-order", "must", "time comes before channel, channel before space"),
    Rule("axes-zyx", "should", "axes z, y and x come in this order"),
    Rule("axes-unit", "should", "each axis of space or time has a unit"),
    Rule("axes-unit-name", "should", "units are UDUNITS names that the specification lists"),
    # its datasets
    Rule("datasets-listed", "must", "a multiscale image has at least one dataset"),
    Rule("dataset-opens", "must", "each dataset is an array that can be opened"),
    Rule("dataset-dimensions", "must", "each array has as many dimensions as there are axes"),
    Rule("dimension-names", "must", "from 0.5 on, the dimension names of each array are the names of the axes"),
    Rule("chunk-separator", "must", "in 0.2 to 0.4, the indices in the keys of chunks are separated by '/'"),
    Rule("datasets-order", "must", "datasets come from the largest to the smallest"),
    Rule("dtype-same", "must", "all levels have the same dtype (not in the specification, but viewers need it)"),
    Rule("chunk-decodes", "must", "chunks that are stored can be decoded"),
    Rule("update-finished", "should", "no update of the levels was interrupted: its note is in the image's group"),
    # its geometry
    Rule(
        "transformations-form",
        "must",
        "exactly one scale, then at most one translation, and nothing else; in 0.6 one scale, identity, or sequence",
    ),
    Rule("transformation-ends", "must", "in 0.6, a level's transformation leads from its path to the intrinsic system"),
    Rule("systems-listed", "must", "in 0.6, there is at least one coordinate system"),
    Rule("systems-unique", "must", "each coordinate system has a name of its own"),
    Rule("system-known", "must", "the systems that a transformation names are listed"),
    Rule("systems-connected", "must", "transformations connect all coordinate systems"),
    Rule("transformations-listed", "must", "a list of transformations between systems is not empty"),
    Rule("transformation-kind", "must", "a transformation has a type that is known, and allowed where it is"),
    Rule("transformation-parameters", "must", "a transformation has the parameters of its type"),
    Rule("transformation-array", "must", "the array that holds a transformation's parameters can be opened"),
    Rule("transformation-length", "must", "the parameters of a transformation fit the numbers of axes"),
    Rule("scale-positive", "must", "every number of a scale is positive and finite"),
    Rule("translation-finite", "must", "every number of a translation is finite"),
    Rule(
        "scale-matches-shape",
        "must",
        "a level's scale is larger than level 0's by the factor by which its shape is smaller",
    ),
    Rule("shape-windows", "should", "a level has a sample for each window of level 0, trimmed or padded at the end"),
    Rule("translation-aligned", "must", "every level begins where level 0 begins, within one of its samples"),
    Rule("translation-centred", "should", "a level's samples lie at the centres of their windows"),
    # display settings
    Rule("omero-channels", "must", "'omero' has as many channels as the image"),
    Rule("omero-color", "must", "a color is six hexadecimal digits"),
    Rule("omero-window", "must", "a window has the numbers min, max, start and end"),
    Rule("omero-window-order", "should", "in a window, min <= start <= end <= max"),
    # labels
    Rule("label-opens", "must", "each path in 'labels' is a group that can be opened"),
    Rule("label-multiscales", "must", "a label image is a multiscale image"),
    Rule("label-listed", "should", "from 0.5 on, every label image is listed in 'labels'"),
    Rule("label-dtype", "must", "labels are integers"),
    Rule("label-method", "should", "the levels of a label image hold no labels but those of its first"),
    Rule("label-levels", "must", "a label image has as many levels as its image"),
    Rule("label-shape", "should", "each level of a label image has the shape of the image's, or 1 along an axis"),
    Rule("image-label", "should", "a label image has 'image-label', with its colors, and up to 0.5 its version"),
    Rule("label-lists", "must", "colors and properties of labels, where they are given, are not empty"),
    Rule("label-value", "must", "each color and each entry of 'properties' has an integer label-value"),
    Rule("label-value-unique", "must", "a label-value has one color"),
    Rule("label-rgba", "must", "rgba is four integers from 0 to 255"),
    Rule("label-source", "must", "the path of the source image is relative, and leads to an image"),
    # collections
    Rule("collection-layout", "must", "'bioformats2raw.layout' is 3"),
    Rule("collection-images", "must", "each image of a series, a plate or a well is there"),
    Rule("ome-xml", "must", "METADATA.ome.xml, if it is there, is OME-XML, without a definition of its type"),
    Rule("ome-xml-images", "should", "METADATA.ome.xml describes each image of the collection"),
    Rule("ome-xml-sizes", "should", "METADATA.ome.xml states the sizes and the dtype of each image as they are stored"),
    # plates
    Rule("plate-lists", "must", "a plate lists rows, columns and wells, a well its images"),
    Rule("plate-names", "must", "rows and columns have names of letters and digits, each its own"),
    Rule("plate-acquisitions", "must", "acquisitions have ids of their own; counts, ids and times are integers"),
    Rule("plate-described", "should", "a plate has a name, an acquisition a name and the number of its fields"),
    Rule("plate-field-count", "should", "no well has more fields than its plate states"),
    Rule("well-path", "must", "a well's path is two names of letters and digits"),
    Rule("well-indices", "must", "a well's indices are integers, and those of a row and a column of the plate"),
    Rule("well-place", "should", "a well's path has the names of its row and its column"),
    Rule("well-unique", "must", "a plate lists each well once, a well each image"),
    Rule("well-field-path", "must", "the path of a field is one name"),
    Rule("well-acquisition", "must", "a field names an acquisition of its plate, and has to if there are several"),
)

RULES = {rule.name: rule for rule in _ROWS}
"""Every rule, by its name."""
