"""`banet export`: weights in, a checked ONNX file for any runtime out."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from torch import Tensor, nn

from models import MODELS, ProbabilityNetwork, fold_batch_norm
from pipelines.checkpoints import Weights, load_weights
from pipelines.errors import BanetError, ConfigError
from pipelines.onnx_engine import open_session, require
from pipelines.onnx_metadata import IMAGE, OnnxInfo
from pipelines.onnx_tracing import trace
from pipelines.progress import Progress, SilentProgress
from pipelines.whole_files import write_atomically

logger = logging.getLogger(__name__)

MAX_DIFFERENCE = 1e-3
"""Most that a probability may differ from torch's, a quarter of a grey level of a mask."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What to export; the options of the command of the same name.

    Attributes:
        weights: Shipped name or .safetensors file.
        out: The .onnx file to write.
        force: Replace `out` if there is one.

    Raises:
        ConfigError: Some values make no sense; all of them are named.
    """

    weights: str
    out: Path
    force: bool = False

    def __post_init__(self) -> None:
        mistakes = []
        if Path(self.weights).suffix.lower() == ".onnx":
            mistakes.append(
                f"WEIGHTS {self.weights}: is exported already; name a .safetensors file"
            )
        if self.out.suffix.lower() != ".onnx":
            mistakes.append(f"OUT {self.out}: use a name that ends in .onnx")
        elif self.out.is_dir():
            mistakes.append(f"OUT {self.out}: is a folder; name a file")
        if mistakes:
            raise ConfigError("; ".join(mistakes))


@dataclass(frozen=True, kw_only=True)
class Verified:
    """How far ONNX Runtime and torch were apart for inputs of one shape."""

    batch: int
    height: int
    width: int
    max_difference: float


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What was exported.

    Attributes:
        weights: Name of the weights, as given.
        sha256: Of the weights file.
        out: The file that was written.
        opset: Version of ONNX's operators that the file states.
        bytes: Its size.
        verified: The shapes at which it was compared with torch.
    """

    weights: str
    sha256: str
    out: Path
    opset: int
    bytes: int
    verified: tuple[Verified, ...]
    seconds: float
    exit_code: int = field(default=0, init=False)

    @property
    def max_difference(self) -> float:
        """The worst difference between two probabilities."""
        return max(result.max_difference for result in self.verified)

    def as_json(self) -> dict[str, object]:
        """Return the JSON summary of the command."""
        return {
            "weights": self.weights,
            "sha256": self.sha256,
            "out": str(self.out),
            "opset": self.opset,
            "bytes": self.bytes,
            "max_difference": self.max_difference,
            "verified": [vars(result) for result in self.verified],
            "seconds": self.seconds,
        }


def export(options: ExportOptions, *, progress: Progress | None = None) -> ExportSummary:
    """Write weights as an ONNX file that takes batches and photos of any size.

    Before there is a file, ONNX Runtime must have computed with it what torch computes with the
    weights.

    Raises:
        ConfigError: An option makes no sense, the file exists, or the extra `onnx` is missing.
        WeightsError: The weights cannot be read.
        BanetError: The network cannot be exported, the export computes something else, or it
            cannot be written.
    """
    started = perf_counter()
    progress = progress or SilentProgress()
    _refuse_existing(options)
    require("onnx", "onnxscript", "onnxruntime")  # torch writes by means of the second
    weights = load_weights(options.weights)
    _warn_of_face_prior(weights)
    with _errors_of(options.out):  # rather now than after the work
        options.out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.out.parent):
            pass
    shapes = verified_shapes(weights.info.size)
    progress.start("exporting", 1 + len(shapes))
    content = export_weights(weights)
    progress.advance()
    verified = []
    for result in verify(content, weights.network, shapes):
        verified.append(result)
        progress.advance()
    _refuse_existing(options)  # somebody else may have been quicker
    with _errors_of(options.out):
        write_atomically(options.out, content)
    progress.finish()
    return ExportSummary(
        weights=weights.name,
        sha256=weights.sha256,
        out=options.out,
        opset=_stated_opset(content),
        bytes=len(content),
        verified=tuple(verified),
        seconds=round(perf_counter() - started, 3),
    )


def export_weights(weights: Weights) -> bytes:
    """Return the content of an ONNX file that holds a network and all that its users must know.

    It takes the photo alone: the position and shape channels of PFCN+ are zero in it.

    Raises:
        BanetError: The network cannot be exported.
    """
    import onnx

    model = trace(ProbabilityNetwork(fold_batch_norm(weights.network)).eval())
    info = OnnxInfo(
        model=weights.info.model,
        weights_sha256=weights.sha256,
        size=weights.info.size,
        face_prior="zero" if MODELS[weights.info.model].face_prior else "none",
        licence=weights.info.licence,
        training=weights.info.training,
    )
    onnx.helper.set_model_props(model, info.as_metadata())
    return model.SerializeToString(deterministic=True)


def verified_shapes(size: int) -> tuple[tuple[int, int, int], ...]:
    """Return the batch sizes, heights and widths to check: small, odd, and as photos are."""
    # The low ones are what long, narrow photos shrink to: their deepest features are one pixel.
    low = ((1, 1, 64), (2, 3, 130))
    return ((1, 64, 64), (3, 97, 65), (2, 33, 130), *low, (1, size, size * 3 // 4))


def verify(
    content: bytes, network: nn.Module, shapes: tuple[tuple[int, int, int], ...]
) -> Iterator[Verified]:
    """Compare what ONNX Runtime and torch make of the same photos, shape by shape.

    Args:
        content: Of the ONNX file.
        network: That was exported, in eval mode, as it was trained: not folded.
        shapes: Batch, height and width of each comparison.

    Raises:
        BanetError: They differ by more than `MAX_DIFFERENCE`.
    """
    session = open_session(content, threads=torch.get_num_threads())
    reference = ProbabilityNetwork(network)
    for batch, height, width in shapes:
        image = _photo_like(batch, height, width)
        with torch.inference_mode():
            expected = [output.numpy() for output in reference(image)]
        found = session.run(None, {IMAGE: image.numpy()})
        pairs = zip(expected, found, strict=True)
        worst = max(float(np.abs(ours - theirs).max()) for ours, theirs in pairs)
        if not worst <= MAX_DIFFERENCE:  # nor may it be no number at all
            raise BanetError(
                f"the exported network differs from torch by {worst:.2g} at {batch} x {height} x "
                f"{width} (at most {MAX_DIFFERENCE:g} is allowed), so that nothing was written; "
                "try the versions of torch and onnxruntime that constraints.txt names"
            )
        yield Verified(batch=batch, height=height, width=width, max_difference=worst)


def _refuse_existing(options: ExportOptions) -> None:
    if options.out.exists() and not options.force:
        raise ConfigError(f"OUT {options.out}: exists already; --force replaces it")


def _warn_of_face_prior(weights: Weights) -> None:
    if MODELS[weights.info.model].face_prior:
        logger.warning(
            "%s: an exported %s takes the photo alone; its position and shape channels are zero",
            weights.name,
            weights.info.model,
        )


def _stated_opset(content: bytes) -> int:
    import onnx

    imports = onnx.load_model_from_string(content).opset_import
    return next(entry.version for entry in imports if entry.domain in {"", "ai.onnx"})


def _photo_like(batch: int, height: int, width: int) -> Tensor:
    """Return smooth colours with some noise, (B, 3, H, W) in [0, 1], the same at each call."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((batch, 3, 5, 4), generator=generator)
    smooth = nn.functional.interpolate(coarse, size=(height, width), mode="bicubic")
    noise = torch.rand((batch, 3, height, width), generator=generator) - 0.5
    return (smooth + 0.2 * noise).clamp(0, 1)


@contextmanager
def _errors_of(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BanetError(
            f"OUT {out}: cannot be written ({error.strerror}); mend the permissions of its folder "
            "or choose another place"
        ) from error
