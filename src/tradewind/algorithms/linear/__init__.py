"""Linear models: losses, scaling, packs of models, kernels, calibration, and what is made of them."""
