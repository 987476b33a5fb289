"""Training, evaluation and ONNX export of the models that the worker serves."""

import os

# Since 1.29 ONNX Runtime reports to Microsoft over the network unless this stands before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
