"""Tables in CSV files: read whole, or streamed in pieces where they are larger than memory. Needs pandas."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from mlkit.core.errors import DataError, MissingFeature
from mlkit.data import arrays
from mlkit.data.dataset import IterableDataset, TensorDataset
from mlkit.data.streams import numpy_generator
from mlkit.data.worker import get_worker_info

__all__ = ["CsvDataset", "CsvStream"]


class CsvDataset(TensorDataset):
    """A CSV file in memory: sample `i` is (features float32 [columns], target []) of row `i`; without a target, features.

    Columns of numbers and of truth values are taken as they are. Texts in the target column become numbers of classes,
    in the order of their sorted names (`classes`); in a feature column they are an error that says what to do, or, with
    ``texts="one-hot"``, a column of zeros and ones for each text.

    Args:
        path: The file; compressed ones (.gz, .zip, .xz) are read too. Or a table that is there already, as a
            `pandas.DataFrame`.
        target: The column to predict.
        columns: The feature columns, in this order; by default all others.
        dtype: Of the features.
        missing: What to do with empty feature cells: "error", "drop" their rows, put the column's "mean" (of a text
            column: nothing in any of its columns), or a number to put there.
        texts: What to do with feature columns of texts: "error" or "one-hot".
        read_options: More arguments for `pandas.read_csv`, such as ``sep=";"``.

    Raises:
        DataError: The file is missing or empty, a column is missing, a row has more cells than the header, or a cell is
            no number.
        MissingFeature: pandas is not installed.

    >>> import tempfile
    >>> path = tempfile.mkdtemp() + "/flowers.csv"
    >>> with open(path, "w") as file:
    ...     _ = file.write("width,length,kind\\n1,2,rose\\n3,4,tulip\\n5,6,rose\\n")
    >>> dataset = CsvDataset(path, target="kind")
    >>> dataset, dataset.classes
    (CsvDataset(3 rows: width, length -> kind), ['rose', 'tulip'])
    >>> dataset[1]
    (tensor([3., 4.]), tensor(1))
    >>> CsvDataset(path, target="length", texts="one-hot").columns
    ['width', 'kind=rose', 'kind=tulip']
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Any,
        target: str | None = None,
        columns: Sequence[str] | None = None,
        dtype: Any = np.float32,
        missing: str | float = "error",
        texts: str = "error",
        **read_options: Any,
    ) -> None:
        if isinstance(missing, str) and missing not in ("error", "drop", "mean"):
            raise DataError(f'missing is "error", "drop", "mean" or a number, not {missing!r}.')
        if texts not in ("error", "one-hot"):
            raise DataError(f'texts is "error" or "one-hot", not {texts!r}.')
        frame = path if isinstance(path, _pandas().DataFrame) else _read(path, **read_options)
        path = "the table" if frame is path else path
        if not len(frame):
            raise DataError(f"{path} has no rows.", details=f"columns: {', '.join(map(str, frame.columns))}")
        self.path = os.fspath(path)
        self.target = target
        self.columns = _columns(frame, path, target, columns)
        frame, self.columns = _filled(frame, path, self.columns, target, missing, texts)
        self.classes: list[str] | None = None
        parts = [_features(frame, path, self.columns, dtype, 2)]
        if target is not None:
            values, self.classes = _targets(frame[target], path, None, 2)
            parts.append(values)
        super().__init__(*parts)

    def __getitem__(self, index: Any) -> Any:
        sample = super().__getitem__(index)
        return sample if self.target is not None else sample[0]

    def take(self, indices: np.ndarray) -> Any:
        batch = super().take(indices)
        return batch if self.target is not None else batch[0]

    def __repr__(self) -> str:
        return f"CsvDataset({len(self):,} rows: {_listed(self.columns, self.target)})"


class CsvStream(IterableDataset):
    """Rows of CSV files as a stream, read in pieces: for files larger than memory.

    Samples are those of `CsvDataset`. With several workers each takes every so-many-th piece.

    Args:
        files: One path or several, of the same columns.
        target: The column to predict.
        columns: The feature columns; by default all others.
        dtype: Of the features.
        classes: The target's texts, in order; needed where the target column holds texts, for a stream is not known
            before its end.
        chunk_rows: Rows in a piece.
        shuffle_rows: Give a piece's rows in random order.
        read_options: More arguments for `pandas.read_csv`.
    """

    def __init__(
        self,
        files: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        target: str | None = None,
        columns: Sequence[str] | None = None,
        dtype: Any = np.float32,
        classes: Sequence[str] | None = None,
        chunk_rows: int = 10_000,
        shuffle_rows: bool = False,
        **read_options: Any,
    ) -> None:
        several = [files] if isinstance(files, (str, os.PathLike)) else list(files)
        if not several or chunk_rows < 1:
            raise DataError("CsvStream needs at least one file, and chunk_rows of at least 1.")
        self.files = [os.fspath(file) for file in several]
        head = _read(self.files[0], **{**read_options, "nrows": 100})
        self.target = target
        self.columns = _columns(head, self.files[0], target, columns)
        self.dtype = dtype
        self.classes = None if classes is None else list(classes)
        self.chunk_rows = chunk_rows
        self.shuffle_rows = shuffle_rows
        self.read_options = read_options
        if target is not None and self.classes is None and _is_text(head[target]):
            raise DataError(
                f"CsvStream: the target column {target!r} of {self.files[0]} holds texts.",
                hint="Give classes=[...], all texts that may come, in order.",
            )

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        mine, step = (0, 1) if info is None else (info.id, info.num_workers)
        piece = 0
        for path in self.files:
            row = 2  # as an editor counts lines, the header being the first
            for frame in _pieces(path, self.chunk_rows, self.read_options):
                if piece % step == mine:
                    yield from self._samples(frame, path, row)
                piece += 1
                row += len(frame)

    def _samples(self, frame: Any, path: str, row: int) -> Iterator[Any]:
        _columns(frame, path, self.target, self.columns)
        features = arrays.from_numpy(_features(frame, path, self.columns, self.dtype, row))
        order = numpy_generator(len(frame)).permutation(len(frame)) if self.shuffle_rows else range(len(frame))
        if self.target is None:
            for i in order:
                yield features[int(i)]
            return
        targets = arrays.from_numpy(_targets(frame[self.target], path, self.classes, row)[0])
        for i in order:
            yield features[int(i)], targets[int(i)]

    def __repr__(self) -> str:
        return f"CsvStream({len(self.files)} files: {_listed(self.columns, self.target)})"


def _listed(columns: Sequence[str], target: str | None) -> str:
    shown = ", ".join(columns[:6]) + (f", ... ({len(columns)} columns)" if len(columns) > 6 else "")
    return shown if target is None else f"{shown} -> {target}"


def _pandas() -> Any:
    try:
        import pandas
    except ImportError as error:
        raise MissingFeature(
            "CSV files need the package pandas, which is not installed.",
            hint='Install it: pip install "mlkit[data]" (or pip install pandas).',
        ) from error
    return pandas


def _read(path: Any, **options: Any) -> Any:
    pandas = _pandas()
    try:
        with warnings.catch_warnings():
            # rows with more cells than the header would silently lose some of them
            warnings.simplefilter("error", pandas.errors.ParserWarning)
            return pandas.read_csv(path, **{"index_col": False, "skipinitialspace": True, **options})
    except Exception as error:
        raise _explained(error, path, pandas) from error


def _pieces(path: str, rows: int, options: dict[str, Any]) -> Iterator[Any]:
    reader = _read(path, **{**options, "chunksize": rows})
    with reader:
        while True:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("error", _pandas().errors.ParserWarning)
                    frame = next(reader)
            except StopIteration:
                return
            except Exception as error:
                raise _explained(error, path, _pandas()) from error
            yield frame


def _explained(error: Exception, path: Any, pandas: Any) -> Exception:
    if isinstance(error, FileNotFoundError):
        return DataError(f"There is no file {path}.", hint="Check the path for a typing error.")
    if isinstance(error, pandas.errors.EmptyDataError):
        return DataError(f"{path} is empty.", hint="Its first line must name the columns.")
    if isinstance(error, (pandas.errors.ParserError, pandas.errors.ParserWarning)):
        return DataError(
            f"{path} has rows of different length.",
            details=str(error).strip(),
            hint="Each row must have as many cells as the first line. Is the separator right? Try sep=';'. Texts with "
            "commas in them need quotes.",
        )
    if isinstance(error, UnicodeDecodeError):
        return DataError(f"{path} is not in UTF-8.", details=str(error), hint='Give encoding="latin-1" or another.')
    if isinstance(error, OSError):
        return DataError(f"{path} cannot be read: {error.strerror or error}.")
    return error


def _columns(frame: Any, path: Any, target: str | None, columns: Sequence[str] | None) -> list[str]:
    there = [str(name) for name in frame.columns]
    wanted = [name for name in there if name != target] if columns is None else list(columns)
    for name in [*wanted, *([target] if target is not None else [])]:
        if name not in there:
            import difflib

            near = difflib.get_close_matches(str(name), there, 1, 0.5)
            raise DataError(
                f"{path} has no column {name!r}.",
                details=f"columns: {', '.join(there[:30])}" + (", ..." if len(there) > 30 else ""),
                hint=f"Do you mean {near[0]!r}?" if near and len(there) > 1 else "Is the separator right? Try sep=';'.",
            )
    if not wanted:
        raise DataError(f"{path} has no column but the target {target!r}.")
    return wanted


def _is_text(column: Any) -> bool:
    return not (_pandas().api.types.is_numeric_dtype(column) or _pandas().api.types.is_bool_dtype(column))


def _filled(
    frame: Any, path: Any, columns: list[str], target: str | None, missing: str | float, texts: str
) -> tuple[Any, list[str]]:
    """The table with its empty feature cells and text columns treated as asked, and its feature columns."""
    pandas = _pandas()
    if missing == "drop":
        frame = frame.dropna(subset=columns)
        if not len(frame):
            raise DataError(f"{path} has an empty cell in every row: missing='drop' leaves nothing.")
    worded = [name for name in columns if _is_text(frame[name])] if texts == "one-hot" else []
    made: dict[str, Any] = {}
    for name in columns:
        column = frame[name]
        if name in worded:
            if missing == "error":
                _no_gaps(column, path, 2)
            for text in sorted(set(column.dropna().astype(str))):
                made[f"{name}={text}"] = (column.astype(str) == text) & column.notna()
        elif missing not in ("error", "drop") and column.isna().any() and not _is_text(column):
            made[name] = column.fillna(column.mean() if missing == "mean" else missing)
        else:
            made[name] = column
    if target is not None:
        made[target] = frame[target]
    return pandas.DataFrame(made), [name for name in made if name != target]


def _no_gaps(column: Any, path: Any, first_row: int) -> None:
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        raise DataError(
            f"{path}: {len(missing)} cells of the column {column.name!r} are empty.",
            details=f"the first is in line {missing[0] + first_row}",
            hint='Fill them with missing="mean" or a number, leave these rows out with missing="drop", or the column with '
            "columns=[...].",
        )


def _features(frame: Any, path: Any, columns: list[str], dtype: Any, first_row: int) -> np.ndarray:
    for name in columns:
        column = frame[name]
        if _is_text(column):
            numbers = _pandas().to_numeric(column, errors="coerce")
            bad = np.flatnonzero(numbers.isna().to_numpy() & column.notna().to_numpy())
            if len(bad):
                raise DataError(
                    f"{path}: the column {name!r} holds something else than numbers.",
                    details=f"line {bad[0] + first_row}: {column.iloc[bad[0]]!r}",
                    hint='Leave it out with columns=[...], or make a column for each text with texts="one-hot".',
                )
        _no_gaps(column, path, first_row)
    return np.ascontiguousarray(frame[columns].to_numpy(dtype=dtype))


def _targets(column: Any, path: Any, classes: list[str] | None, first_row: int) -> tuple[np.ndarray, list[str] | None]:
    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        raise DataError(
            f"{path}: {len(missing)} cells of the target column {column.name!r} are empty.",
            details=f"the first is in line {missing[0] + first_row}",
        )
    if not _is_text(column) and classes is None:
        values = column.to_numpy()
        return (values.astype(np.float32) if values.dtype.kind == "f" else values.astype(np.int64)), None
    texts = column.astype(str).to_numpy()
    names = sorted(set(texts.tolist())) if classes is None else [str(name) for name in classes]
    numbers = {name: number for number, name in enumerate(names)}
    unknown = [i for i, text in enumerate(texts) if text not in numbers]
    if unknown:
        raise DataError(
            f"{path}: the target column {column.name!r} holds {texts[unknown[0]]!r}, which is none of the classes.",
            details=f"line {unknown[0] + first_row}\nclasses: {', '.join(names[:20])}",
        )
    return np.array([numbers[text] for text in texts], np.int64), names
