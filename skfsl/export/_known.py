"""The classes that a file may name: this table, and nothing else."""

from importlib import import_module

__all__ = ["class_called", "name_of"]

# room -> the names of classes in it. Their files are named by no file that is read.
_CLASSES = {
    "skfsl.augmentation": "ColorJitter RandomAffine RandomCrop RandomErasing "
    "RandomFlip",
    "skfsl.encoders": "Conv4 ConvNet Darknet KochNet MLP ResNet ResNet12 "
    "TorchvisionBackbone",
    "skfsl.heads": "CosineHead DenseSigmoidHead EuclideanHead LearnedNormsHead "
    "MahalanobisHead MixedNormsHead",
    "skfsl.losses": "ArcFaceLoss BinaryCrossEntropyLoss ClassConsistencyLoss "
    "ContrastiveLoss CosFaceLoss MeanScoreLoss MultiSimilarityLoss NCALoss NPairLoss "
    "NormalizedSoftmaxLoss PrototypicalLoss ProxyAnchorLoss SupConLoss TripletLoss",
    "skfsl.samplers": "BalancedPairsSampler ClassBalancedSampler EpisodeSampler "
    "HardPairsSampler ProductPairsSampler RandomPairsSampler",
    "skfsl.siamese": "SiameseTransformer Stage",
    "skfsl.support": "Calibration ClassSums KNeighborsClassifier Labels NeighborSet "
    "PrototypeClassifier PrototypeSet Rows SampleIds",
    "skfsl.pipeline": "Enrolled FewShotPipeline SiameseClassifier",
    "sklearn.frozen": "FrozenEstimator",
    "sklearn.pipeline": "Pipeline",
}
_ROOM = {name: room for room, names in _CLASSES.items() for name in names.split()}


def name_of(cls: type) -> str | None:
    """Return what a class is called in a file; None where a file cannot hold it."""
    room = _ROOM.get(cls.__name__)
    known = room is not None and cls.__module__.startswith(room)
    return cls.__name__ if known and class_called(cls.__name__) is cls else None


def class_called(name: str) -> type:
    """Return the class that a file names.

    Raises
    ------
    ValueError
        If it is not in the table.
    """
    if name not in _ROOM:
        raise ValueError(
            f"The file names a class {name!r}, which this version of skfsl does not "
            f"know. It was written by a newer one: update skfsl."
        )
    return getattr(import_module(_ROOM[name]), name)
