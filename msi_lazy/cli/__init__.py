"""The command line: ``msi-lazy convert``, ``info``, ``validate``, ``verify``, ``view`` and ``demo``."""

from __future__ import annotations

import re
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from msi_lazy.cli.one_line_errors import one_line_errors, telling_interrupts
from msi_lazy.cli.validate import validate
from msi_lazy.cli.verify import verify
from msi_lazy.cli.view import view
from msi_lazy.errors import StoreExistsError
from msi_lazy.ngff.specifications import DEFAULT_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import xarray as xr

__all__ = ["main"]

_FACTOR = re.compile(r"\d+|\w+=\d+(,\w+=\d+)*")
_FACTOR_LIKE = re.compile(r"-?\d[\d.]*|\w+=-?[\d.]*(,\w+=-?[\d.]*)*")
"""A word that can only be meant as a factor, right or wrong."""


class _FactorsCommand(click.Command):
    """A command whose ``--factors`` takes several values, as in ``--factors 2 2 4``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        joined: list[str] = []
        for word in args:
            before = joined[-1] if joined else ""
            if word == "--factors":
                joined.append("--factors=")
            elif before == "--factors=" and not word.startswith("--"):
                joined[-1] += word  # whatever it is: a wrong one is refused by name
            elif before.startswith("--factors=") and _FACTOR_LIKE.fullmatch(word):
                joined[-1] += f" {word}"
            else:
                joined.append(word)
        try:
            return super().parse_args(ctx, joined)
        except click.UsageError as error:
            if "unexpected extra argument" not in error.message:
                raise
            hint = "; a glob of planes is given in quotes: 'planes/*.tif'"  # the shell has opened it up
            raise click.UsageError(error.message + hint, ctx) from None


@click.group()
@click.version_option(package_name="msi-lazy")
def main() -> None:
    """Multiscale image pyramids, written as OME-Zarr in one computation."""


main.add_command(validate)
main.add_command(verify)
main.add_command(view)


@main.command(cls=_FactorsCommand, short_help="Convert an image to a pyramid.")
@click.argument("input")
@click.argument("output")
@click.option("--factors", help="One factor per level, separated by spaces: 2 2 4, or z=1,y=2,x=2 z=2,y=2,x=2.")
@click.option("--levels", help="'auto' (default: until the image fits one chunk), or how many beside the full one.")
@click.option("--method", default="mean", show_default=True, help="Downsampling method, such as mean, max or mode.")
@click.option("--chunks", help="Chunk shape on disk: 64, or z=32,y=64,x=64.")
@click.option("--boundary", default="trim", show_default=True, help="trim, pad or exact.")
@click.option("--scale", help="Pixel spacing, e.g. z=2,y=.5,x=.5; overrides what the input says.")
@click.option("--units", help="Unit of the spatial axes: micrometer, nm, um, ...")
@click.option("--dims", help="Names of the dimensions, e.g. zyx or t,c,y,x; overrides what the input says.")
@click.option("--version", default=DEFAULT_VERSION, show_default=True, help="OME-Zarr version: 0.5 or 0.4.")
@click.option("--shards", help="Shape of the shards, files of many chunks: auto, 256, or z=128,y=256,x=256 (0.5 only).")
@click.option("--scheduler", help="Address of a Dask scheduler, e.g. tcp://10.0.0.1:8786.")
@click.option("--memory-limit", help="Most memory a process may take for the write, e.g. 4GiB; checked beforehand.")
@click.option("--overwrite", is_flag=True, help="Overwrite an existing OUTPUT, if it is a Zarr hierarchy.")
@click.option("--resume", is_flag=True, help="Go on with an OUTPUT that the same command left unfinished.")
@click.option("--retries", type=int, default=0, show_default=True, help="How often a block that fails is tried again.")
@click.option("--plan-only", is_flag=True, help="Print the plan and stop; no pixel is read.")
@click.option("--measure", is_flag=True, help="Read and convert one block first, to project how long the write takes.")
def convert(input: str, output: str, **options: Any) -> None:
    """Convert INPUT to a pyramid at OUTPUT.

    INPUT is a zarr array, an OME-Zarr image, a .npy file, a TIFF or OME-TIFF, a quoted glob of planes, or any
    picture that imageio reads.
    """
    import msi_lazy as msi
    from msi_lazy.inputs.files import apply_geometry, identify_input, read_input

    with one_line_errors(), telling_interrupts():
        image = read_input(input, _parse_dims(options["dims"]))
        image = apply_geometry(image, _parse_numbers("--scale", options["scale"], float), options["units"])
        tree = msi.to_multiscale(
            image,
            _parse_factors(options["factors"], options["levels"]),
            method=options["method"],
            chunks=_parse_lengths("--chunks", options["chunks"]),
            boundary=options["boundary"],
        )
        click.echo(str(msi.explain(tree, measure=options["measure"])))
        if options["plan_only"]:
            return
        shards = options["shards"] if options["shards"] == "auto" else _parse_lengths("--shards", options["shards"])
        settings = {key: options[key] for key in ("version", "memory_limit", "resume", "retries")}
        settings |= {"shards": shards, "source_id": identify_input(input)}
        with _client(options["scheduler"]):
            _write(tree, input, output, options["overwrite"], settings)
    click.echo(f"\nwrote {output}")


@main.command(short_help="Print the levels of a stored image.")
@click.argument("store")
@click.option("--group", default="", help="Path of the image in the store, where it is one of several.")
def info(store: str, group: str) -> None:
    """Print the levels of the OME-Zarr image at STORE."""
    import msi_lazy as msi
    from msi_lazy.show.plan_table import levels_text

    with one_line_errors():
        tree = msi.open_multiscale(store, group=group)
        click.echo(levels_text(msi.explain(tree)))
        (image,) = tree["scale0"].data_vars.values()
        if "c" in image.coords:
            click.echo(f"\nchannels: {', '.join(map(str, image.c.values.ravel()))}")


@main.command(short_help="Build, write and draw the pyramid of a real picture.")
@click.option("--out", default="demo.ome.zarr", show_default=True, type=click.Path(path_type=Path), help="The store.")
@click.option("--sheet", default="demo-levels.png", show_default=True, type=click.Path(path_type=Path), help="The PNG.")
def demo(out: Path, sheet: Path) -> None:
    """Build and write the pyramid of a real picture, and draw a contact sheet of its levels."""
    from msi_lazy.cli.demo import run_demo

    with one_line_errors():
        run_demo(out, sheet)


def _write(tree: xr.DataTree, input: str, output: str, overwrite: bool, settings: Mapping[str, Any]) -> None:
    """Write the pyramid to a path or URL; a path is made absolute, as workers may run in another directory."""
    import msi_lazy as msi

    target = output if "://" in output else Path(output).absolute()
    if overwrite and Path(target).resolve() in Path(input).resolve().parents:
        raise ValueError(f"{input} lies inside {output}, and overwriting that would delete it; give another OUTPUT")
    try:
        mode: Literal["w-", "w"] = "w" if overwrite else "w-"
        progress = sys.stdout.isatty()
        msi.to_zarr(tree, target, mode=mode, progress=progress, **settings)
    except StoreExistsError as error:
        advice = "--resume to go on with it, or --overwrite" if "unfinished image;" in str(error) else "--overwrite"
        state = "exists already, and is not unfinished" if settings["resume"] else "exists already"
        raise ValueError(f"{output} {state}; give {advice} to replace it, or another OUTPUT") from None


@contextmanager
def _client(address: str | None) -> Iterator[None]:
    """Compute on a Dask scheduler within, or on local threads where no address is given."""
    if address is None:
        yield
        return
    import distributed
    from distributed.comm.addressing import resolve_address

    resolve: Any = resolve_address  # untyped, both
    connect: Any = distributed.Client
    try:
        resolve(address)  # a client of a faulty address would hang when the process ends
        client = connect(address, timeout=10, set_as_default=False)  # a default one would stay it, connected or not
    except (ValueError, OSError) as error:
        raise ValueError(f"there is no Dask scheduler at {address!r}: {error}") from error
    with client, client.as_current():
        yield


def _parse_dims(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(part.strip() for part in (text.split(",") if "," in text else text))


def _parse_numbers(option: str, text: str | None, kind: Any) -> dict[str, Any]:
    """Parse ``z=2,y=.5`` into a dict."""
    numbers = {}
    for part in (text or "").split(",") if text else ():
        dim, equals, value = part.partition("=")
        try:
            numbers[dim.strip()] = kind(value)
        except ValueError:
            equals = ""
        if not equals:
            raise ValueError(f"{option} is written like z=2,y=1,x=1, not {text!r}")
    return numbers


def _parse_factors(factors: str | None, levels: str | None) -> Any:
    """Scale factors from ``--factors`` or ``--levels``."""
    if factors is not None and levels is not None:
        raise ValueError("give --factors or --levels, not both")
    if factors is None:
        if levels is None or levels == "auto":
            return "auto"
        if not levels.isdigit():
            raise ValueError(f"--levels is 'auto' or a number of halvings, not {levels!r}")
        return [2] * int(levels)
    words = factors.split()
    if not words or not all(map(_FACTOR.fullmatch, words)):
        raise ValueError(f"--factors is written like 2 2 4, or z=1,y=2,x=2 z=2,y=2,x=2, not {factors!r}")
    return [int(word) if word.isdigit() else _parse_numbers("--factors", word, int) for word in words]


def _parse_lengths(option: str, text: str | None) -> int | Mapping[str, int] | None:
    """Parse ``64``, or ``z=32,y=64,x=64``."""
    if text is None:
        return None
    return int(text) if text.isdigit() else _parse_numbers(option, text, int)
