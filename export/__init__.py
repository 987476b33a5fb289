"""Training, evaluation and ONNX export of the models that the worker serves."""
