"""Still pictures of a tree, from the level that has as many samples as the picture has pixels."""

from msi_lazy.show.pictures.plot import plot_levels
from msi_lazy.show.pictures.thumbnail import make_thumbnail

__all__ = ["make_thumbnail", "plot_levels"]
