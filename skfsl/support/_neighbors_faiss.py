"""Approximate neighbors by FAISS, in an index that grows while others search it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from skfsl.support._index_distances import centred, nearest_first
from skfsl.support._store import Rows

__all__ = ["NeighborIndex", "import_faiss"]

# Samples that are added, and queries that are answered, before others have their turn.
_TURN = 64

# Of "faiss": lists that are looked through, at least, and samples a neighbor in them.
_PROBES = 64
_SAMPLES = 25
# Of "hnsw": links of a sample, and candidates that are kept in a search.
_LINKS = 32
_CANDIDATES = 100


def import_faiss() -> Any:
    """Open FAISS.

    Raises
    ------
    ImportError
        If it is not there.
    """
    try:
        import faiss
    except ImportError:
        raise ImportError(
            "index='faiss' and index='hnsw' need FAISS: python -m pip install "
            "'skfsl[ann]'. index='exact' does without."
        )
    return faiss


class _Turns:
    """Any number of readers, or one writer, whom new readers do not overtake."""

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._changed = threading.Condition()
        self._n_readers = 0

    @contextmanager
    def reading(self) -> Iterator[None]:
        with self._gate, self._changed:
            self._n_readers += 1
        try:
            yield
        finally:
            with self._changed:
                self._n_readers -= 1
                self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._gate:
            with self._changed:
                self._changed.wait_for(lambda: self._n_readers == 0)
            yield


class _Shared:
    """An index of FAISS, which only grows, and may be seen by several views."""

    def __init__(self, kind: str, samples: np.ndarray) -> None:
        faiss = import_faiss()
        self.kind = kind
        self.n_first, n_features = samples.shape
        self._center = samples.mean(axis=0, dtype=np.float64)
        self._growing = threading.Lock()
        self._turns = _Turns()
        if kind == "hnsw":
            self._index = faiss.IndexHNSWFlat(n_features, _LINKS)
        else:
            # As many centres are compared with, about, as samples of a list.
            n_lists = int(4 * np.sqrt(self.n_first))
            coarse = faiss.IndexFlatL2(n_features)
            self._index = faiss.IndexIVFFlat(coarse, n_features, n_lists)
            self._index.cp.max_points_per_centroid = 64
            self._index.cp.min_points_per_centroid = 1  # or it prints a warning
            self._index.cp.niter = 10
            self._index.train(centred(samples, self._center))
        self._index.add(centred(samples, self._center))

    def extend(self, samples: np.ndarray) -> int:
        """Add samples; return the row of the first, which others follow."""
        samples = centred(samples, self._center)
        with self._growing:
            start = self._index.ntotal
            for i in range(0, len(samples), _TURN):
                with self._turns.writing():
                    self._index.add(samples[i : i + _TURN])
        return start

    def search(
        self, queries: np.ndarray, n_neighbors: int, stop: int, bits: np.ndarray | None
    ) -> np.ndarray:
        """Return the nearest rows before `stop`, of those with a set bit; or -1."""
        faiss = import_faiss()
        queries = centred(queries, self._center)
        rows = np.empty((len(queries), n_neighbors), dtype=np.int64)
        for i in range(0, len(queries), _TURN):
            block = slice(i, i + _TURN)
            with self._turns.reading():
                among = None
                if bits is not None:
                    among = faiss.IDSelectorBitmap(bits)
                elif self._index.ntotal > stop:
                    among = faiss.IDSelectorRange(0, stop)
                if self.kind == "hnsw":
                    how = faiss.SearchParametersHNSW(
                        sel=among, efSearch=max(_CANDIDATES, 2 * n_neighbors)
                    )
                else:
                    ivf = self._index
                    n_lists = _SAMPLES * n_neighbors * ivf.nlist // ivf.ntotal
                    how = faiss.SearchParametersIVF(
                        sel=among, nprobe=max(_PROBES, n_lists)
                    )
                _, rows[block] = self._index.search(
                    queries[block], n_neighbors, params=how
                )
        return rows


class NeighborIndex:
    """An index over the samples of one support set.

    It is an immutable view of an index of FAISS that may know more samples: later
    ones, forgotten ones, those of a copy. They are passed over in a search.

    Parameters
    ----------
    shared : _Shared
        What is searched.
    stop : int
        How many of its rows were there.
    rows : Rows of one column, (n_samples,), or None
        The row of each sample, in increasing order; None where all are samples.
    """

    def __init__(self, shared: _Shared, stop: int, rows: Rows | None = None) -> None:
        self._shared = shared
        self._stop = stop
        self._rows = rows
        self._bits: np.ndarray | None = None

    @property
    def kind(self) -> str:
        """What is searched: "faiss" or "hnsw"."""
        return self._shared.kind

    @staticmethod
    def of(kind: str, samples: np.ndarray) -> "NeighborIndex":
        """Make an index.

        Parameters
        ----------
        kind : {"faiss", "hnsw"}
            Inverted lists, or a graph.
        samples : ndarray of shape (n_samples, n_features)
            The samples.
        """
        return NeighborIndex(_Shared(kind, samples), len(samples))

    def append(self, samples: np.ndarray) -> "NeighborIndex | None":
        """Return the index with samples added; None where it is to be made anew."""
        start, rows = self._shared.extend(samples), self._rows
        stop = start + len(samples)
        if rows is None and start > self._stop:  # another view has grown
            rows = Rows(np.arange(self._stop))
        if rows is not None:
            rows = rows.append(np.arange(start, stop))
        return NeighborIndex(self._shared, stop, rows)._worth_keeping()

    def take(self, stays: np.ndarray) -> "NeighborIndex | None":
        """Return the index of some samples; None where it is to be made anew.

        Parameters
        ----------
        stays : ndarray of shape (n_samples,), dtype=bool
            Which samples stay.
        """
        if self._rows is None:
            rows = np.flatnonzero(stays)
        else:
            rows = self._rows.columns[0][stays]
        return NeighborIndex(self._shared, self._stop, Rows(rows))._worth_keeping()

    def _worth_keeping(self) -> "NeighborIndex | None":
        n_samples = self._stop if self._rows is None else len(self._rows)
        # Lists that were made for few samples become long.
        outgrown = self.kind == "faiss" and n_samples > 4 * self._shared.n_first
        return None if outgrown or 2 * n_samples < self._stop else self

    def search(
        self, queries: np.ndarray, samples: np.ndarray, n_neighbors: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find near samples, most often the nearest.

        Parameters
        ----------
        queries : ndarray of shape (n_queries, n_features)
            Queries.
        samples : ndarray of shape (n_samples, n_features)
            The samples of the view.
        n_neighbors : int
            How many are wanted.

        Returns
        -------
        distances : ndarray of shape (n_queries, n_neighbors)
            Euclidean distances, exact, nearest first.
        indices : ndarray of shape (n_queries, n_neighbors)
            Positions among the samples; -1 where too few were found.
        """
        if self._rows is not None and self._bits is None:
            known = np.zeros(self._stop, dtype=bool)
            known[self._rows.columns[0]] = True
            self._bits = np.packbits(known, bitorder="little")
        found = self._shared.search(queries, n_neighbors, self._stop, self._bits)
        if self._rows is not None:
            missing = found < 0
            found = np.searchsorted(self._rows.columns[0], found)
            found[missing] = -1
        return nearest_first(queries, samples, found)
