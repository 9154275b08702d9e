"""What can go wrong, as one tree.

BanetError                  the run cannot go on; its message says what, where and how to mend it
├── ConfigError             an option, a setting or a recipe makes no sense (also a ValueError)
├── InputError              an input of the whole run is missing or unusable
├── StoreError              a zarr dataset is missing, foreign, damaged or of a newer version
├── WeightsError            a weights file is missing, damaged or of another network
├── DeviceError             the requested device is not available
└── LockedError             another run is writing to the same place

PhotoError stands beside the tree: it concerns a single photo or mask, is recorded with it and
never ends a run. Its leaf MissingFileError lets callers tell a file that need not be there from one
that cannot be used, and UnclearMaskError a mask that says nothing from one that cannot be read.
"""


class BanetError(Exception):
    """The run cannot go on."""


class ConfigError(BanetError, ValueError):
    """An option, a setting or a recipe makes no sense."""


class InputError(BanetError):
    """An input of the whole run is missing or unusable."""


class StoreError(BanetError):
    """A zarr dataset is missing, foreign, damaged or of a newer version."""


class WeightsError(BanetError):
    """A weights file is missing, damaged or of another network."""


class DeviceError(BanetError):
    """The requested device is not available."""


class LockedError(BanetError):
    """Another run is writing to the same place."""


class PhotoError(Exception):
    """One photo or mask cannot be used; the message is the reason."""


class OutOfReachError(PhotoError):
    """A file cannot be read now, and nobody knows whether it has changed."""


class MissingFileError(PhotoError):
    """There is no such file."""


class UnclearMaskError(PhotoError):
    """The colours or values of a mask do not say where the person is."""
