"""What joins a learned metric and a support set into one estimator."""

from skfsl.pipeline._few_shot import FewShotPipeline
from skfsl.pipeline._make import make_few_shot_pipeline

__all__ = ["FewShotPipeline", "make_few_shot_pipeline"]
