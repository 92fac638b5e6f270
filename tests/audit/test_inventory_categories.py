"""Which packages are of machine learning, which of GPUs."""

import pytest

from tradewind.audit.inventory.categories import category_of


@pytest.mark.parametrize(
    ("manager", "name", "category"),
    [
        ("pip", "scikit-learn", "ML"),
        ("pip", "torch", "ML"),
        ("pip", "torch-tensorrt", "GPU"),
        ("pip", "nvidia-cudnn-cu12", "GPU"),
        ("pip", "triton", "GPU"),
        ("pip", "requests", "generic"),
        ("apt", "libcudnn9-cuda-12", "GPU"),
        ("apt", "libopenblas0", "ML"),
        ("apt", "python3-numpy", "ML"),
        ("apt", "python3", "generic"),
        ("apt", "libc6", "generic"),
        ("conda", "pytorch", "ML"),
        ("conda", "cudatoolkit", "GPU"),
        ("conda", "openssl", "generic"),
    ],
)
def test_categories(manager, name, category):
    assert category_of(manager, name) == category
