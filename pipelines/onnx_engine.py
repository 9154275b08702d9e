"""Running exported networks: the only module that knows ONNX Runtime.

It comes with the extra `onnx`, and is imported when it is needed.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pipelines.errors import ConfigError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

_ERRORS_ONLY = 3


def require(*packages: str) -> None:
    """Make sure that packages of the extra `onnx` are there.

    Raises:
        ConfigError: One of them cannot be imported.
    """
    try:
        for package in packages:
            import_module(package)
    except ImportError as error:
        raise ConfigError(
            f"ONNX files need packages that are not installed here ({error}); add them with "
            "pip install 'banet[onnx]'"
        ) from error


def open_session(content: bytes, *, threads: int) -> "InferenceSession":
    """Make a network of an ONNX file's content ready to run on the CPU.

    Args:
        content: Of the file. A file that keeps its numbers in further files is refused.
        threads: That one run may use, the calling one among them. With 1, any number of threads
            may share the session without getting into each other's way.

    Raises:
        ConfigError: ONNX Runtime is not installed.
        Exception: Whatever ONNX Runtime makes of content that is no such file.
    """
    require("onnxruntime")
    import onnxruntime

    onnxruntime.disable_telemetry_events()  # which Windows builds would send
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that wait for work by spinning take the cores from those that decode and encode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
