"""`ModelBuilder`: a model that is dragged together from blocks and is always code, always a live module."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlkit import nn
from mlkit.builder import templates
from mlkit.builder.arrange import arrange_document, is_unplaced
from mlkit.builder.blocks import Palette, palette
from mlkit.builder.code import LIBRARIES, write_code
from mlkit.builder.document import Document, ModelGraph
from mlkit.builder.health import Health
from mlkit.builder.history import History
from mlkit.builder.module import build, keep_weights
from mlkit.builder.own import after_every_cell, classes_of_notebook
from mlkit.builder.parse import CodeWarning, read_code, reread
from mlkit.builder.shapes import Known, Repair, Shapes, infer_all_shapes
from mlkit.builder.traced import from_module
from mlkit.builder.training import (
    DEFAULTS,
    Data,
    Objection,
    Sample,
    catalogue,
    check_setting,
    loader_of,
    objections,
    sample_of,
)
from mlkit.core.errors import DataError
from mlkit.train import Run, Trainer, between_steps

__all__ = ["ModelBuilder"]


class ModelBuilder:
    """A model made of blocks: a canvas in the notebook, a live module and a class in Python, all three the same.

    In a notebook the builder shows itself as a canvas: blocks are dragged from a palette and linked, shapes stand on
    every link, and the model is trained and watched there. Everything the canvas does can be done, and seen, from
    Python too.

    Args:
        document: What to begin with: nothing (an empty canvas), the name of a template ("MLP", "CNN", "ResNet block",
            "Transformer block"), the path of a ``name.mlmodel.json``, or a `Document`.
        data: Your data by name, to pick on the canvas: a data set, a loader, or a pair (training, validation) of them.
        blocks: ``nn.Module`` classes of yours that become blocks. Those that a cell of the notebook has defined or
            imported are in the palette by themselves, under "Yours".
        library: Whose names the code imports: "both" (mlkit's, and PyTorch's where there is no mlkit), "mlkit" or
            "torch"; the classes are the same.
        height: Of the canvas in the notebook, in CSS pixels, at least 420.

    Raises:
        DataError: There is no such template, or the file is no model document; nothing in a file is ever run.

    >>> import mlkit
    >>> builder = ModelBuilder("MLP")
    >>> builder
    ModelBuilder of MLP: 5 blocks, 101,770 parameters
    >>> tuple(builder.model(mlkit.zeros(2, 784)).shape)
    (2, 10)
    >>> builder.history.set("linear", "out_features", 32)
    >>> builder.problems
    ['linear_2: linear: the last axis of input and of weight must agree: 32 != 128.']
    """

    def __init__(
        self,
        document: Document | str | Path | None = None,
        *,
        data: Mapping[str, Any] | None = None,
        blocks: Iterable[type] = (),
        library: str = "both",
        height: int = 600,
    ) -> None:
        if library not in LIBRARIES:
            raise DataError(f"library must be {', '.join(map(repr, LIBRARIES))}, got {library!r}.")
        if height < 420:
            raise DataError(f"height must be at least 420 pixels, got {height}.")
        self.types: Palette = palette()
        for cls in blocks:
            self.types.register(cls)
        self.types.notice(classes_of_notebook())
        self.library, self.height = library, height
        self._widget: Any = None
        self.history = self._history(_start(document, self.types))
        self.path: Path | None = _path_of(document)
        self.data: dict[str, Any] = dict(data or {})
        for name in self.data:
            if not isinstance(name, str) or not name:
                raise DataError(f"Data has a name, a text; got {name!r}.")
        self.trainer: Trainer | None = None
        self.run: Run | None = None
        self.health: Health | None = None
        self.code_warnings: list[CodeWarning] = []
        self.variables: dict[str, str] = {}  # what was put into the notebook: the variable's name -> "model", "run"
        self._guard = threading.RLock()
        self._known = Known()
        self._shapes: tuple[Document, dict[str, Shapes]] | None = None
        self._model: nn.Module | None = None
        self._model_of: Any = None
        self._renamed: dict[str, str] = {}
        self._samples: dict[str, tuple[Any, Sample]] = {}
        self._fetching: str | None = None
        self._fetch_trouble: dict[str, str] = {}

    def _history(self, document: Document) -> History:
        history = History(document, self.types)
        history.on_change = self.changed
        return history

    # --- other beginnings --------------------------------------------------------------------------------------------

    @classmethod
    def from_module(cls, module: nn.Module, *inputs: Any, **options: Any) -> ModelBuilder:
        """Open a module as blocks, with its weights.

        Args:
            module: Any module of layers and tensor operations. It runs once, in evaluation mode, without gradients.
            inputs: What it is run on; the first size of the first input is the batch.
            options: As for `ModelBuilder`.

        Raises:
            DataError: It does something that no block does; the message names the module and the operation.

        >>> import mlkit
        >>> opened = ModelBuilder.from_module(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), mlkit.ones(2, 4))
        >>> opened
        ModelBuilder of Sequential: 4 blocks, 15 parameters
        """
        made = cls(None, **options)
        opened = from_module(module, *inputs, types=made.types)
        made.history = made._history(arrange_document(opened.document))
        made._model = opened.build(made.types)
        made._model_of = _meaning(made.document)
        return made

    @classmethod
    def from_code(cls, text: str, **options: Any) -> ModelBuilder:
        """Read classes as blocks; the code is read and never run. Layers that are made and not used are warned of.

        Raises:
            DataError: Something in it cannot be a block; the message names the line and says why.

        >>> ModelBuilder.from_code("model = nn.Sequential(nn.Linear(4, 2), nn.ReLU())").document.name
        'model'
        """
        made = cls(None, **options)
        made.history = made._history(arrange_document(read_code(text, types=made.types)))
        return made

    # --- what it is ----------------------------------------------------------------------------------------------------

    @property
    def document(self) -> Document:
        """The model as data: blocks, links, sub-graphs, notes."""
        return self.history.document

    @document.setter
    def document(self, document: Document) -> None:
        self.history.replace(arrange_document(document))

    @property
    def code(self) -> str:
        """The model as Python: classes a person would write, which run unchanged with mlkit, and with PyTorch where there
        is no mlkit. Setting it reads edited code back into blocks.

        Raises:
            DataError: Something is not linked or not set, and the message says what.
        """
        return self.code_for(self.library)

    @code.setter
    def code(self, text: str) -> None:
        self.read(text)

    def code_for(self, library: str) -> str:
        """The code with the imports of "both", of "mlkit" or of "torch" alone; the classes are the same."""
        return write_code(self.document, library, self.types)

    def read(self, text: str) -> list[CodeWarning]:
        """Take edited code: blocks that were there keep their places, and weights that keep their shapes stay.

        Returns:
            Warnings of what the code has and the model has not.
        """
        told: list[CodeWarning] = []
        new = reread(self.document, text, self.types, told.append)
        if any(is_unplaced(g) for g in new.all_graphs()):
            new = arrange_document(new)
        self.history.replace(new, "Edit code")
        self.code_warnings = told
        self.changed()
        return told

    @property
    def model(self) -> nn.Module:
        """The model as a live module. After an edit it is another object, with all weights that still fit.

        Raises:
            DataError: Something is not linked or not set, and the message says what.
        """
        with self._guard:
            meaning = _meaning(self.document)
            if self._model is None or meaning != self._model_of:
                made = build(self.document, self.types)
                if self._model is not None:
                    with between_steps(self._model):
                        keep_weights(self._model, made, self._renamed)
                    made.train(self._model.training)
                self._model, self._model_of, self._renamed = made, meaning, {}
            return self._model

    def shapes(self) -> dict[str, Shapes]:
        """Shapes, problems and costs of every graph, by its name. Nothing is computed but what has changed."""
        with self._guard:
            document = self.document
            if self._shapes is None or self._shapes[0] is not document:
                self._shapes = (document, infer_all_shapes(document, self.types, self._known))
            return self._shapes[1]

    @property
    def problems(self) -> list[str]:
        """What does not work yet, in words; empty when the model is whole."""
        found = self.shapes()
        return [f"{p.block}: {p.message}" for p in found[self.document.name].problems]

    # --- changing it -----------------------------------------------------------------------------------------------------

    def undo(self) -> str | None:
        """Take the last step back; its name, or None when there is none."""
        return self.history.undo()

    def redo(self) -> str | None:
        """Do the step again that was taken back last."""
        return self.history.redo()

    def rename(self, old: str, new: str, graph: str | None = None) -> None:
        """Give a block another name; its weights stay."""
        self.history.rename(old, new, graph)
        if graph is None or graph == self.document.name:
            self._renamed = {**{k: v for k, v in self._renamed.items() if k != old}, new: self._renamed.get(old, old)}
        self.changed()

    def register(self, cls: type) -> None:
        """Make an ``nn.Module`` class of yours a block of this builder's palette."""
        self.types.register(cls)
        self.changed(palette=True)

    def look_for_classes(self) -> bool:
        """Take ``nn.Module`` classes that the notebook has defined or imported since; whether there were any.

        It happens by itself after every cell while the canvas is shown. A class that was defined afresh is a new one:
        the model is made anew from it, with the weights that fit.
        """
        if not self.types.notice(classes_of_notebook()):
            return False
        with self._guard:
            self._model_of = self._shapes = None
            self.__dict__.pop("_fitting", None)
        self.changed(palette=True)
        return True

    def changed(self, **what: Any) -> None:
        """Show the present state on the canvas; every step of the history does it by itself."""
        if self._widget is not None:
            self._widget.refresh(**what)

    # --- files -----------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path | None = None) -> Path:
        """Write ``name.mlmodel.json``, whole or not at all; by default where it was loaded from or saved to.

        Returns:
            The path, with its ending.
        """
        if path is None:
            path = self.path
        if path is None:
            raise DataError("save: the model has no file yet.", hint='Give a name: builder.save("my-model").')
        self.path = self.document.save(path)
        return self.path

    def load(self, path: str | Path) -> ModelBuilder:
        """Open a ``name.mlmodel.json`` in place of what is here, as a step that can be taken back.

        Raises:
            DataError: The file is no model document; the message names the place in it. Nothing has changed then.
        """
        document = arrange_document(Document.load(path, self.types))
        self.history.replace(document, f"Open {Path(path).name}")
        self.path = Path(path)
        return self

    # --- training --------------------------------------------------------------------------------------------------------

    @property
    def training(self) -> dict[str, Any]:
        """What `train` uses: data, loss, optimizer, lr, epochs, batch_size, and names of variables for the notebook."""
        settings = dict(DEFAULTS)
        known = self.catalogue()
        if self.data:
            settings["data"] = next(iter(self.data))
        for name, value in self.document.training.items():
            with contextlib.suppress(DataError):  # a file may name data that is not on this machine
                settings[name] = check_setting(name, value, known)
        return settings

    def set_training(self, name: str, value: Any) -> None:
        """Set one of them, as a step that can be taken back."""
        self.history.training(name, check_setting(name, value, self.catalogue()))

    def catalogue(self) -> dict[str, Data]:
        """Data that can be picked here."""
        return catalogue(self.data)

    def sample(self) -> Sample:
        """What one example of the picked data looks like."""
        name = self.training["data"]
        picked = self.catalogue()[name]
        return picked.sample if picked.fetch and picked.sample else self._load(name)[1]

    def fetch(self, data: str | None = None) -> None:
        """Bring data to this machine that is not there yet (the picked data, or that of a name); the canvas has a button.

        Raises:
            DataError: It cannot be downloaded; the message says why, and where its files may be put instead.
        """
        name = data or self.training["data"]
        if name not in self.catalogue():
            raise DataError(f"There is no data {name!r}.", f"there is: {', '.join(self.catalogue())}")
        with self._guard:
            bring = self.catalogue()[name].fetch
            if bring is None:
                return
            if self._fetching is not None:
                raise DataError(f"{self._fetching} is being downloaded already.")
            self._fetching = name
            self._fetch_trouble.pop(name, None)
        try:
            self.changed()
            bring()
        except Exception as error:
            self._fetch_trouble[name] = str(error)
            raise
        finally:
            self._fetching = None
            self.changed()

    def _load(self, name: str) -> tuple[Any, Sample]:
        with self._guard:
            if name not in self._samples:
                pair = self.catalogue()[name].make()
                self._samples[name] = (pair, sample_of(pair[0]))
            return self._samples[name]

    def objections(self) -> list[Objection]:
        """What stands between this model and its training; empty when it can begin."""
        settings = self.training
        picked = self.catalogue()[settings["data"]]
        title = picked.words.partition(":")[0]
        if picked.name == self._fetching:
            return [Objection(f"{title} is being downloaded.")]
        if picked.fetch is not None:
            why = self._fetch_trouble.get(picked.name) or f"{title} is not on this machine yet."
            words = f"{'Try again to download' if picked.name in self._fetch_trouble else 'Download'} {title}"
            return [Objection(why, Repair("fetch", words, property="data", value=picked.name))]
        try:
            sample = self.sample()
        except Exception as error:  # the user's data raises what it likes
            return [Objection(f"The data {settings['data']} cannot be read: {error}")]
        return objections(self.document, self.shapes()[self.document.name], sample, settings["loss"])

    def train(self, *, wait: bool = False, **settings: Any) -> Run:
        """Train the model in the background, as the Train button does.

        Args:
            wait: Come back when it is done.
            settings: ``data``, ``loss``, ``optimizer``, ``lr``, ``epochs``, ``batch_size``, ``model_name``,
                ``run_name``: set for this training and kept in the document.

        Returns:
            The run, which is ``builder.run`` too: ``run.pause()``, ``run.stop()``, ``run.history``.

        Raises:
            DataError: The model and the data do not fit; the message says how.

        >>> builder = ModelBuilder("MLP")
        >>> builder.history.set("input", "shape", ["batch", 2])
        >>> builder.history.set("linear", "in_features", 2)
        >>> builder.history.set("linear_2", "out_features", 2)
        >>> run = builder.train(data="moons", epochs=1, wait=True)          # doctest: +SKIP
        """
        for name, value in settings.items():
            self.set_training(name, value)
        if self.run is not None and not self.run.done:
            raise DataError("This builder trains already.", hint="Stop it first: builder.run.stop().")
        wrong = self.objections()
        if wrong:
            hint = wrong[0].repair.words + "." if wrong[0].repair else None
            raise DataError(wrong[0].message, "\n".join(o.message for o in wrong[1:6]) or None, hint)
        chosen = self.training
        (train, valid), _ = self._load(chosen["data"])
        model = self.model
        self.health = Health()
        self.trainer = Trainer(model, loss=chosen["loss"], optimizer=chosen["optimizer"], lr=chosen["lr"],
                               callbacks=[self.health], progress=False, name=self.document.name)  # fmt: skip
        size = chosen["batch_size"]
        self.run = self.trainer.start(loader_of(train, size, True), loader_of(valid, 4 * size, False), chosen["epochs"])
        self._put(chosen)
        self.changed(run=True)
        if wait:
            self.run.wait()
        return self.run

    def _put(self, chosen: dict[str, Any]) -> None:
        """Results become variables of the notebook, under the names that were chosen."""
        try:
            from IPython import get_ipython
        except ImportError:
            return
        shell = get_ipython()
        if shell is None:
            return
        for kind, value in (("model", self._model), ("run", self.run)):
            name = chosen[f"{kind}_name"]
            if name:
                shell.user_ns[name] = value
                self.variables[name] = kind

    # --- showing it --------------------------------------------------------------------------------------------------------

    @property
    def widget(self) -> Any:
        """The canvas, for layouts of ipywidgets; a builder that is displayed shows it by itself.

        Raises:
            ModuleNotFoundError: The notebook parts are not installed; the message says how to install them.
        """
        if self._widget is None:
            try:
                # By name: the widgets are above everything in the import order, and need a notebook.
                home = importlib.import_module("mlkit_widgets.model_builder")
            except ModuleNotFoundError as error:
                if (error.name or "").startswith("mlkit"):
                    raise
                raise ModuleNotFoundError(
                    f"The canvas needs {error.name}, which is not installed; the model, its code and its training work "
                    'without it.\n  Install the notebook parts: pip install "mlkit[lab]"', name=error.name,
                ) from error  # fmt: skip
            self._widget = home.ModelCanvas(self)
            after_every_cell(self)
        return self._widget

    def _ipython_display_(self) -> None:
        try:
            widget = self.widget
        except (ModuleNotFoundError, FileNotFoundError) as error:
            print(f"{self!r}\n{error}")
            return
        widget._ipython_display_()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    def __repr__(self) -> str:
        blocks = sum(len(g.blocks) for g in self.document.all_graphs())
        total = self.shapes()[self.document.name].total.parameters
        words = f"{type(self).__name__} of {self.document.name}: {blocks} block{'' if blocks == 1 else 's'}"
        words += f", {total:,} parameters"
        wrong = len(self.problems)
        return words + (f", {wrong} problem{'' if wrong == 1 else 's'}" if wrong else "")


def _start(document: Any, types: Palette) -> Document:
    if document is None:
        return Document()
    if isinstance(document, Document):
        return arrange_document(document.check(types))
    if isinstance(document, ModelGraph):
        return arrange_document(Document(document).check(types))
    if isinstance(document, str) and document in templates.TEMPLATES:
        return arrange_document(templates.TEMPLATES[document]())
    if isinstance(document, (str, Path)):
        path = Path(document)
        if not path.is_file():
            names = ", ".join(templates.TEMPLATES)
            raise DataError(f"ModelBuilder: {str(document)!r} is no file and no template.", f"templates: {names}",
                            "Give the path of a name.mlmodel.json, or ModelBuilder.from_code(text) for code.")  # fmt: skip
        return arrange_document(Document.load(path, types))
    if isinstance(document, nn.Module):
        raise DataError("ModelBuilder: a module is opened with an example of its input.",
                        hint="ModelBuilder.from_module(model, images)")  # fmt: skip
    raise DataError(f"ModelBuilder: expected a document, a template's name or a path, got {type(document).__name__}.")


def _path_of(document: Any) -> Path | None:
    if isinstance(document, (str, Path)) and document not in templates.TEMPLATES:
        return Path(document)
    return None


def _meaning(document: Document) -> Any:
    """What decides about the module: no positions, comments or notes. Quick, and strict about names."""
    return [
        (g.name, [(b.name, b.type, repr(b.properties), b.shared) for b in g.blocks], list(g.links))
        for g in document.all_graphs()
    ]
