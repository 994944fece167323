import httpx
import pytest


@pytest.fixture(scope="module")
def client(deployed):
    # a connection for each request, as the server ends one on which it has refused something
    with httpx.Client(
        base_url=deployed.server.address, trust_env=False, timeout=60, headers={"connection": "close"}
    ) as client:
        yield client
