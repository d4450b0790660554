"""Settings shared by all tests."""

import os

import numpy as np
import pytest

# Workers side by side must not fight for the cores: with two threads each, small
# convolutions run many times slower. Before torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def rng():
    return np.random.default_rng(0)
