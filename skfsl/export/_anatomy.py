"""What a model is made of, as far as other runtimes can compute it."""

from typing import Any, NamedTuple

import numpy as np

from skfsl.pipeline import SiameseClassifier, flat
from skfsl.support import KNeighborsClassifier, PrototypeClassifier

__all__ = ["Anatomy", "support_arrays", "support_inputs", "take_apart"]


class Anatomy(NamedTuple):
    """A transformer and a classifier, either of which may be missing.

    Attributes
    ----------
    transformer : SiameseTransformer or None
        What embeds samples.
    classifier : classifier or None
        What compares embeddings with its support set; one state of it.
    compare : str or None
        The metric of a pair, "euclidean", "cosine" or "manhattan"; "head" is the
        learned one on embeddings that are not folded.
    aggregation : {"prototype", "mean", "max", "vote"} or None
        What is made of the examples of a class.
    threshold : float
        The score below which no class is answered.
    shared : SharedCovariance or None
        What embeddings are whitened by before they are compared.
    """

    transformer: Any
    classifier: Any
    compare: str | None = None
    aggregation: str | None = None
    threshold: float = -np.inf
    shared: Any = None


def take_apart(model: Any) -> Anatomy:
    """Find the transformer and the classifier in a model.

    Parameters
    ----------
    model : estimator
        Fitted.

    Raises
    ------
    ValueError
        If there is something else in it, or a setting that cannot be exported.
    """
    from skfsl.siamese import SiameseTransformer

    rest: list[Any] = [step for _, step in flat([("model", model)])]
    transformer = classifier = None
    kinds = (PrototypeClassifier, KNeighborsClassifier, SiameseClassifier)
    if isinstance(rest[-1], kinds):
        classifier = rest.pop()._checked_reader(None)
    if isinstance(classifier, SiameseClassifier):
        transformer = classifier.siamese_
    elif rest and type(rest[-1]) is SiameseTransformer:
        transformer = rest.pop()
    if rest:
        raise ValueError(
            f"Cannot export a {type(rest[-1]).__name__}: there may be a "
            f"SiameseTransformer, and behind it a PrototypeClassifier, a "
            f"KNeighborsClassifier or nothing; or a SiameseClassifier. What comes "
            f"before it has to be computed outside."
        )
    if classifier is None:
        return Anatomy(transformer, None)
    if isinstance(classifier, PrototypeClassifier):
        return _prototypes(transformer, classifier)
    if isinstance(classifier, KNeighborsClassifier):
        return _neighbors(transformer, classifier)
    threshold = _threshold(classifier)
    return Anatomy(transformer, classifier, "head", classifier.aggregation, threshold)


def _prototypes(transformer: Any, classifier: Any) -> Anatomy:
    if callable(classifier.metric):
        raise ValueError(
            f"Cannot export a function as metric. Got {classifier.metric!r}: choose "
            f"'euclidean', 'cosine' or 'manhattan'."
        )
    if classifier.unknown_label is not None and classifier.threshold is None:
        if classifier.reject is not None and classifier._ratio() is not None:
            raise ValueError(
                "Cannot export the likelihood ratio by which queries are refused. Set "
                "familiarity='similarity', or unknown_label=None."
            )
    threshold = _threshold(classifier)
    shared = classifier._shared()
    compare = classifier.metric if shared is None else "euclidean"
    return Anatomy(transformer, classifier, compare, "prototype", threshold, shared)


def _neighbors(transformer: Any, classifier: Any) -> Anatomy:
    metric, params = classifier.effective_metric_, classifier.effective_metric_params_
    compare = {"l2": "euclidean", "l1": "manhattan", "cityblock": "manhattan"}.get(
        metric, metric
    )
    if (
        compare not in ("euclidean", "cosine", "manhattan")
        or params.get("w") is not None
    ):
        raise ValueError(
            f"Cannot export metric={metric!r}: choose 'euclidean', 'cosine' or "
            f"'manhattan', without weights of features."
        )
    if classifier.weights not in (None, "uniform") or classifier._support is None:
        raise ValueError(
            f"Of neighbors only those by algorithm='brute', on dense samples, with "
            f"weights='uniform' can be exported. Got "
            f"algorithm={classifier.algorithm!r} and weights={classifier.weights!r}."
        )
    distance = -_threshold(classifier)
    # In terms of what pairs are compared by.
    of_score = {"euclidean": -distance * abs(distance), "cosine": 1 - distance}
    threshold = of_score.get(compare, -distance)
    return Anatomy(transformer, classifier, compare, "vote", threshold)


def _threshold(classifier: Any) -> float:
    if classifier.unknown_label is None:
        return -np.inf
    return float(classifier.rejection_threshold())


def support_inputs(model: Any) -> dict[str, np.ndarray]:
    """Return the support set of a model as the arrays that an exported one takes.

    Parameters
    ----------
    model : estimator
        Fitted, of the kinds that :func:`to_onnx` takes, with a classifier.

    Returns
    -------
    arrays : dict
        "support", float32 of shape (n_support, embedding_dim): embeddings of
        examples, or one prototype a class. "membership", float32 of shape
        (n_support, n_classes): for how many examples a row counts in each class,
        columns in the order of `classes_`.

    Raises
    ------
    ValueError
        As of :func:`to_onnx`, and with ``covariance="shared"``.

    See Also
    --------
    to_onnx : Its ``support="input"``.

    Examples
    --------
    >>> from skfsl import PrototypeClassifier
    >>> from skfsl.export import support_inputs
    >>> clf = PrototypeClassifier().fit([[0.0], [2.0], [9.0]], ["a", "a", "b"])
    >>> support_inputs(clf)["support"]
    array([[1.],
           [9.]], dtype=float32)
    >>> support_inputs(clf)["membership"]
    array([[2., 0.],
           [0., 1.]], dtype=float32)
    """
    anatomy = take_apart(model)
    if anatomy.classifier is None:
        raise ValueError("A SiameseTransformer alone has no support set.")
    if anatomy.shared is not None:
        raise ValueError(
            "With covariance='shared' a support set is more than its examples: export "
            "the model anew with support='constant' where it has changed, or set "
            "covariance=None."
        )
    return support_arrays(anatomy)


def support_arrays(anatomy: Anatomy) -> dict[str, np.ndarray]:
    """Return the support set as arrays, whitened where the model does that."""
    support = anatomy.classifier._support
    if anatomy.shared is not None:
        rows, membership = anatomy.shared.white_means(), np.diag(support.counts)
    elif anatomy.aggregation == "prototype":
        rows, membership = support.prototypes, np.diag(support.counts)
    else:
        vote = anatomy.aggregation == "vote"
        rows = support.samples.columns[0] if vote else support.embeddings
        membership = np.eye(len(support.labels))[support.positions]
    return {
        "support": rows.astype(np.float32),
        "membership": membership.astype(np.float32),
    }
