"""Run the command line: ``python -m msi_lazy``."""

from msi_lazy.cli import main

if __name__ == "__main__":
    main(prog_name="msi-lazy")
