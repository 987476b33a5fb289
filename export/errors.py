"""The exceptions of training, evaluation and export.

ExportError
├── DatasetError        a folder, table or image set cannot be trained or evaluated on
├── DeviceUnavailable   the device asked for is not on this machine
├── WeightsError        a weights file is missing, damaged or of another network
├── RunFolderError      a run folder exists already, or is of another run than the one resumed
├── LossNotFinite       a loss became NaN or infinite
├── ParityError         an exported graph gives other numbers than its network
├── PartError           a Part is missing, damaged, or cannot be made as asked
├── PartsDoNotFit       Parts that cannot stand in one bundle
├── TagsError           a set of tags cannot be made or changed as asked
├── EncoderError        an ONNX file cannot serve as an image encoder
└── RenderError         a renderer failed: its browser drew nothing, or a page ran over
    ├── MissingFontsError     fonts that it draws with are not installed
    └── MissingBrowserError   Chromium is not installed
"""

from worker.errors import MekikiError


class ExportError(MekikiError):
    """Base of everything that training, evaluation and export raise on purpose."""


class DatasetError(ExportError):
    """The images or labels given cannot be used as asked."""


class DeviceUnavailable(ExportError):
    """The device asked for cannot be used here; nothing falls back to another one."""


class WeightsError(ExportError):
    """Weights do not fit the network that they were given for."""


class RunFolderError(ExportError):
    """The run folder cannot be created or resumed."""


class LossNotFinite(ExportError):
    """A loss became NaN or infinite; the weights after that step are worthless."""

    def __init__(self, term: str, value: float, epoch: int, step: int, advice: str) -> None:
        super().__init__(f"loss {term!r} is {value} at epoch {epoch}, step {step}: {advice}")
        self.term = term
        self.epoch = epoch
        self.step = step


class ParityError(ExportError):
    """The ONNX graph gives other numbers than the network that it was made from; it must not be served."""


class PartError(ExportError):
    """A Part is missing, damaged, or of another shape."""


class TagsError(ExportError):
    """A set of tags cannot be made or changed as asked."""


class PartsDoNotFit(ExportError):
    """These Parts cannot stand in one bundle; the message says which, and why."""


class EncoderError(ExportError):
    """An ONNX file cannot serve as an image encoder as asked."""


class RenderError(ExportError):
    """A renderer gave no image; the message says which part of it failed and what to do."""


class MissingFontsError(RenderError):
    """No font of a kind that a renderer needs is installed; the message names Debian's packages."""


class MissingBrowserError(RenderError):
    """Chromium is not on the path; the message names Debian's package."""
