"""Run the command line: ``msi-lazy``, or ``python -m msi_lazy``."""

import os

from msi_lazy.cli import main
from msi_lazy.compat.allocator import keep_freed_memory

__all__ = ["run"]


def run() -> None:
    """Run the command line in a process of its own, whose allocator then keeps freed memory, unless it was set."""
    if not any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        keep_freed_memory()
    main(prog_name="msi-lazy")


if __name__ == "__main__":
    run()
