"""What joins a learned metric and a support set into one estimator."""

from skfsl.pipeline._enrolled import Enrolled as Enrolled
from skfsl.pipeline._few_shot import FewShotPipeline
from skfsl.pipeline._make import make_few_shot_pipeline
from skfsl.pipeline._siamese_classifier import SiameseClassifier
from skfsl.pipeline._steps import flat as flat

__all__ = ["FewShotPipeline", "SiameseClassifier", "make_few_shot_pipeline"]
