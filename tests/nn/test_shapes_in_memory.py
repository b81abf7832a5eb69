"""What programs written for PyTorch do between layers: look at a convolution's result flat, change a result in place."""

import numpy as np
import pytest

import mlkit
from mlkit import nn


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(3, 4, 3)])
def test_the_result_of_a_convolution_can_be_viewed_flat(layer):
    out = layer(mlkit.randn(2, 3, 8, 8))
    wanted = out.detach().numpy().copy()
    flat = out.view(2, -1)
    np.testing.assert_array_equal(flat.detach().numpy(), wanted.reshape(2, -1))
    with mlkit.no_grad():
        flat[0, 0] = 5.0
    assert out[0, 0, 0, 0].item() == 5.0  # it is a view


def test_a_permuted_tensor_still_cannot():
    with pytest.raises(RuntimeError, match="reshape"):
        mlkit.zeros(2, 3, 4, 5).permute(0, 2, 3, 1).view(-1)


@pytest.mark.parametrize("norm", [nn.BatchNorm2d(3), nn.InstanceNorm2d(3), nn.MaxPool2d(2)])
@pytest.mark.parametrize("activation", [nn.ReLU, nn.LeakyReLU])
def test_an_activation_in_place_after_a_layer(norm, activation):
    x = mlkit.randn(2, 3, 6, 6)
    grads = []
    for inplace in (False, True):
        leaf = x.clone().requires_grad_()
        activation(inplace=inplace)(norm(leaf)).square().sum().backward()
        grads.append(leaf.grad.numpy())
    np.testing.assert_allclose(grads[1], grads[0], rtol=1e-6)
