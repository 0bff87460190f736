import pytest
from s3_server import S3Server

from .faults import label_through_faults


@pytest.mark.ray
@pytest.mark.s3
@pytest.mark.slow
@pytest.mark.timeout(700)
def test_five_percent_of_every_fault_change_nothing(s3_server: S3Server) -> None:
    found = label_through_faults(seed=0, server=s3_server)
    assert found["problems"] == []
    assert sum(found["planted"].values()) > 0.2 * found["num_requests"]
