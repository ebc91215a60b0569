"""The command ``msi-lazy convert``."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
import dask

import msi_lazy as msi
from msi_lazy.cli.dask_client import dask_client
from msi_lazy.cli.one_line_errors import name_options, one_line_errors, report_interrupts
from msi_lazy.cli.option_values import (
    FactorsCommand,
    parse_dims,
    parse_factors,
    parse_lengths,
    parse_nodata,
    parse_numbers,
    parse_units,
)
from msi_lazy.cli.terminal import echo
from msi_lazy.inputs.files import apply_geometry, identify_input, read_input
from msi_lazy.ngff.level_paths import DEFAULT_PATHS, LevelPaths
from msi_lazy.ngff.specifications import DEFAULT_VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    import xarray as xr

__all__ = ["convert"]


@click.command(cls=FactorsCommand, short_help="Convert an image to a pyramid.")
@click.argument("input")
@click.argument("output")
@click.option("--factors", help="One factor per level, separated by spaces: 2 2 4, or z=1,y=2,x=2 z=2,y=2,x=2.")
@click.option("--levels", help="'auto' (default: halve until the image fits one chunk), or how many besides level 0.")
@click.option("--method", default="mean", show_default=True, help="Downsampling method, such as mean, max or mode.")
@click.option("--chunks", help="Chunk shape on disk: 64, or z=32,y=64,x=64.")
@click.option("--block-bytes", default="64 MiB", show_default=True, help="Most bytes of level 0 that a thread holds.")
@click.option("--boundary", default="trim", show_default=True, help="trim, pad or exact.")
@click.option("--nodata", default="auto", show_default=True, help="Value without data: a number, none, or auto.")
@click.option("--scale", help="Pixel spacing, e.g. z=2,y=.5,x=.5; overrides that of the input.")
@click.option("--units", help="Unit of the spatial axes: micrometer, um, ..., or none; or by dimension: z=um,y=none.")
@click.option("--dims", help="Names of the dimensions, e.g. zyx or t,c,y,x; overrides those of the input.")
@click.option("--version", default=DEFAULT_VERSION, show_default=True, help="OME-Zarr version: 0.4, 0.5 or 0.6.")
@click.option(
    "--paths",
    type=click.Choice(get_args(LevelPaths)),
    default=DEFAULT_PATHS,
    show_default=True,
    help="Paths of levels: scale0 (scale0/image, ..., in groups that xarray opens), 0 (0, 1, ...) or s0 (s0, s1, ...).",
)
@click.option("--shards", help="Shape of the shards, files of many chunks: auto, 256, or z=128,y=256,x=256 (0.5 only).")
@click.option(
    "--compressor",
    type=click.Choice(["auto", "fast", "none"]),
    default="auto",
    show_default=True,
    help="Codec: zstd, lz4 (faster, and larger), or none.",
)
@click.option("--group", default="", help="Path of the image in INPUT, if that is a Zarr store of several.")
@click.option("--scheduler", help="Address of a Dask scheduler, e.g. tcp://10.0.0.1:8786.")
@click.option("--threads", type=click.IntRange(1), help="Number of threads, without --scheduler; default all cores.")
@click.option("--memory-limit", help="Memory limit of a process for the write, e.g. 4GiB; checked beforehand.")
@click.option("--spill", help="Directory for the source's chunks during the write, where memory cannot hold them.")
@click.option("--no-spill", is_flag=True, help="Hold the source's chunks in memory nevertheless.")
@click.option("--overwrite", is_flag=True, help="Overwrite an existing OUTPUT, if it is a Zarr hierarchy.")
@click.option("--delete-labels", is_flag=True, help="Let --overwrite delete labels of the existing OUTPUT.")
@click.option("--in-place", is_flag=True, help="Let --overwrite delete OUTPUT first, where both have no room.")
@click.option("--durable/--no-durable", default=True, show_default=True, help="Wait until OUTPUT is on disk.")
@click.option("--resume", is_flag=True, help="Resume an OUTPUT that the same command left incomplete.")
@click.option("--retries", type=int, default=0, show_default=True, help="Number of retries of a block that fails.")
@click.option("--plan-only", is_flag=True, help="Print the plan and stop; no pixel is read.")
@click.option("--measure", is_flag=True, help="Read and convert one block first, to project the time of the write.")
def convert(input: str, output: str, **options: Any) -> None:
    """Convert INPUT to a pyramid at OUTPUT.

    INPUT is a Zarr array, an OME-Zarr image, a .npy file, a TIFF or OME-TIFF, a quoted glob of planes, or any
    picture that imageio reads.
    """
    with one_line_errors(input), report_interrupts():
        if options["threads"] and options["scheduler"]:
            raise ValueError("give --threads or --scheduler, not both: the workers have threads of their own")
        if options["spill"] and options["no_spill"]:
            raise ValueError("give --spill or --no-spill, not both")
        image = read_input(input, parse_dims(options["dims"]), options["group"])
        image = apply_geometry(image, parse_numbers("--scale", options["scale"], float), parse_units(options["units"]))
        threads = {"num_workers": options["threads"]} if options["threads"] else {}
        with dask.config.set(threads), dask_client(None if options["plan_only"] else options["scheduler"]):
            tree = msi.to_multiscale(
                image,
                parse_factors(options["factors"], options["levels"]),
                method=options["method"],
                chunks=parse_lengths("--chunks", options["chunks"]),
                boundary=options["boundary"],
                nodata=parse_nodata(options["nodata"]),
                block_bytes=options["block_bytes"],
            )
            echo(name_options(str(msi.explain(tree, measure=options["measure"]))))
            if options["plan_only"]:
                return
            _write(tree, input, output, options)
    echo(f"\nwrote {output}")


def _write(tree: xr.DataTree, input: str, output: str, options: Mapping[str, Any]) -> None:
    """Write the pyramid to a path or URL; a path is made absolute, as workers may run in another directory."""
    shards = options["shards"] if options["shards"] == "auto" else parse_lengths("--shards", options["shards"])
    settings = {
        key: options[key]
        for key in ("version", "memory_limit", "resume", "retries", "delete_labels", "durable", "paths")
    }
    settings |= {"shards": shards, "source_id": identify_input(input), "progress": sys.stdout.isatty()}
    settings["compressors"] = None if options["compressor"] == "none" else options["compressor"]
    settings["spill"] = False if options["no_spill"] else options["spill"]
    settings["replace"] = "in place" if options["in_place"] else "beside"
    target = output if "://" in output else Path(output).absolute()
    if options["overwrite"] and Path(target).resolve() in Path(input).resolve().parents:
        raise ValueError(f"{input} lies inside {output}, and overwriting that would delete it; give another OUTPUT")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"the write would hold up to")  # the plan has said so
            msi.to_zarr(tree, target, mode="w" if options["overwrite"] else "w-", **settings)
    except msi.StoreExistsError as error:
        if options["overwrite"] or isinstance(error, msi.TargetInUseError):
            raise
        advice = "--resume to resume it, or --overwrite" if "incomplete image;" in str(error) else "--overwrite"
        state = "exists already, and holds no incomplete image" if settings["resume"] else "exists already"
        raise ValueError(f"{output} {state}; give {advice} to replace it, or another OUTPUT") from None
