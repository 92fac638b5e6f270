"""What the tests of forecasts share."""

import importlib

import pytest


@pytest.fixture(scope="session")
def made_up():
    """The module of made-up histories."""
    return importlib.import_module("made_up_histories")


@pytest.fixture(scope="session")
def priced(made_up):
    """A made-up market with prices."""
    return made_up.priced()


@pytest.fixture(scope="session")
def counted(made_up):
    """A made-up market with counts alone."""
    return made_up.counted()
