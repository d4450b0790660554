"""Models for ONNX runtimes, where there is no Python or no torch."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from skfsl.export._anatomy import take_apart
from skfsl.utils._atomic import write_whole

__all__ = ["to_onnx"]

_OPSET = 18


def to_onnx(
    model: Any,
    path: str | os.PathLike,
    *,
    support: str = "constant",
    input_layout: str = "auto",
) -> None:
    """Write a model for ONNX runtimes: preprocessing, encoder, head, support set.

    Beside the model a JSON file of the same name, ending in ".json", tells the labels
    that its answers stand for, and the shapes and dtypes of what goes in.

    Read more in the :ref:`User Guide <export>`.

    Parameters
    ----------
    model : estimator
        A fitted SiameseTransformer; a PrototypeClassifier or a KNeighborsClassifier; a
        FewShotPipeline of the two; or a SiameseClassifier.
    path : str or path-like
        What the file is called; mostly it ends in ".onnx".
    support : {"constant", "input"}, default="constant"
        "constant" has the support set in the file. "input" takes it with each call, as
        :func:`support_inputs` gives it, so that classes may come and go without
        another export; queries are then never refused.
    input_layout : {"auto", "channels_first", "channels_last", "no_channels"}, \
            default="auto"
        How images will come: (n, c, h, w), (n, h, w, c) or, of one channel, (n, h, w).
        "auto" is the `input_layout` of the transformer, or "channels_first" where that
        is "auto", too.

    Raises
    ------
    ImportError
        If onnx or onnxscript is not installed.
    ValueError
        If there is something in the model that cannot be exported. The error names it.

    See Also
    --------
    to_exported_program : The same as a program of torch.
    support_inputs : The support set as arrays.

    Notes
    -----
    Inputs are "X" and, with ``support="input"``, "support" and "membership". Outputs
    are "label", int64 of shape (n,): the position in "classes" of the JSON file, or -1
    for a query that is refused; "scores", float32 of shape (n, n_classes): what
    `decision_function` answers, also where there are two classes, and of neighbors
    `predict_proba`; and "embeddings", float32 of shape (n, embedding_dim): what a
    support set is made of. Of a transformer alone there is only the last.

    All is computed in float32, whatever the `precision` of the transformer. A query is
    compared with all examples, whatever the `shortlist` of a SiameseClassifier.

    Examples
    --------
    >>> from skfsl import PrototypeClassifier
    >>> from skfsl.export import to_onnx
    >>> clf = PrototypeClassifier().fit([[0.0], [2.0], [9.0]], ["a", "a", "b"])
    >>> to_onnx(clf, "clf.onnx")  # doctest: +SKIP
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ModuleNotFoundError:
        raise ImportError(
            "to_onnx needs onnx and onnxscript: python -m pip install 'skfsl[onnx]'."
        )
    import torch

    from skfsl.export._program import to_exported_program

    anatomy = take_apart(model)
    about = {"support": support, **_labels(anatomy.classifier)}
    program = to_exported_program(model, support=support, input_layout=input_layout)
    axes = {"X": {0: "n"}}
    if support == "input":
        rows, columns = "n_support", "n_classes"
        axes |= {"support": {0: rows}, "membership": {0: rows, 1: columns}}
    outputs = ["label", "scores", "embeddings"]
    exported: Any = torch.onnx.export(
        program,
        input_names=list(axes),
        output_names=outputs if anatomy.classifier is not None else outputs[2:],
        dynamic_shapes=list(axes.values()),
        opset_version=_OPSET,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    proto = exported.model_proto
    onnx.checker.check_model(proto)
    about["inputs"] = [_described(value) for value in proto.graph.input]
    about["outputs"] = [_described(value) for value in proto.graph.output]
    write_whole(path, proto.SerializeToString())
    text = json.dumps(about, indent=1, ensure_ascii=False)
    write_whole(Path(path).with_suffix(".json"), text.encode())


def _labels(classifier: Any) -> dict:
    if classifier is None:
        return {}
    classes = classifier.classes_
    if classes.dtype.kind not in "biuU":
        raise ValueError(
            f"JSON has no labels of dtype {classes.dtype}. Enrol integers, booleans or "
            f"strings."
        )
    unknown = classifier.unknown_label
    if isinstance(unknown, np.generic):
        unknown = unknown.item()
    return {"classes": classes.tolist(), "unknown_label": unknown}


def _described(value: Any) -> dict:
    import onnx

    tensor = value.type.tensor_type
    shape = [d.dim_param or d.dim_value for d in tensor.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return {"name": value.name, "dtype": str(dtype), "shape": shape}
