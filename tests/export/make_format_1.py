"""Write the files of today's format that must open for ever.

Run once for each format: ``python tests/export/make_format_1.py``. Files of a format
that has been released are never written again.
"""

import json
from pathlib import Path

import numpy as np
from sklearn.frozen import FrozenEstimator

import skfsl
from skfsl.encoders import MLP
from skfsl.heads import MahalanobisHead

FOLDER = Path(__file__).parent / "formats"
# Integers: the same numbers on every machine.
X = (np.arange(240).reshape(40, 6) ** 2 % 17).astype(np.float32)
Y = np.repeat([f"class {c}" for c in "abcdefghij"], 4)


def models():
    """Return name -> a small model, one for each kind of state."""
    siamese = skfsl.SiameseTransformer(
        MLP((4,), n_outputs=3), head=MahalanobisHead(2), max_epochs=2, random_state=0,
        device="cpu", precision="float32",
    )  # fmt: skip
    pipe = skfsl.FewShotPipeline(
        [("siamese", siamese), ("clf", skfsl.PrototypeClassifier())]
    ).fit(X, Y)
    return {
        "pipeline": pipe.partial_fit(X[:1] + 9, ["a later one"]),
        "siamese_classifier": skfsl.SiameseClassifier(
            FrozenEstimator(pipe[0]), aggregation="mean"
        ).fit(X, Y),
        "prototypes": skfsl.PrototypeClassifier(
            "cosine", store="sums", temperature=0.5
        ).fit(X, np.arange(40) // 4),
        "neighbors": skfsl.KNeighborsClassifier(3, weights="distance").fit(X, Y),
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, model in models().items():
        skfsl.save(model, FOLDER / f"1_{name}.skfsl")
        answers = {
            "classes": model.classes_.tolist(),
            "labels": model.predict(X).tolist(),
            "proba": np.round(model.predict_proba(X).astype(float), 6).tolist(),
        }
        (FOLDER / f"1_{name}.json").write_text(json.dumps(answers), encoding="utf-8")
