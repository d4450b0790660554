"""Which parameters of a pipeline's ``partial_fit`` are for which step."""

from sklearn import get_config
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import process_routing

__all__ = ["partial_fit_params"]


def partial_fit_params(pipeline: Pipeline, params: dict) -> dict[str, dict]:
    """Sort the parameters of ``partial_fit``.

    Parameters
    ----------
    pipeline : Pipeline
        Its fitted steps only transform, its last step learns.
    params : dict of str to object
        What the user passed.

    Returns
    -------
    by_step : dict of str to dict
        Step name -> parameters of the method that is called on it. A step without
        parameters may be missing.

    Raises
    ------
    ValueError
        If metadata routing is not enabled and a parameter is for none but the last
        step.
    """
    if not params:
        return {}
    last = pipeline.steps[-1][0]
    if get_config()["enable_metadata_routing"]:
        routed = process_routing(pipeline, "partial_fit", **params)
        return {
            name: dict(step.partial_fit if name == last else step.transform)
            for name, step in routed.items()
        }
    prefix = f"{last}__"
    foreign = sorted(name for name in params if not name.startswith(prefix))
    if foreign:
        raise ValueError(
            f"{type(pipeline).__name__}.partial_fit does not accept {foreign}: fitted "
            f"steps only transform, the last one learns. Pass parameters to it in the "
            f"form {prefix}parameter, e.g. {prefix}sample_weight=sample_weight."
        )
    return {last: {name.removeprefix(prefix): v for name, v in params.items()}}
