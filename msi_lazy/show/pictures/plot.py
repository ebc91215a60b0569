"""Levels of a tree side by side, drawn by matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from msi_lazy.arguments.numbers import is_integer
from msi_lazy.show.pictures.display_settings import read_display_settings
from msi_lazy.show.pictures.planes import Frame, compute_planes
from msi_lazy.tree.read_plan import level_images, read_plan

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

    from msi_lazy.plan.pyramid import LevelPlan, PyramidPlan
    from msi_lazy.show.pictures.planes import Plane

__all__ = ["plot_levels"]

_COLUMNS = 4
"""Panels side by side, at most."""
_PANEL = (3.4, 3.9)
"""Width and height of a panel of a new figure, in inches."""


def plot_levels(
    tree: xr.DataTree, axes: Any = None, *, levels: Sequence[str | int] | None = None
) -> np.ndarray[Any, Any]:
    """Draw the levels side by side, at the same physical extent, with matplotlib (extra ``plot``).

    The colours are those of :meth:`thumbnail`, the same in all panels; samples are drawn as squares, ``y`` runs
    downwards.  A level with more samples than its panel has pixels is drawn from the coarsest level that has enough,
    and the title says so: little is read of a stored image, however large.

    Parameters
    ----------
    tree
        A pyramid.
    axes
        Axes to draw in, one for each level, as ``plt.subplots`` gives them.  Default: those of a new figure.
    levels
        Names or numbers of the levels to draw, such as ``["scale0", "scale3"]``.  Default: all.

    Returns
    -------
    numpy.ndarray
        The axes, 1D, one for each level.

    Raises
    ------
    ImportError
        The extra ``plot`` is not installed.
    TypeError, ValueError
        Unknown levels, or not one of the axes for each; else as :meth:`thumbnail`.

    Notes
    -----
    The coarse levels of a pyramid that is not stored are computed from its source, which is read as a whole: open an
    image that does not fit memory from a store.  The samples are chosen for the figure's current size: zooming in
    shows no more of them.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from msi_lazy import to_multiscale, to_spatial_image
    >>> tree = to_multiscale(to_spatial_image(np.zeros((32, 48), np.uint8), scale={"y": 0.5, "x": 0.5}), [2])
    >>> axes = tree.pyramid.plot(Figure().subplots(1, 2))
    >>> print(axes[1].get_title())
    scale1
    16 x 24, spacing 1 x 1
    """
    plan, images = read_plan(tree), level_images(tree)
    frame, display = Frame(plan), read_display_settings(tree, images[0], plan)
    shown = [plan.levels[number] for number in _parse_levels(levels, len(plan.levels))]
    size = frame.size(plan.levels[0])
    panels = _create_panels(len(shown)) if axes is None else _parse_axes(axes, len(shown))
    try:
        planes: dict[tuple[int, tuple[int, int]], Plane] = {}
        drawn = []
        for level, panel in zip(shown, panels, strict=True):
            pixel = _pixel(panel, size)
            source = plan.levels[frame.choose_level(pixel, level.number)]
            plane = frame.plane(images[source.number], source, display, pixel)
            planes.setdefault((source.number, plane.steps), plane)
            drawn.append((source, plane.steps))
        samples = dict(zip(planes, compute_planes(list(planes.values())), strict=True))
        ranges = display.measured(samples[min(samples)])  # of the finest level: one range for all panels
        pictures = {key: display.paint(value, ranges) for key, value in samples.items()}
    except BaseException:
        if axes is None:
            _close(panels)
        raise
    for level, panel, (source, steps) in zip(shown, panels, drawn, strict=True):
        _draw(panel, frame, pictures[source.number, steps], source, steps)
        panel.set_title("\n".join(_title(plan, frame, level, source, steps)), fontsize="small")
    return panels


def _draw(panel: Axes, frame: Frame, picture: np.ndarray[Any, Any], source: LevelPlan, steps: tuple[int, int]) -> None:
    """Show ``picture``, of the level ``source``, at its position in a panel for all of level 0, ``y`` downwards."""
    (top, _), (left, _) = frame.extent(source)
    tall, wide = (
        count * step * source.scale[dim] for count, step, dim in zip(picture.shape[:2], steps, frame.sides, strict=True)
    )
    extent = (left, left + wide, top + tall, top)
    aspect = frame.units[0] / frame.units[1]  # each side has its own unit
    panel.imshow(picture, extent=extent, origin="upper", interpolation="nearest", aspect=aspect)
    (top, bottom), (left, right) = frame.extent(frame.plan.levels[0])
    panel.set_xlim(left, right)
    panel.set_ylim(bottom, top)
    down, across = (frame.plan.axes[dim] for dim in frame.sides)
    panel.set_ylabel(f"{down.name} [{down.unit}]" if down.unit else down.name)
    panel.set_xlabel(f"{across.name} [{across.unit}]" if across.unit else across.name)


def _title(plan: PyramidPlan, frame: Frame, level: LevelPlan, source: LevelPlan, steps: tuple[int, int]) -> list[str]:
    """Lines of a panel's title: the level, its samples, and the plane."""
    title = level.name if source is level else f"{level.name}, drawn from {source.name}"
    if max(steps) > 1:
        title += f", in windows of {steps[0]} x {steps[1]}"
    spatial = [number for number, axis in enumerate(plan.axes) if axis.is_spatial]
    shape = " x ".join(map(str, level.shape))
    lines = [title, f"{shape}, spacing {' x '.join(f'{level.scale[dim]:g}' for dim in spatial)}"]
    middles = frame.middles(source)
    places = [
        f"{plan.dims[dim]} = {source.translation[dim] + middles[plan.dims[dim]] * source.scale[dim]:g}"
        for dim in spatial
        if plan.dims[dim] in middles
    ]
    return [*lines, ", ".join(places)] if places else lines


def _pixel(panel: Axes, size: tuple[float, float]) -> float:
    """Physical length of a pixel when ``size``, down and across, fits the panel."""
    box = panel.get_window_extent()
    return float(max(size[0] / max(box.height, 1), size[1] / max(box.width, 1)))


def _parse_levels(levels: Any, count: int) -> list[int]:
    names = {f"scale{number}": number for number in range(count)}
    if levels is None:
        return list(names.values())
    form = f"levels is a sequence of names or numbers of levels, 'scale0' to 'scale{count - 1}'"
    if isinstance(levels, str) or not isinstance(levels, (Sequence, np.ndarray)):
        raise TypeError(f"{form}, not {levels!r}")
    found = []
    for level in levels:
        if not isinstance(level, str) and not is_integer(level):
            raise TypeError(f"{form}; {level!r} is neither")
        number = names.get(level) if isinstance(level, str) else int(level)
        if number is None or not 0 <= number < count:
            raise ValueError(f"{form}; there is no level {level!r}")
        found.append(number)
    if not found:
        raise ValueError(f"{form}, and none is given: leave it out for all of them")
    return found


def _parse_axes(axes: Any, count: int) -> np.ndarray[Any, Any]:
    """Check that ``axes`` has one for each of ``count`` levels, and flatten it."""
    _import_matplotlib()
    from matplotlib.axes import Axes

    single = isinstance(axes, Axes)
    panels = np.array([axes] if single else axes, dtype=object).ravel() if _is_sequence(axes) or single else None
    if panels is None or not all(isinstance(panel, Axes) for panel in panels):
        raise TypeError(f"axes are matplotlib's Axes, as plt.subplots gives them, one for each level, not {axes!r}")
    if len(panels) != count:
        raise ValueError(
            f"{count} levels are drawn, each in Axes of its own, and {len(panels)} are given; give {count}, or choose "
            f"with levels=['scale0', ...]"
        )
    return panels


def _is_sequence(axes: Any) -> bool:
    return isinstance(axes, (Sequence, np.ndarray)) and not isinstance(axes, (str, bytes))


def _create_panels(count: int) -> np.ndarray[Any, Any]:
    """Create panels in a new figure of pyplot's, which notebooks show."""
    _import_matplotlib()
    import matplotlib.pyplot as plt

    columns = min(count, _COLUMNS)
    rows = -(-count // columns)
    size = (_PANEL[0] * columns, _PANEL[1] * rows)
    _, grid = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for empty in grid.ravel()[count:]:
        empty.remove()
    panels: np.ndarray[Any, Any] = grid.ravel()[:count]
    return panels


def _close(panels: np.ndarray[Any, Any]) -> None:
    import matplotlib.pyplot as plt

    plt.close(panels[0].figure)


def _import_matplotlib() -> None:
    """Check that matplotlib is installed.

    Raises
    ------
    ImportError
        It is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ImportError(
            "plots are drawn by matplotlib, which is not installed: pip install 'msi-lazy[plot]'"
        ) from None
