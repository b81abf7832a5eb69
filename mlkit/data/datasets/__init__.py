"""Data sets to begin with: torchvision's names and arguments for images, and points in a plane.

>>> from mlkit.data import datasets
>>> datasets.moons(100)
moons: 100 points in 2 classes
"""

from mlkit.data.datasets.cifar import CIFAR10, CIFAR100
from mlkit.data.datasets.fake import FakeData
from mlkit.data.datasets.mnist import KMNIST, MNIST, Digits, FashionMNIST
from mlkit.data.datasets.toys import LabelledPoints, blobs, circles, moons, spirals
from mlkit.data.datasets.vision import VisionDataset
from mlkit.data.folders import DatasetFolder, ImageFolder
from mlkit.data.handwriting import digits, handwritten_digits, mnist

__all__ = [
    "CIFAR10",
    "CIFAR100",
    "KMNIST",
    "MNIST",
    "DatasetFolder",
    "Digits",
    "FakeData",
    "FashionMNIST",
    "ImageFolder",
    "LabelledPoints",
    "VisionDataset",
    "blobs",
    "circles",
    "digits",
    "handwritten_digits",
    "mnist",
    "moons",
    "spirals",
]
