"""What tests of refusing and of calibrating share."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator

from skfsl import SiameseTransformer


@pytest.fixture(scope="session")
def open_set():
    """Make eight classes of six examples, and queries of these and of four more."""

    def make(spread, n_queries):
        rng = np.random.default_rng(0)
        centres = spread * rng.normal(size=(12, 8))
        y = np.repeat(np.arange(12), 6 + n_queries)
        X = centres[y] + rng.normal(size=(len(y), 8))
        first = np.tile(np.arange(6 + n_queries) < 6, 12)
        known = y < 8
        support, queries = first & known, ~first
        return X[support], y[support], X[queries], np.where(known, y, -1)[queries]

    return make


@pytest.fixture(scope="module")
def metric(data):
    """Learn a metric on other samples than those of the support set."""
    X, y, *_ = data
    siamese = SiameseTransformer(max_epochs=1, random_state=0, device="cpu")
    return FrozenEstimator(siamese.fit(X + 90, y))
