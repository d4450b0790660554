"""
Which settings learn the best metric for classes never seen?
============================================================

A metric is tuned as anything in scikit-learn is, by ``GridSearchCV``. Two things are
special. Folds are made of classes, so that a candidate is judged on classes it was not
trained on; and the score is that of few-shot episodes, in which the classifier gets one
example of each of five classes. Does tuning pay, against the defaults and against no
learning at all?
"""

# %%
# The data: scikit-learn's digits, 8 × 8 pixels, and as with Omniglot each quarter turn
# of a digit is a class of its own. That makes 40 classes. Three digits, with all their
# turns, are laid aside before anything else is done: they judge the winner.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from skfsl import FewShotPipeline, PrototypeClassifier, SiameseTransformer
from skfsl.augmentation import RandomAffine, rotate_as_classes
from skfsl.model_selection import (
    ClassKFold,
    compare_few_shot,
    make_episodic_scorer,
    train_test_class_split,
)

digits = load_digits()
some = np.concatenate([np.flatnonzero(digits.target == d)[:60] for d in range(10)])
images = (digits.images[some] / 16).astype(np.float32)
X, y = rotate_as_classes(images, digits.target[some])
digit = np.tile(digits.target[some], 4)

X_search, X_test, digit_search, _, y_search, y_test = train_test_class_split(
    X, digit, y, test_size=3, random_state=0
)
print(
    f"{len(np.unique(y_search))} classes to search with, {len(np.unique(y_test))} aside"
)

# %%
# The search. ``ClassKFold`` splits by digit, so that no turn of a digit is on both
# sides; its folds are handed over as a list, since the labels are the turned digits.
# All candidates meet the same episodes.

siamese = SiameseTransformer(
    max_epochs=8, augment=RandomAffine(translate=1), random_state=0
)
pipe = FewShotPipeline([("siamese", siamese), ("clf", PrototypeClassifier())])
common = {
    "siamese__sampler__n_way": [4, 12],
    "siamese__embedding_dim": [None, 16],
}
grid = [
    {"siamese__loss": ["prototypical"], **common},
    {"siamese__loss": ["contrastive"], "siamese__loss__margin": [8, 32], **common},
]
folds = list(ClassKFold(2, shuffle=True, random_state=0).split(X_search, digit_search))
scorer = make_episodic_scorer(n_way=5, n_shot=1)
search = GridSearchCV(pipe, grid, cv=folds, scoring=scorer)
search.fit(X_search, y_search)

order = np.argsort(search.cv_results_["mean_test_score"])
for i in order[::-1]:
    settings = search.cv_results_["params"][i]
    shown = ", ".join(f"{k.split('__')[-1]}={v}" for k, v in settings.items())
    print(f"{search.cv_results_['mean_test_score'][i]:.3f}  {shown}")

# %%
# The winner on the digits that were laid aside, beside the defaults and raw pixels,
# over the same episodes. A difference counts if its interval *over classes* leaves out
# zero: the one over episodes only says what these twelve classes say. And these are
# turns of three digits, not twelve independent classes, so that even the interval over
# classes is too narrow here: a small difference is to be taken with salt.

raw = make_pipeline(
    FunctionTransformer(lambda images: images.reshape(len(images), -1)),
    PrototypeClassifier(),
)
judged = {
    "raw pixels": raw.fit(X_search, y_search),
    "defaults": clone(pipe).fit(X_search, y_search),
    "tuned": search.best_estimator_,
}
print(compare_few_shot(judged, X_test, y_test, n_way=5, n_shot=1))

# %%
# All candidates, by their two folds, and the three on the digits laid aside.

with_intervals = make_episodic_scorer(n_way=5, n_shot=1, return_stats=True)
final = {name: with_intervals(model, X_test, y_test) for name, model in judged.items()}

fig, axes = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
place = np.arange(len(order))
for fold in range(2):
    scores = search.cv_results_[f"split{fold}_test_score"][order]
    axes[0].plot(scores, place, "o", label=f"fold {fold + 1}")
labels = [
    ", ".join(str(value) for value in search.cv_results_["params"][i].values())
    for i in order
]
axes[0].set_yticks(place, labels, fontsize=8)
axes[0].set(title="search, by held-out classes", xlabel="accuracy, 5-way 1-shot")
axes[0].legend()
for i, score in enumerate(final.values()):
    low, high = score["classes_low"], score["classes_high"]
    axes[1].plot([low, high], [i, i], color="C0", lw=2)
    axes[1].plot(score["score"], i, "o", color="C0")
axes[1].set_yticks(range(len(final)), list(final))
axes[1].set(title="digits laid aside", xlabel="accuracy, 95 % interval over classes")
plt.show()

# %%
# Conclusion: the two folds are ten points apart, since some digits are harder than
# others, and yet they put the candidates in nearly the same order. That is what meeting
# the same episodes is worth. The prototypical loss beats the contrastive one here, and
# an embedding of 16 numbers loses seven points.
#
# On the digits laid aside a learned metric beats raw pixels by five to seven points.
# The winner of the search is no better than the defaults, whose batches have all
# classes, as no candidate's had: which of the two is ahead by a point, three digits do
# not tell.
# Its score in the search, 0.85, was the best of twelve and, as such scores are, a
# little too good.
