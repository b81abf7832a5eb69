"""What cuDNN refuses is said once and computed by CuPy; other failures are not hidden."""

import warnings

import pytest

from mlkit.backends.cupy import cudnn
from mlkit.core.errors import DeviceError


@pytest.fixture
def no_gpu_needed(monkeypatch):
    monkeypatch.setattr(cudnn, "handle", lambda xp: (object(), 0))
    monkeypatch.setattr(cudnn, "_local", type("Local", (), {"plans": {}})())


def test_a_refusal_is_said_once(no_gpu_needed):
    def build(to):
        raise RuntimeError("no engine")

    with pytest.warns(UserWarning, match=r"(?s)cuDNN refuses.*no engine.*plain CuPy"):
        assert cudnn.plan(None, ("conv", 1), build)[0] is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cudnn.plan(None, ("conv", 1), build)[0] is None


def test_a_full_gpu_is_no_refusal(no_gpu_needed):
    def build(to):
        raise DeviceError("no room")

    with pytest.raises(DeviceError, match="no room"):
        cudnn.plan(None, ("conv", 2), build)
    assert cudnn._local.plans == {}
