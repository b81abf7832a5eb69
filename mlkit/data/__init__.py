"""Data: datasets, batches, and handwritten digits to begin with."""

from mlkit.data.collate import default_collate
from mlkit.data.dataset import ConcatDataset, Dataset, IterableDataset, Subset, TensorDataset, random_split
from mlkit.data.handwriting import digits, handwritten_digits, mnist
from mlkit.data.idx import read_idx
from mlkit.data.images import LabelledImages
from mlkit.data.loader import DataLoader
from mlkit.data.network import cache_folder, download
from mlkit.data.sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
from mlkit.data.worker import get_worker_info

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "LabelledImages",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "TensorDataset",
    "cache_folder",
    "default_collate",
    "digits",
    "download",
    "get_worker_info",
    "handwritten_digits",
    "mnist",
    "random_split",
    "read_idx",
]
