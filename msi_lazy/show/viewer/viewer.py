"""Images in Neuroglancer."""

from __future__ import annotations

import importlib.util
import threading
import warnings
import webbrowser
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.storage import LocalStore, MemoryStore

from msi_lazy.api.write import to_zarr
from msi_lazy.arguments.choices import check_switches
from msi_lazy.arguments.numbers import parse_integer
from msi_lazy.ngff.label_attributes import holds_labels, label_colors
from msi_lazy.ngff.specifications import specification_of
from msi_lazy.show.viewer.contents import Contents
from msi_lazy.show.viewer.older_form import older_documents
from msi_lazy.show.viewer.scene import MOST_LAYERS, LabelLayer, Scene, check_showable, client_unit
from msi_lazy.show.viewer.stored_display import stored_display
from msi_lazy.storage.open_image import open_image
from msi_lazy.storage.place import Place
from msi_lazy.storage.stored_plate import first_field
from msi_lazy.storage.target import Target, image_block, label_paths
from msi_lazy.tree.read_plan import read_plan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    import xarray as xr
    import zarr

    from msi_lazy.ngff.channel_display import ChannelDisplay
    from msi_lazy.ngff.stored_image import StoredImage
    from msi_lazy.show.viewer.server import ViewerServer

__all__ = ["Viewer", "view", "view_tree"]

_MOST_IN_MEMORY = 256 * 2**20
"""Most bytes of a tree that is written to memory to be viewed."""


class Viewer:
    """An image that is served to a browser, until it is closed or Python ends.

    Also a context manager, which closes it.
    """

    def __init__(self, server: ViewerServer, state: Mapping[str, Any], store_url: str, what: str) -> None:
        self._server = server
        self._url = server.page_url(state)
        self._what = what
        self.state = dict(state)
        """Initial state of Neuroglancer, which the page loads from this server."""
        self.store_url = store_url
        """URL of the image, for any reader of OME-Zarr on this machine."""

    @property
    def url(self) -> str:
        """URL of the page; whoever knows it can read the image while it is served."""
        return self._url

    def close(self) -> None:
        """Stop serving; the page keeps the data that it has loaded.  A second call does nothing."""
        self._server.close()

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Viewer of {self._what}: {self.url}"

    def _repr_html_(self) -> str:
        link = f'<a href="{escape(self.url)}" target="_blank" rel="noopener">Open in Neuroglancer</a>'
        return f"{link}: {escape(self._what)}"


def view(
    store: Any,
    *,
    storage_options: Mapping[str, Any] | None = None,
    group: str = "",
    port: int = 0,
    open_browser: bool = True,
) -> Viewer:
    """Show a stored image in Neuroglancer, at the level that each zoom needs; return at once.

    The store is served on this machine alone, at a URL with a random token, and so is Neuroglancer: nothing is fetched
    from elsewhere.  Channels have their ``omero`` colours and windows, label images lie over the image.

    Parameters
    ----------
    store
        Path, URL, or a zarr store or group of the image, as for :func:`msi_lazy.open_multiscale`.
    storage_options
        Options of the file system behind a URL.
    group
        Path of the image in the store: one of several, or a label image, ``"labels/cells"``; or a field of a plate,
        ``"A/1/0"``, of which the first is shown by default.
    port
        Port of this machine to serve on; 0 takes a free one.
    open_browser
        Open the page in the browser; else use ``viewer.url``.

    Returns
    -------
    Viewer
        ``viewer.url`` is the page, ``viewer.close()`` stops serving.

    Raises
    ------
    FileNotFoundError
        There is no image.
    ImportError
        The extra ``view`` is not installed.
    OSError
        The port is in use.
    TypeError, ValueError
        An argument that cannot be used, or an image that Neuroglancer cannot show: samples of 64-bit floats, say.

    Notes
    -----
    The coarsest level is read, if it is small and the image has no display range; of the rest, only what the browser
    requests.  A link in a directory that leads out of it is not followed.  Of more than 16 channels 16 get a layer, the
    active ones first, with a warning.

    Other users of this machine cannot guess the URL, but may see it among the arguments of the browser that is started;
    where that matters, open ``viewer.url`` yourself.

    Examples
    --------
    >>> import numpy as np
    >>> import zarr
    >>> from msi_lazy import to_multiscale, to_spatial_image
    >>> store = zarr.storage.MemoryStore()
    >>> tree = to_multiscale(to_spatial_image(np.zeros((64, 64), np.uint8)), [2])
    >>> tree.pyramid.to_zarr(store)
    >>> with view(store, open_browser=False) as viewer:
    ...     viewer.url.startswith("http://127.0.0.1:")
    True
    """
    check_switches(open_browser=open_browser)
    place, port = first_field(Place.parse(store, group, storage_options)), _parse_port(port)
    found = open_image(place)
    images, image = found.images, found.stored
    opened = place.open_group()
    specification_of(found.attributes).check_written("Neuroglancer cannot show it: ")
    check_showable(images[0].dtype)
    for unit, dim in zip(image.units, image.dims, strict=True):
        client_unit(unit, dim)
    block = image_block(opened)
    count = images[0].shape[image.kinds.index("channel")] if "channel" in image.kinds else 1
    is_labels = holds_labels(block, images[0].dtype, image.method, count)
    display = () if is_labels else stored_display(opened, image, block)
    instead = older_documents(opened, label_paths(Target.of(opened)))
    server = _serve(Contents(opened.store, instead), _client(), port)
    try:
        source = _source(server, opened.path, opened)
        layers = _label_layers(opened, server, image)
        if is_labels:
            layers = [LabelLayer(image.name or "labels", source, label_colors(block)), *layers]
        scene = Scene(image, images[0].shape, source, _shown_channels(display), layers)
    except BaseException:
        server.close()
        raise
    viewer = Viewer(server, scene.state(), server.store_url(opened.path), str(opened.store_path))
    return _show(viewer, open_browser)


def view_tree(tree: xr.DataTree, *, port: int = 0, open_browser: bool = True) -> Viewer:
    """Show a tree in Neuroglancer, with its edits; return once it is written to memory.

    To show a stored image of any size, and read only what is on the screen, use :func:`msi_lazy.view`.

    Parameters
    ----------
    tree
        A pyramid of at most 256 MiB, all levels together.  It is computed and written to memory, never to disk.
    port, open_browser
        As for :func:`msi_lazy.view`.

    Returns
    -------
    Viewer
        It holds the written pyramid until it is closed and deleted.

    Raises
    ------
    ValueError
        The pyramid is larger: write it with ``pyramid.to_zarr``; or it is no pyramid; else as :func:`msi_lazy.view`.
    """
    check_switches(open_browser=open_browser)
    port, plan = _parse_port(port), read_plan(tree)
    check_showable(plan.dtype)
    _client()  # before anything is computed
    if plan.bytes_written > _MOST_IN_MEMORY:
        raise ValueError(
            f"the pyramid has {plan.bytes_written / 2**20:,.0f} MiB, and a tree is viewed from memory, up to "
            f"{_MOST_IN_MEMORY // 2**20} MiB; write it with pyramid.to_zarr(store), and view it with "
            f"msi_lazy.view(store)"
        )
    store = MemoryStore()
    to_zarr(tree, store)
    viewer = view(store, port=port, open_browser=open_browser)
    viewer._what = f"{plan.name!r}, {plan.bytes_written / 2**20:,.1f} MiB written to memory"
    return viewer


def _shown_channels(display: Sequence[ChannelDisplay]) -> dict[int, ChannelDisplay]:
    """Channels that get a layer, by number."""
    first = sorted(range(len(display)), key=lambda number: not display[number].visible)
    if len(display) > MOST_LAYERS:
        warnings.warn(
            f"the image has {len(display)} channels, and {MOST_LAYERS} are shown: those active in its omero "
            f"attributes, then the first ones; view a part of it, or set 'active' there",
            stacklevel=3,
        )
    return {number: display[number] for number in sorted(first[:MOST_LAYERS])}


def _show(viewer: Viewer, open_browser: bool) -> Viewer:
    """Open the page in a thread: a browser in the terminal would hold up the program that called us."""
    if open_browser:
        threading.Thread(target=webbrowser.open, args=(viewer.url,), daemon=True).start()
    return viewer


def _parse_port(port: Any) -> int:
    allowed = "from 0, which takes a free one, to 65535"
    return parse_integer(port, "port must be", kind=f"an integer {allowed}", least=0, most=65535, bounds=allowed)


def _client() -> Contents:
    """Find the files of Neuroglancer in its package, without importing it.

    Raises
    ------
    ImportError
        It is not installed, or lacks them.
    """
    found = importlib.util.find_spec("neuroglancer")
    for folder in (found.submodule_search_locations or ()) if found else ():
        client = Path(folder, "static", "client")
        if (client / "index.html").is_file():
            return Contents(LocalStore(client, read_only=True))
    raise ImportError("the viewer is Neuroglancer, which is not installed: pip install 'msi-lazy[view]'")


def _serve(contents: Contents, client: Contents, port: int) -> ViewerServer:
    """Start a server; tornado is imported only here."""
    from msi_lazy.show.viewer.server import ViewerServer

    return ViewerServer(contents, client, port)


def _source(server: ViewerServer, path: str, group: zarr.Group) -> str:
    """Neuroglancer's URL of an image, which ends with the format."""
    return f"{server.store_url(path)}|zarr{group.metadata.zarr_format}:"


def _label_layers(group: zarr.Group, server: ViewerServer, image: StoredImage) -> list[LabelLayer]:
    """Open the label images below the image; one that cannot be shown is left out, with a warning."""
    target, layers = Target.of(group), []
    for path in label_paths(target):
        try:
            labels = open_image(target.child(path))
            check_showable(labels.images[0].dtype)
            _check_units(labels.stored, image)
            below: Any = group[path]
        except (FileNotFoundError, KeyError, ValueError) as error:
            warnings.warn(f"label image {path!r} is not shown: {error}", stacklevel=3)
            continue
        source = _source(server, target.below(path), below)
        layers.append(LabelLayer(path.removeprefix("labels/"), source, label_colors(image_block(below))))
    return layers


def _check_units(labels: StoredImage, image: StoredImage) -> None:
    """Refuse labels in other units than the image's: Neuroglancer takes a length without a unit for metres.

    Raises
    ------
    ValueError
        A dimension of both has a unit in one of them only, or a length in one and something else in the other.
    """
    units = dict(zip(image.dims, image.units, strict=True))
    for dim, unit in zip(labels.dims, labels.units, strict=True):
        if dim in units and client_unit(unit, dim)[1] != client_unit(units[dim], dim)[1]:
            raise ValueError(
                f"it has the unit {unit!r} along {dim!r}, and the image {units[dim]!r}, so that it cannot be placed; "
                f"write it with the image's axis_units"
            )
