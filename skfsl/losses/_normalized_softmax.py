"""A softmax over the cosines with class proxies."""

from numbers import Real

import torch
from torch.nn import functional as F

from skfsl.losses._proxies import ProxyLoss
from skfsl.utils._sklearn_private import Interval

__all__ = ["NormalizedSoftmaxLoss"]


class NormalizedSoftmaxLoss(ProxyLoss):
    """Classify samples by their cosines with a learned proxy a class.

    Each class has a proxy, a direction that is trained along. The logits of a sample
    are its cosines with all proxies, divided by the temperature, and the loss is the
    mean cross-entropy.

    Use it with many samples a class: every sample is compared with all classes of the
    training set, not only with those of its batch, and a batch needs no two samples of
    one class.

    Parameters
    ----------
    temperature : float, default=0.05
        What cosines are divided by; the lower, the less is asked of a sample.

    Attributes
    ----------
    accepts : tuple of str
        ("cosine",).

    See Also
    --------
    CosFaceLoss : Asks for a margin, too.
    PrototypicalLoss : Takes the means of the batch for proxies.

    Notes
    -----
    With the cosine ``s_c`` of a sample and the proxy of class c, y its own class, it is
    the mean over the batch of equation 3 of [1]_::

        -log( exp(s_y / temperature) / sum_c exp(s_c / temperature) )

    References
    ----------
    .. [1] A. Zhai and H. Wu. Classification is a Strong Baseline for Deep Metric
       Learning. BMVC, 2019.

    Examples
    --------
    >>> import torch
    >>> from skfsl.heads import CosineHead
    >>> from skfsl.losses import NormalizedSoftmaxLoss
    >>> loss = NormalizedSoftmaxLoss(temperature=0.5).build(2, n_classes=2)
    >>> _ = loss.load_state_dict({"proxies": torch.eye(2)[:, None]})
    >>> x = torch.tensor([[2.0, 0.0], [0.0, 1.0]])
    >>> print(f"{loss(x, torch.tensor([0, 1]), CosineHead()).item():.4f}")
    0.1269
    """

    _parameter_constraints: dict = {
        "temperature": [Interval(Real, 0, None, closed="neither")]
    }

    def __init__(self, temperature=0.05):
        self.temperature = temperature

    def _of(self, cosines: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(cosines / self.temperature, labels)  # equation 3
