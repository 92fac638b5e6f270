"""Artefacts opened as models that answer: ONNX, our own, scikit-learn's, PyTorch's, a user's class."""
