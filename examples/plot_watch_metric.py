"""
How soon do classes that are never trained on become blocks?
============================================================

A metric is learned on six digits, while it is watched on pictures of all ten: after
each epoch their distances are sorted by digit. Is what it learns about six of them of
use for the other four, and from which epoch on?
"""

# %%
# The data: scikit-learn's digits, 8 × 8 pixels. Ten pictures of each digit are watched,
# and not trained on. Of the digits 6 to 9 nothing at all is trained on.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import euclidean_distances

from skfsl import SiameseTransformer
from skfsl.metrics import DistanceMatrixDisplay
from skfsl.siamese import DistanceMatrixCallback

X, y = load_digits(return_X_y=True)
X = X.reshape(-1, 8, 8)
watched = np.concatenate([np.flatnonzero(y == digit)[:10] for digit in range(10)])
trained = np.setdiff1d(np.flatnonzero(y < 6), watched)

# %%
# Learn, and watch. With ``directory=`` pictures are written as well, and with
# ``gif=True`` a moving one.

watch = DistanceMatrixCallback(X[watched], y[watched])
siamese = SiameseTransformer(max_epochs=10, callbacks=[watch], random_state=0)
siamese.fit(X[trained], y[trained])

# %%
# Of the nine pictures nearest to one, how many are of its digit? There are nine more of
# each. The baseline is raw pixels; epoch 0 is the network before it has learned.


def of_its_digit(distances, new):
    """Share of the same digit among the nine nearest, of the new digits or the old."""
    distances = distances + np.diag(np.full(len(distances), np.inf))
    nearest = watch.labels_[distances.argsort(axis=1)[:, :9]]
    same = nearest == watch.labels_[:, None]
    return same[(watch.labels_ >= 6) == new].mean()


pixels = euclidean_distances(X[watched].reshape(len(watched), -1))
rows = [("raw pixels", pixels)]
rows += [
    (f"epoch {e}", d) for e, d in zip(watch.epochs_, watch.distances_, strict=True)
]
print(f"{'':12s} 0 to 5   6 to 9 (never trained on)")
for name, distances in rows:
    old, new = (of_its_digit(distances, new) for new in (False, True))
    print(f"{name:12s} {old:6.2f}   {new:6.2f}")

# %%
# The matrices: dark is near.

fig, axes = plt.subplots(1, 4, figsize=(15, 4.5), layout="constrained")
shown = [rows[0], rows[1], rows[2], rows[-1]]
for ax, (name, distances) in zip(axes, shown, strict=True):
    DistanceMatrixDisplay.from_distances(
        distances, watch.labels_, ax=ax, colorbar=False
    )
    ax.set_title(name)
plt.show()

# %%
# Conclusion: one epoch does most of it, also for the digits that are never trained on:
# of the pictures nearest to one of these 80 % are of its digit, where it is 75 % for
# raw pixels and fewer in the untrained network. The epochs after that add to the digits
# trained on, and little to the others: their blocks show when it is enough.
