"""
Can new digits be learned from five examples each?
==================================================

A metric is learned on six digits. The other four are added afterwards from five
pictures each, by ``partial_fit``: nothing is retrained. How well are all ten told
apart, and how do they look to the metric before and after?
"""

# %%
# The data: scikit-learn's digits, 8 × 8 pixels. The metric sees the digits 0 to 5;
# of 6 to 9 there are five pictures each. Half of all pictures are kept for the test.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import euclidean_distances
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier

from skfsl import PrototypeClassifier, SiameseTransformer, make_few_shot_pipeline
from skfsl.metrics import DistanceMatrixDisplay

digits = load_digits()
X_train, X_test, y_train, y_test = train_test_split(
    digits.images, digits.target, test_size=0.5, stratify=digits.target, random_state=0
)
base = y_train < 6
new = np.concatenate([np.flatnonzero(y_train == digit)[:5] for digit in range(6, 10)])

# %%
# Learn the metric on the base classes, then enrol the new ones.

pipe = make_few_shot_pipeline(SiameseTransformer(random_state=0), PrototypeClassifier())
pipe.fit(X_train[base], y_train[base])
pipe.partial_fit(X_train[new], y_train[new])

# %%
# The baseline: raw pixels and the nearest neighbours, with the same pictures.

known = np.r_[np.flatnonzero(base), new]
pixels = X_train.reshape(len(X_train), -1)
baselines = {
    "raw pixels, 5 nearest neighbours": KNeighborsClassifier(),
    "raw pixels, nearest prototype": PrototypeClassifier(),
}
results = {"learned metric, nearest prototype": pipe.predict(X_test)}
for name, classifier in baselines.items():
    classifier.fit(pixels[known], y_train[known])
    results[name] = classifier.predict(X_test.reshape(len(X_test), -1))

print(f"{'accuracy':34s} all ten   0 to 5   6 to 9")
for name, predicted in results.items():
    right = predicted == y_test
    parts = [right, right[y_test < 6], right[y_test >= 6]]
    print(f"{name:34s}", "".join(f"{part.mean():8.3f} " for part in parts))

# %%
# The distances of 20 test pictures of each digit, sorted by digit: classes stand out
# as dark blocks along the diagonal, also those that the metric has never seen.

shown = np.concatenate([np.flatnonzero(y_test == digit)[:20] for digit in range(10)])
fig, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
raw = X_test[shown].reshape(len(shown), -1)
DistanceMatrixDisplay.from_distances(
    euclidean_distances(raw), y_test[shown], ax=axes[0]
)
axes[0].set_title("before: raw pixels")
DistanceMatrixDisplay.from_estimator(pipe, X_test[shown], y_test[shown], ax=axes[1])
axes[1].set_title("after: the learned metric (6 to 9 never seen)")
plt.show()

# %%
# Conclusion: from five pictures each, the four new digits are told apart better by the
# learned metric than by raw pixels, and so are all ten together. Nearest neighbours
# drown five examples among hundreds; a prototype counts as one, however many examples
# its class has.
