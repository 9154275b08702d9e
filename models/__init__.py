"""Networks, losses and metrics: tensors only, no disk, no devices, no terminal."""

from models.blocks import count_parameters
from models.folding import fold_batch_norm
from models.prediction import IMAGE_MEAN, IMAGE_STD, Prediction, normalize, normalize_levels
from models.probability import ProbabilityNetwork
from models.registry import MODELS, ModelSpec, boundary_temperature, build_model

__all__ = [
    "IMAGE_MEAN",
    "IMAGE_STD",
    "MODELS",
    "ModelSpec",
    "Prediction",
    "ProbabilityNetwork",
    "boundary_temperature",
    "build_model",
    "count_parameters",
    "fold_batch_norm",
    "normalize",
    "normalize_levels",
]
