"""The running program: consumes image uploads, judges them, keeps the index."""

import os

# Since 1.29 ONNX Runtime reports to Microsoft over the network unless this stands before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
