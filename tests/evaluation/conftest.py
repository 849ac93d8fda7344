import pytest


@pytest.fixture(scope="module", autouse=True)
def small_body(shallow_body):
    """What is tested here is not the body."""
