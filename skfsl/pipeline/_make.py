"""The shorthand for a pipeline whose steps need no names of their own."""

from sklearn.pipeline import make_pipeline

from skfsl.pipeline._few_shot import FewShotPipeline

__all__ = ["make_few_shot_pipeline"]


def make_few_shot_pipeline(*steps, transform_input=None, memory=None, verbose=False):
    """Make a :class:`FewShotPipeline`, with names given automatically.

    Parameters
    ----------
    *steps : estimators
        What is chained, in this order. Each is named by its type in lowercase.
    transform_input : list of str, default=None
        Names of metadata that is transformed by the steps before the one that
        consumes it. Needs metadata routing.
    memory : str or object with the joblib.Memory interface, default=None
        Where fitted transformers are cached.
    verbose : bool, default=False
        Whether the time that each step takes in ``fit`` is printed.

    Returns
    -------
    pipe : FewShotPipeline
        The pipeline.

    See Also
    --------
    FewShotPipeline : The class, for names of your own.

    Examples
    --------
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skfsl import PrototypeClassifier, make_few_shot_pipeline
    >>> pipe = make_few_shot_pipeline(StandardScaler(), PrototypeClassifier())
    >>> [name for name, _ in pipe.steps]
    ['standardscaler', 'prototypeclassifier']
    """
    return FewShotPipeline(
        make_pipeline(*steps).steps,
        transform_input=transform_input,
        memory=memory,
        verbose=verbose,
    )
