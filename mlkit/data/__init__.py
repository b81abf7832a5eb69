"""Data: datasets, samplers, batches from worker processes; files, image transforms, and data sets to begin with."""

import importlib
from typing import TYPE_CHECKING, Any

from mlkit.data.balanced import GroupBatchSampler, StratifiedBatchSampler, group_split, stratified_split
from mlkit.data.collate import default_collate, default_convert
from mlkit.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from mlkit.data.distributed import DistributedSampler
from mlkit.data.handwriting import digits, handwritten_digits, mnist
from mlkit.data.idx import read_idx
from mlkit.data.images import LabelledImages
from mlkit.data.loader import DataLoader
from mlkit.data.network import cache_folder, download
from mlkit.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from mlkit.data.worker import get_worker_info

if TYPE_CHECKING:
    from mlkit.data import datasets, transforms
    from mlkit.data.array_files import ArrayFiles
    from mlkit.data.folders import DatasetFolder, ImageFolder
    from mlkit.data.hugging_face import HuggingFaceDataset
    from mlkit.data.tables import CsvDataset, CsvStream
    from mlkit.data.text_lines import TextLines, TextStream

#: What is loaded on first use: name: module.
_LAZY = {
    "ArrayFiles": "array_files",
    "CsvDataset": "tables",
    "CsvStream": "tables",
    "DatasetFolder": "folders",
    "HuggingFaceDataset": "hugging_face",
    "ImageFolder": "folders",
    "TextLines": "text_lines",
    "TextStream": "text_lines",
    "datasets": None,
    "transforms": None,
}

__all__ = [
    "ArrayFiles",
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "CsvDataset",
    "CsvStream",
    "DataLoader",
    "Dataset",
    "DatasetFolder",
    "DistributedSampler",
    "GroupBatchSampler",
    "HuggingFaceDataset",
    "ImageFolder",
    "IterableDataset",
    "LabelledImages",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "StratifiedBatchSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "TextLines",
    "TextStream",
    "WeightedRandomSampler",
    "cache_folder",
    "datasets",
    "default_collate",
    "default_convert",
    "digits",
    "download",
    "get_worker_info",
    "group_split",
    "handwritten_digits",
    "mnist",
    "random_split",
    "read_idx",
    "stratified_split",
    "transforms",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _LAZY[name]
    module = importlib.import_module(f"mlkit.data.{home or name}")
    value = module if home is None else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
