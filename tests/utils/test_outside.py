"""Warnings point to the line that asked, also through scikit-learn."""

import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skfsl import FewShotPipeline, PrototypeClassifier

X, Y = [[0.0], [1.0], [5.0]], [0, 1, 2]


@pytest.mark.parametrize(
    "make",
    [
        lambda clf: clf,
        lambda clf: make_pipeline(StandardScaler(), clf),
        lambda clf: FewShotPipeline([("scale", StandardScaler()), ("clf", clf)]),
    ],
)
def test_warnings_point_to_who_asked(make):
    clf = make(PrototypeClassifier(temperature="auto")).fit(X, Y)
    with pytest.warns(UserWarning, match="temperature='auto' leaves out") as told:
        clf.predict_proba(X)
    assert [warning.filename for warning in told] == [__file__]
