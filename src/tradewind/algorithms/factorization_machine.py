"""Factorization machines, for values and for two classes: both faces, and the model.

Factorization Machines (Rendle, ICDM 2010; libFM, ACM TIST 2012).
"""

from __future__ import annotations

from tradewind.algorithms.factorization.estimators import (
    FactorizationMachineClassifier,
    FactorizationMachineRegressor,
)
from tradewind.algorithms.factorization.model import FactorizationModel

__all__ = ["FactorizationMachineClassifier", "FactorizationMachineRegressor", "FactorizationModel"]
