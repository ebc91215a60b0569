"""The command ``msi-lazy demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

import msi_lazy as msi
from msi_lazy.cli.one_line_errors import one_line_errors
from msi_lazy.cli.terminal import echo
from msi_lazy.show.pictures.contact_sheet import draw_sheet

__all__ = ["demo"]


@click.command(short_help="Build, write and draw the pyramid of a real picture.")
@click.option("--out", default="demo.ome.zarr", show_default=True, type=click.Path(path_type=Path), help="The store.")
@click.option("--sheet", default="demo-levels.png", show_default=True, type=click.Path(path_type=Path), help="The PNG.")
def demo(out: Path, sheet: Path) -> None:
    """Build and write the pyramid of a real picture, and draw a contact sheet of its levels."""
    with one_line_errors():
        tree = msi.to_multiscale(_load_retina(), "auto")
        echo(str(msi.explain(tree)))
        try:
            msi.to_zarr(tree, out, mode="w" if _is_earlier_demo(out) else "w-", progress=True)
        except msi.StoreExistsError:
            raise click.ClickException(f"{out} exists already, not from the demo; give another --out") from None
        files = [path for path in out.rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in files)
        echo(f"\nwrote {out}: {len(files)} files, {size / 2**20:.1f} MiB")
        draw_sheet(msi.open_multiscale(out), sheet)
        echo(f"wrote {sheet}: every level, and one patch of it, as read back from the store")


def _load_retina() -> Any:
    """Photograph of a retina, from scikit-image.

    Raises
    ------
    click.ClickException
        The ``demo`` extra is not installed.
    """
    try:
        from skimage import data
    except ImportError:
        raise click.ClickException("the demo needs a picture from scikit-image: pip install 'msi-lazy[demo]'") from None
    load: Any = data.retina  # untyped
    return msi.to_spatial_image(load(), ("y", "x", "c"), name="retina", c_coords=["r", "g", "b"])


def _is_earlier_demo(out: Path) -> bool:
    try:
        return "retina" in msi.open_multiscale(out)["scale0"].data_vars
    except (ValueError, OSError):
        return False
