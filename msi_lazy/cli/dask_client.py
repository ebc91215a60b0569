"""Client of a command's Dask scheduler."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["dask_client"]


@contextmanager
def dask_client(address: str | None) -> Iterator[None]:
    """Compute on the Dask scheduler at ``address`` within the context, or on local threads if it is ``None``."""
    if address is None:
        yield
        return
    import distributed
    from distributed.comm.addressing import resolve_address

    resolve: Any = resolve_address  # untyped, both
    connect: Any = distributed.Client
    try:
        resolve(address)  # a client of a faulty address would hang when the process ends
        client = connect(address, timeout=10, set_as_default=False)  # a default one would remain so, connected or not
    except (ValueError, OSError) as error:
        raise ValueError(f"there is no Dask scheduler at {address!r}: {error}") from error
    with client, client.as_current():
        yield
