"""Trainings that fail without an error: what embeddings and losses tell of them."""

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from skfsl.exceptions import CollapseWarning, TrainingDivergedError
from skfsl.siamese._data import embed
from skfsl.siamese._module import SiameseModule
from skfsl.utils._outside import outside

__all__ = ["Watch"]

_N_SAMPLES = 128
# Far from what trainings do that go well: there, on tables, digits and characters, even
# with labels drawn at random, the spread was 0.28 of the length and more, and scores
# differed by 0.005 of the largest. Collapsed ones were below 0.003 and 0.0004.
_SPREAD = 0.01
_FLATNESS = 0.001
_ONE_LINE = 0.999
# ... and training did it, if it is less than this share of what was before.
_LOSS = 0.3
# Of 278 trainings that went well, on tables, noise and images, none lost more than 0.01
# of the order of its pairs.
_WORSE = 0.02
_ORDER = 0.55  # below, there was none: heads that start at random, labels of noise
_LONGER = 1e4


@dataclass(frozen=True)
class _Look:
    """What some embeddings look like, and their scores."""

    length: float  # root mean square
    spread: float  # around their mean, as a share of their length
    flatness: float  # standard deviation of scores, as a share of the largest
    along_one_line: float  # share of the variance
    order: float  # AUROC of scores, of pairs of one class against those of two


class Watch:
    """Some training samples, embedded before training and after.

    Parameters
    ----------
    module : SiameseModule
        To be trained; it is looked at as it is now.
    X : ndarray
        Training samples.
    codes : ndarray of int64, shape (n,)
        Their class codes.
    device : torch.device
        Where `module` is.
    """

    def __init__(
        self, module: SiameseModule, X, codes: np.ndarray, device: torch.device
    ):
        # Two neighbours at a time, in the order of classes: of many classes, too, some
        # are class mates.
        last = len(X) - 1
        at = np.linspace(0, max(0, last - 1), _N_SAMPLES // 2).round().astype(int)
        at = np.union1d(at, np.minimum(at + 1, last))
        some = np.sort(np.argsort(codes, kind="stable")[at])
        self.X, self.codes, self.device = X[some], codes[some], device
        self.before = self._look(module)

    def check(self, net) -> None:
        """Tell of a training that failed.

        Parameters
        ----------
        net : SiameseNet
            Trained.

        Raises
        ------
        TrainingDivergedError
            If embeddings, or weights of the head, are not finite: the last steps blew
            them up, and no loss tells of these any more.

        Warns
        -----
        CollapseWarning
            If embeddings or scores are all alike, or the loss says that nothing was
            learned.
        """
        module = net.module_
        after = self._look(module)
        weights = module.head.parameters() if isinstance(module.head, nn.Module) else ()
        if after is None or not all(torch.isfinite(w).all() for w in weights):
            raise TrainingDivergedError(
                "The embeddings, or weights of the head, became NaN or infinite in "
                "training. Lower lr, check X for extreme values, or set "
                "precision='float32'."
            )
        message = self._diagnose(net) or self._compare(after, net.lr)
        if message is not None:
            warnings.warn(message, CollapseWarning, stacklevel=outside())

    def _diagnose(self, net) -> str | None:
        diagnose = getattr(net.loss, "diagnose", None)
        if diagnose is None:
            return None
        losses = [row["train_loss"] for row in net.epochs() if "train_loss" in row]
        return diagnose(losses, net.module_.embedding_dim, net.module_.head)

    def _compare(self, after: _Look, lr: float) -> str | None:
        before = self.before
        if before is None:
            return None
        if before.spread == after.spread == 0:
            found = (
                "the embeddings of training samples were all alike before training, "
                "and are so now: the samples are equal, or the encoder makes them so"
            )
        elif after.spread < min(_SPREAD, _LOSS * before.spread):
            found = (
                f"the embeddings of training samples have collapsed to one point: "
                f"they differ by {after.spread:.1g} of their length, "
                f"{before.spread:.1g} before training"
            )
        elif after.flatness < min(_FLATNESS, _LOSS * before.flatness):
            found = (
                f"the scores of all pairs of training samples are the same: they "
                f"differ by {after.flatness:.1g} of the largest, "
                f"{before.flatness:.1g} before training"
            )
        elif self._is_one_line(before, after):
            found = (
                f"the embeddings of training samples have collapsed to one line, and "
                f"pairs of one class are told from those of two no better than before "
                f"training (AUROC {after.order:.2f}, {before.order:.2f} before)"
            )
        elif after.length > _LONGER * before.length > 0:
            found = (
                f"the embeddings of training samples have exploded: their length is "
                f"{after.length:.1g}, {before.length:.1g} before training"
            )
        elif before.order > _ORDER and after.order < before.order - _WORSE:
            found = (
                f"pairs of one class are told from those of two worse than before "
                f"training (AUROC {after.order:.2f}, {before.order:.2f} before)"
            )
        else:
            return None
        return (
            f"Training failed: {found}. Lower lr (now {lr:g}), take batches of more "
            f"classes, or choose a larger margin, another mining or another loss."
        )

    def _is_one_line(self, before: _Look, after: _Look) -> bool:
        # Three classes in a row are told apart on a line as well as anywhere.
        return (
            len(np.unique(self.codes)) > 3
            and after.along_one_line > _ONE_LINE
            and before.along_one_line < 0.99
            and after.order <= before.order
        )

    def _look(self, module: SiameseModule) -> _Look | None:
        """Return what embeddings look like; None where some are not finite."""
        module.eval()
        e = embed(module, self.X, self.device, torch.float32)
        with torch.inference_mode():
            on_device = e.to(self.device)
            scores = module.head.scores(on_device, on_device).cpu().double()
        e = e.double()
        if not torch.isfinite(e).all():
            return None
        centered = e - e.mean(dim=0)
        variances = torch.linalg.svdvals(centered).square()
        pairs = np.triu_indices(len(e), 1)
        of_pairs = np.nan_to_num(scores.numpy()[pairs])
        same = self.codes[pairs[0]] == self.codes[pairs[1]]
        return _Look(
            length=float(e.square().sum(dim=1).mean().sqrt()),
            spread=_share(centered.square().sum(), e.square().sum()) ** 0.5,
            flatness=_share(of_pairs.std(), np.abs(of_pairs).max()),
            along_one_line=_share(variances.max(), variances.sum()),
            order=roc_auc_score(same, of_pairs) if 0 < same.mean() < 1 else 0.5,
        )


def _share(part, whole) -> float:
    return float(part / whole) if whole > 0 else 0.0
