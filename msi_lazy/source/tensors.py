"""Arrays that TensorStore opened."""

from __future__ import annotations

from dataclasses import dataclass
from json import dumps
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np

__all__ = ["TensorReader", "is_tensor"]


def is_tensor(value: Any) -> bool:
    """Tell whether ``value`` is an array that TensorStore opened."""
    kind = type(value)
    return kind.__name__ == "TensorStore" and kind.__module__.partition(".")[0] in ("tensorstore", "_tensorstore")


@dataclass(frozen=True, eq=False)
class TensorReader:
    """An array that TensorStore opened, as everything else is sliced: from 0, with a dtype and chunks of NumPy's kind.

    Pickled as TensorStore pickles it, by what it was opened from.
    """

    tensor: Any
    """Array of TensorStore."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(self.tensor.shape)

    @property
    def ndim(self) -> int:
        """Its number of dimensions."""
        return len(self.tensor.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Its dtype."""
        found: np.dtype[Any] = np.dtype(self.tensor.dtype.numpy_dtype)
        return found

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the chunks that are decoded as a whole; that of the array where it has none."""
        found = self.tensor.chunk_layout.read_chunk.shape or self.shape
        return tuple(max(min(chunk or n, n), 1) for chunk, n in zip(found, self.shape, strict=True))

    def check(self) -> None:
        """Refuse an array whose samples may be in the memory of this process: one composed of several does not tell.

        Raises
        ------
        ValueError
            They may be; other processes would read the fill value.
        """
        store = self.tensor.kvstore
        if store is None or '"driver":"memory"' in dumps(store.spec().to_json(), separators=(",", ":")):
            raise ValueError(
                "an array of TensorStore in memory, or composed of others, is not seen by worker processes, as far as "
                "it shows; compute in threads "
                "(dask.config.set(scheduler='threads')), or give its samples, numpy.asarray(array.read().result())"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        self.check()
        return TensorReader, (self.tensor,)

    def __getitem__(self, key: Any) -> np.ndarray[Any, Any]:
        parts = key if isinstance(key, tuple) else (key,)
        parts = (*parts, *(slice(None) for _ in range(self.ndim - len(parts))))
        asked, turned = [], []
        origin = self.tensor.domain.inclusive_min  # a slice of TensorStore's keeps its positions
        for at, n, part in zip(origin, self.shape, parts, strict=True):
            wanted = range(n)[part]
            if not isinstance(wanted, range):
                asked.append(at + wanted)
                continue
            ascending = wanted if wanted.step > 0 else wanted[::-1]
            start = ascending.start if wanted else 0
            last = ascending[-1] + 1 if wanted else 0
            asked.append(slice(at + start, at + last, ascending.step))  # other samples are not kept in memory
            turned.append(slice(None, None, 1 if wanted.step > 0 else -1))
        return np.asarray(self.tensor[tuple(asked)].read().result())[tuple(turned)]

    @property
    def documents(self) -> list[str] | None:
        """Files of its metadata; ``None`` unless these are known to be local."""
        try:
            url = urlsplit(self.tensor.kvstore.url)
        except (AttributeError, NotImplementedError, ValueError):  # several stores, a function, one without a URL
            return None
        folder = Path(unquote(url.path))
        if url.scheme != "file" or "|" in self.tensor.kvstore.url or not folder.is_dir():
            return None
        return [str(folder / name) for name in _DOCUMENTS if (folder / name).is_file()] or None


_DOCUMENTS = ("zarr.json", ".zarray", "attributes.json", "info")
"""Files of metadata: of Zarr, N5 and precomputed volumes."""
