"""SiameseTransformer: the metric that is learned, as a transformer."""

import warnings

import numpy as np
import torch
from sklearn.base import (
    BaseEstimator,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
)
from sklearn.utils.validation import check_is_fitted

from skfsl.siamese._data import embed
from skfsl.siamese._device import resolve_device
from skfsl.siamese._files import apply_to_samples
from skfsl.siamese._learn import learn
from skfsl.siamese._settings import CONSTRAINTS, set_plain
from skfsl.siamese._similarity import SimilarityMixin, fold
from skfsl.siamese._sklearn_callbacks import CallbackSupport, with_callbacks
from skfsl.siamese._views import check_views
from skfsl.utils._hash import hash_samples
from skfsl.utils._publish import shadow

__all__ = ["SiameseTransformer"]


class SiameseTransformer(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    SimilarityMixin,
    CallbackSupport,
    BaseEstimator,
):
    """Learn a metric from pairs of same and different classes.

    `fit` trains a siamese network: one encoder embeds every sample of a batch, a
    head scores all pairs of embeddings, and the loss draws samples of a class
    together and those of different classes apart. `transform` embeds samples so
    that the plain metric named by `metric_` is the learned one, and any classifier
    of scikit-learn can use it.

    Use it when there are many classes with few examples each, and when classes are
    met later that were not there in training.

    Parameters
    ----------
    encoder : str, skfsl.encoders part, torch.nn.Module or callable, default="auto"
        The network that embeds a sample. "auto" is an
        :class:`~skfsl.encoders.MLP` for tables and
        :class:`~skfsl.encoders.Conv4` for images (with fewer blocks below 24 pixels).
        A module is copied, never trained itself; it gets float32 samples of shape
        (n, d) or (n, c, h, w) and must return (n, embedding_dim). A callable makes a
        module; it gets the shape of a sample if it has a positional parameter without
        default. Any other name is one of torchvision's networks, such as "resnet50",
        with its weights: a :class:`~skfsl.encoders.TorchvisionBackbone`.
    weights : str, path-like, torchvision weights or None, default="auto"
        Trained weights that the encoder starts from. "auto" are the default ones of
        a network of torchvision, and none of other encoders. For all of them it may
        be the path of a saved state_dict, for those of torchvision also the name of
        weights or None, random ones. `partial_fit` and warm starts keep theirs.
    embedding_dim : int, default=None
        Number of components of an embedding. None is the encoder's own width, 256 at
        most where it is fine-tuned in stages; a number adds a linear projection.
    head : str or skfsl.heads part, default="euclidean"
        What compares two embeddings: "euclidean", "cosine", "mahalanobis",
        "dense_sigmoid", "learned_norms" or "mixed_norms".
    loss : str, skfsl.losses part or callable, default="prototypical"
        What is minimised: a loss of :ref:`losses`, by name ("triplet", "sup_con",
        "arc_face" ...) or with settings, or any ``loss(embeddings, labels)`` such as
        those of pytorch-metric-learning. It must be defined on the scores of the head.
    sampler : str or skfsl.samplers part, default="class_balanced"
        What makes batches: "class_balanced", "episode", "balanced_pairs",
        "hard_pairs", "product_pairs" or "random_pairs".
    optimizer : {"adamw", "adam", "sgd"} or torch.optim.Optimizer class, \
            default="adamw"
        What follows the gradient.
    lr : float, default=2e-3
        Largest learning rate; it rises over the first fiftieth of all steps and
        falls to zero along half a cosine.
    weight_decay : float, default=1e-4
        Decay of weights; biases and norms are not decayed.
    max_epochs : int, default=25
        Number of epochs. 0 leaves the encoder as it is.
    schedule : {"auto", "cosine", "staged"} or list of Stage, default="auto"
        "cosine" trains all weights for `max_epochs`. "staged" fine-tunes a pretrained
        encoder, first what is behind it, then its last layers. "auto" stops after the
        first of these where the encoder carries weights, and is "cosine" where not. See
        :ref:`fine_tuning`, also for stages of your own.
    validation_fraction : float, default=0.1
        Share of the classes, in [0, 1), that are held out of training to score each
        epoch by one-shot episodes (64 classes at most). The best weights are kept.
        Below 10 classes none is held out, nor where the share would be less than 5
        classes, which say too little: by default, below 41.
    early_stopping : bool or int, default=False
        Stop after so many epochs without a better score on the validation classes;
        True is 10, False never. The learning rate has then not fallen all the way.
    augment : {"characters", "photos"}, skfsl.augmentation part, torch.nn.Module, \
            callable or list of these, default=None
        Applied to each batch of training samples, float32 (n, d) or (n, c, h, w), on
        the device; a list in its order. Transforms of torchvision are applied image by
        image. See :ref:`augmentation`.
    views : {"shifts", "flips"} or list of callables, default=None
        What is embedded along with a sample; `transform` and `similarity` take the
        mean of all embeddings. "shifts" are the four by one pixel, "flips" is the
        mirror image; a callable gets batches as `augment` does. Training does
        without, and it may be changed after `fit`.
    input_layout : {"auto", "channels_first", "channels_last"}, default="auto"
        Where four-dimensional images have their channels. "auto" takes the one axis
        of size 1, 3 or 4.
    image_size : int or (int, int), default=None
        Side, or height and width, of the images that files are made into. None is
        what the encoder names as its own, else 84.
    resize : {"pad", "crop", "squash"}, default="pad"
        How: whole with gray around it, the middle of it, or out of proportion.
    on_error : {"raise", "skip"}, default="raise"
        What files that cannot be read are: an error, or left out of training, with
        rows of NaN for embeddings and a warning.
    cache : str or path-like, default=None
        Folder where decoded files are kept for other calls and processes.
    memory_budget : int, default=2 GiB
        Bytes that decoded files may take in memory; beyond, they stay on disk.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Precision of training. "auto" is bfloat16 autocast for convolutional encoders
        where the processor is fast at it. `transform` computes in float32 unless
        "bfloat16" is asked for by name; its output is float32 always.
    device : str or torch.device, default="auto"
        "auto" is "cuda" where there is one, else "mps", else "cpu".
    callbacks : list of skorch callbacks, default=None
        Called while training. An LRScheduler among them takes the place of the
        cosine.
    checkpoint : str or path-like, default=None
        Folder to store the training in, epoch by epoch: one that was stopped goes on
        when `fit` is called again with the same arguments.
    warm_start : bool, default=False
        Whether `fit` goes on from the weights of the last `fit`.
    random_state : int, RandomState instance or None, default=None
        Governs the initial weights, the batches, the augmentation and the held-out
        classes. An int gives the same embeddings to the last bit for the same
        versions, device, precision and number of threads. None draws one seed from
        NumPy's global generator, which is the only use made of it.
    verbose : int, default=0
        1 prints a line an epoch, and how far the reading of files has come.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        All classes seen by `fit`, sorted.
    validation_classes_ : ndarray
        The classes among them that the metric was not trained on; all of them with
        ``max_epochs=0``.
    embedding_dim_ : int
        Number of components of an embedding, as the head gets it.
    metric_ : str or None
        The metric that `transform`'s output is to be compared by; None where the
        head cannot be folded into a plain metric.
    head_ : object
        The head that scores pairs.
    history_ : list of dict
        One a trained epoch, those of `partial_fit` behind those of `fit`: "epoch",
        "train_loss", "valid_accuracy" (where classes were held out), "lr" and "dur"
        in seconds; of stages "stage", and as epoch 0 what they started from, with
        "kept": whether no epoch beat it.
    fit_id_ : str
        Changes when the weights do, or what compares embeddings.
    device_ : torch.device
        Where it was trained and embeds.
    net_ : skorch.NeuralNet
        The trained net; ``net_.module_`` is the network.
    input_shape_ : tuple of int
        Shape of a sample: (d,) or (c, h, w).
    n_features_in_ : int
        Number of columns of the table seen by `fit`; only for tables.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, where all are strings.

    See Also
    --------
    PrototypeClassifier : Nearest prototype in the embedding, extended at once.
    FewShotPipeline : Joins the two.

    Notes
    -----
    X may be a table (n, d) or images (n, h, w), (n, c, h, w) or (n, h, w, c), NumPy
    or torch. Images of bytes are scaled by 1/255, floats are taken as they are. Or X
    is paths of image files, see :ref:`files`.

    With the weights a 64-bit hash of each sample that they were trained on is kept,
    and pickled, so that a scorer can tell if it is given one of these.

    ``memory=`` of a Pipeline does not recognise an encoder passed as a module: its
    hash changes. Pass encoders by name, or wrap the fitted transformer in
    :class:`sklearn.frozen.FrozenEstimator`.

    References
    ----------
    .. [1] G. Koch, R. Zemel, R. Salakhutdinov, "Siamese neural networks for one-shot
       image recognition", ICML deep learning workshop, 2015.
    .. [2] J. Snell, K. Swersky, R. Zemel, "Prototypical networks for few-shot
       learning", NeurIPS, 2017.
    .. [3] D. Wertheimer, B. Hariharan, "Few-shot learning with localization in
       realistic settings", CVPR, 2019.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from skfsl import SiameseTransformer
    >>> X, y = load_iris(return_X_y=True)
    >>> siamese = SiameseTransformer(max_epochs=3, random_state=0).fit(X, y)
    >>> siamese.transform(X).shape
    (150, 64)
    >>> siamese.metric_
    'euclidean'
    """

    _doc_link_module = "skfsl"
    _doc_link_template = (
        "https://skfsl.readthedocs.io/en/stable/generated/"
        "{estimator_module}.{estimator_name}.html"
    )

    _parameter_constraints: dict = CONSTRAINTS

    def __init__(
        self, encoder="auto", *, weights="auto", embedding_dim=None,
        head="euclidean", loss="prototypical", sampler="class_balanced",
        optimizer="adamw", lr=2e-3, weight_decay=1e-4, max_epochs=25, schedule="auto",
        validation_fraction=0.1, early_stopping=False, augment=None, views=None,
        input_layout="auto", image_size=None, resize="pad", on_error="raise",
        cache=None, memory_budget=2 * 1024**3, precision="auto", device="auto",
        callbacks=None, checkpoint=None, warm_start=False, random_state=None, verbose=0,
    ):  # fmt: skip
        self.encoder = encoder
        self.weights = weights
        self.embedding_dim = embedding_dim
        self.head = head
        self.loss = loss
        self.sampler = sampler
        self.optimizer = optimizer
        self.lr = lr
        self.weight_decay = weight_decay
        self.max_epochs = max_epochs
        self.schedule = schedule
        self.validation_fraction = validation_fraction
        self.early_stopping = early_stopping
        self.augment = augment
        self.views = views
        self.input_layout = input_layout
        self.image_size = image_size
        self.resize = resize
        self.on_error = on_error
        self.cache = cache
        self.memory_budget = memory_budget
        self.precision = precision
        self.device = device
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def set_params(self, **params):
        """Set parameters; a part given by name takes nested ones as well.

        Parameters
        ----------
        **params : dict
            Parameters, e.g. ``loss="contrastive"`` or ``loss__margin=0.5``. The
            latter puts the part that the name stands for in place of the name.

        Returns
        -------
        self : SiameseTransformer
            This estimator.
        """
        return super().set_params(**set_plain(self, super().set_params, params))

    # Groups that are routed to splitters and scorers are mostly others, of samples.
    __metadata_request__fit = {"groups": False}
    __metadata_request__partial_fit = {"groups": False}

    @with_callbacks
    def fit(self, X, y, groups=None):
        """Learn the metric.

        Parameters
        ----------
        X : array-like or Tensor
            Table (n, d), images (n, h, w), (n, c, h, w) or (n, h, w, c), or paths.
        y : array-like of shape (n,)
            Class labels: integers or strings; at least two classes, of which one has
            two samples.
        groups : array-like of shape (n,), default=None
            What the classes belong to: an alphabet, a genus, a family of products;
            all samples of a class are of one group. A sampler with `group_share`
            draws classes by them. Metadata routing leaves them out unless
            ``set_fit_request(groups=True)`` asks for them.

        Returns
        -------
        self : SiameseTransformer
            Fitted. When an error is raised, the estimator is as it was before.
        """
        go_on = self.warm_start and hasattr(self, "net_")
        module = self.net_.module_ if go_on else None
        return learn(self, X, y, reset=True, module=module, groups=groups)

    @with_callbacks
    def partial_fit(self, X, y, groups=None):
        """Go on training with new data, from the weights there are.

        Parameters
        ----------
        X : array-like or Tensor
            Samples of the kind, size and channels of those of `fit`.
        y : array-like of shape (n,)
            Class labels; they may be new ones.
        groups : array-like of shape (n,), default=None
            As in `fit`.

        Returns
        -------
        self : SiameseTransformer
            Trained for `max_epochs` more on X; unfitted, this is `fit`. When an error
            is raised, the estimator is as it was before.
        """
        module = self.net_.module_ if hasattr(self, "net_") else None
        return learn(self, X, y, reset=module is None, module=module, groups=groups)

    def transform(self, X):
        """Embed samples.

        Parameters
        ----------
        X : array-like or Tensor
            Samples of the kind, size and channels of those of `fit`.

        Returns
        -------
        embeddings : ndarray of shape (n_samples, embedding_dim_)
            float32, with `rank` columns behind a head of low rank. Compared by
            `metric_`, they are compared by the learned metric; where that is None,
            `similarity` and `get_metric` do so.
        """
        return self._folded(X)

    def fit_transform(self, X, y=None, **fit_params):
        """Learn the metric and embed the same samples.

        Parameters
        ----------
        X : array-like or Tensor
            As in `fit`.
        y : array-like of shape (n,)
            As in `fit`.
        **fit_params : dict
            `groups`, as in `fit`.

        Returns
        -------
        embeddings : ndarray of shape (n_samples, embedding_dim_)
            As of `transform`.
        """
        # Its `fit` has named the files that cannot be read.
        return self.fit(X, y, **fit_params)._folded(X, tell=False)

    def _folded(self, X, *, tell=True):
        snapshot = shadow(self, fitted=True)
        embeddings = snapshot._embed(X, tell=tell)  # tells whether it is fitted, first
        return fold(snapshot.head_, embeddings, snapshot.device_)

    def _embed(self, X, *, tell=True):
        check_is_fitted(self, "net_")
        dtype = torch.bfloat16 if self.precision == "bfloat16" else torch.float32

        def embedded(samples):
            views = check_views(self.views, samples.shape[1:])
            return embed(self.net_.module_, samples, self.device_, dtype, views)

        return torch.as_tensor(apply_to_samples(self, X, embedded, tell=tell))

    def _trained_on(self, X):
        """Tell which samples the weights were trained on: bool, (n_samples,)."""
        snapshot = shadow(self, fitted=True)
        check_is_fitted(snapshot, "net_")
        trained = snapshot.net_.module_.trained_hashes
        return apply_to_samples(
            snapshot, X, lambda s: np.isin(hash_samples(s), trained), tell=False
        )

    def __getstate__(self):
        state = super().__getstate__().copy()
        if "net_" in state and state["device_"].type != "cpu":
            net = state["net_"].on_cpu()
            state["net_"], state["head_"] = net, net.module_.head
        return state

    def __setstate__(self, state):
        super().__setstate__(state)
        if "net_" not in state:
            return
        try:
            device = resolve_device(self.device)
        except ValueError:
            warnings.warn(
                f"Trained with device={self.device!r}, which is not on this machine. "
                f"Embedding on the CPU.",
                stacklevel=2,
            )
            device = torch.device("cpu")
        self.device_ = device
        self.net_.module_.to(device)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.input_tags.three_d_array = True
        return tags
