"""Images inside, or above, a group that is none itself: for the message to whoever gave that group."""

from __future__ import annotations

import re
from collections import deque
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.storage import LocalStore

from msi_lazy.compat.zarr_stores import list_names
from msi_lazy.ngff.parse_attributes import parse_image
from msi_lazy.ngff.specifications import holds_image, ome_block
from msi_lazy.storage.place import Place
from msi_lazy.storage.target import quietly

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from msi_lazy.ngff.specification import Block

__all__ = ["describe_inside", "describe_level"]

_MOST_LISTED = 10
"""Most images that a message lists."""
_MOST_OPENED = 50
"""Most groups that are opened to find them: a plate may have thousands."""
_MOST_DEPTH = 3
"""Most steps down, and up."""


@dataclass(frozen=True)
class _Inside:
    """What a group is, and the images in it."""

    what: str
    """What it is, for messages."""
    paths: list[str]
    """Paths of some images, below the group."""
    more: str = ""
    """What there is besides; empty if that is all."""
    base: Place | None = None
    """Group that the paths are below, if it is another one."""
    whole: str = ""
    """How all of it is opened, if it can be."""


def describe_inside(place: Place) -> str:
    """Say what a group without an image is, and what to give instead; empty if nothing is found.

    Few groups are opened, however many there are.
    """
    with suppress(Exception):  # the caller has the error to raise, whatever else is broken here
        return describe_level(place) or _advice(place, _look_inside(place))
    return ""


def describe_level(place: Place) -> str:
    """Say of which image an array, or the group around one, is a level; empty if of none."""
    with suppress(Exception):
        for above, path in _above(place):
            attributes = _attributes(above)
            if attributes is None or not holds_image(attributes):
                continue
            paths = [level.path for level in parse_image(attributes).levels]
            numbers = [number for number, listed in enumerate(paths) if f"{listed}/".startswith(f"{path}/")]
            if numbers:
                where = f"group={above.group!r}" if above.given == place.given and above.group else above.given
                return f"; it is level {numbers[0]} of an image: give that, {where}"
    return ""


def _advice(place: Place, inside: _Inside | None) -> str:
    """List the images in a group as users can give them."""
    if inside is None:
        return ""
    if not inside.paths:
        return f"; it is {inside.what}, without an image in it"
    base = inside.base or place
    groups = [f"group={'/'.join(filter(None, (base.group, path)))!r}" for path in inside.paths]
    there = "" if base.given == place.given else f" of {base.given}"
    return f"; it is {inside.what}: {inside.whole}give an image, {', '.join(groups)}{inside.more}{there}"


def _look_inside(place: Place) -> _Inside | None:
    """Find out what a group is by its metadata, else by the groups below it."""
    attributes = _attributes(place)
    block = ome_block(attributes or {})
    if isinstance(block.get("plate"), dict):
        return _look_into_plate(place, block["plate"])
    if isinstance(block.get("well"), dict):
        return _limited("a well", _listed_paths(block["well"], "images"))
    if isinstance(block.get("labels"), list):
        return _limited("a list of labels", [name for name in block["labels"] if isinstance(name, str)])
    if isinstance(block.get("scene"), dict):
        return _limited("a scene", _scene_paths(block["scene"]))
    listed = _series(block)
    if listed:
        return _limited("the list of images of a collection", listed, next(_above(place))[0])
    series = _series(ome_block(_attributes(place.child("OME")) or {}))
    return _limited(f"a collection of {len(series)} images", series) if series else _look_below(place)


def _look_into_plate(place: Place, plate: Any) -> _Inside:
    """List images of the first wells."""
    wells = _listed_paths(plate, "wells")
    found: list[str] = []
    looked = 0
    while looked < min(len(wells), _MOST_LISTED) and len(found) < _MOST_LISTED:
        well = wells[looked]
        block = ome_block(_attributes(place.child(well)) or {})
        fields = _listed_paths(block["well"], "images") if isinstance(block.get("well"), dict) else []
        found += [f"{well}/{field}" for field in fields]
        looked += 1
    others = len(wells) - looked
    more = [f"{len(found) - _MOST_LISTED} more there"] if len(found) > _MOST_LISTED else []
    more += [f"those of {others} more wells"] if others else []
    return _Inside(
        f"a plate of {len(wells)} wells",
        found[:_MOST_LISTED],
        "".join(f", and {text}" for text in more),
        None,
        "open it with open_plate, or ",
    )


def _limited(what: str, paths: Sequence[str], base: Place | None = None) -> _Inside:
    others = len(paths) - _MOST_LISTED
    return _Inside(what, list(paths[:_MOST_LISTED]), f", and {others} more" if others > 0 else "", base)


def _listed_paths(members: Any, name: str) -> list[str]:
    """Paths of the objects in a list, as far as they have one."""
    listed = members.get(name)
    paths = [one.get("path") for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    return [path.strip("/") for path in paths if isinstance(path, str)]


def _scene_paths(scene: Any) -> list[str]:
    """Paths of the images that the transformations of a scene relate."""
    listed = scene.get("coordinateTransformations")
    transforms = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
    ends = [one.get(end) for one in transforms for end in ("input", "output")]
    paths = [end.get("path") for end in ends if isinstance(end, dict)]
    return list(dict.fromkeys(path.strip("/") for path in paths if isinstance(path, str) and path.strip("/")))


def _series(block: Block) -> list[str]:
    """Paths of the images that a collection lists, as bioformats2raw does, in its group ``OME``."""
    listed = block.get("series")
    return [path for path in listed if isinstance(path, str)] if isinstance(listed, list) else []


def _look_below(place: Place) -> _Inside | None:
    """Find images below a group that says nothing of them, nearest first."""
    found = list(islice(_images_below(place), _MOST_LISTED + 1))
    more = ", and more" if len(found) > _MOST_LISTED else ""
    return _Inside("a group of images", found[:_MOST_LISTED], more) if found else None


def _images_below(place: Place) -> Iterator[str]:
    """Paths of the images below a group, as far as the groups opened show."""
    waiting, opened = deque([""]), 0
    while waiting:
        parent = waiting.popleft()
        for name in _natural(list_names(place.store, place.below(parent))):
            path = f"{parent}/{name}".strip("/")
            opened += 1
            if opened > _MOST_OPENED:
                return
            attributes = None if name.startswith(".") else _attributes(place.child(path))
            if attributes is None:
                continue
            if holds_image(attributes):
                yield path
            elif path.count("/") < _MOST_DEPTH - 1:
                waiting.append(path)


def _natural(names: Sequence[str]) -> list[str]:
    """Sort names with numbers in them as people do: 2 before 10."""
    return sorted(names, key=lambda name: [part.zfill(20) for part in re.findall(r"\d+|\D+", name)])


def _attributes(place: Place) -> dict[str, Any] | None:
    """Attributes of a group; ``None`` if there is none that can be read."""
    with suppress(Exception), quietly():
        found: dict[str, Any] = place.open_group().attrs.asdict()
        return found
    return None


def _above(place: Place) -> Iterator[tuple[Place, str]]:
    """Places of the groups above, from the nearest on, and the path from there; of local files, above the store too."""
    parts = place.path.split("/") if place.path else []
    for count in range(1, min(len(parts), _MOST_DEPTH) + 1):
        group, path = "/".join(parts[:-count]), "/".join(parts[-count:])
        if not place.base or f"{group}/".startswith(f"{place.base}/"):
            yield Place(place.store, group, place.given, place.base), path
        else:
            yield Place(place.store, group, f"{place.store}/{group}".rstrip("/"), group), path
    if isinstance(place.store, LocalStore):
        root = Path(place.store.root).absolute()
        for count in range(1, _MOST_DEPTH - len(parts) + 1):
            folder = root.parents[count - 1]
            path = "/".join((*root.parts[len(root.parts) - count :], *parts))
            yield Place.parse(folder), path
