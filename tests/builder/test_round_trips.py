"""Two ways between blocks and Python, for 500 random models; the classes that are written give what the modules give."""

import numpy as np
import pytest
from random_graphs import random_document

from mlkit.builder import templates
from mlkit.builder.code import write_code
from mlkit.builder.document import Document
from mlkit.builder.module import build
from mlkit.builder.parse import read_code
from mlkit.builder.shapes import infer_shapes
from mlkit.builder.traced import from_module

MODELS = [pytest.param(range(start, start + 25), id=f"{start}-{start + 24}") for start in range(0, 500, 25)]


def values(result):
    return [v.detach().numpy() for v in (result if isinstance(result, tuple) else (result,))]


def same(one, two):
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seeds", MODELS)
def test_graph_code_graph_and_graph_module_graph(seeds, inputs):
    for seed in seeds:
        document = random_document(seed)
        assert Document.from_text(document.to_text()) == document
        # graph -> code -> graph
        code = write_code(document)
        again = read_code(code)
        assert again.meaning() == document.meaning(), f"{seed}\n{code}"
        assert write_code(again) == code, seed
        # graph -> module, and the written class, with the same weights
        module = build(document).eval()
        scope = {}
        library = ("both", "mlkit")[seed % 10 == 9]
        exec(compile(write_code(document, library), f"net{seed}.py", "exec"), scope)
        written = scope[document.name]().eval()
        assert list(written.state_dict()) == list(module.state_dict()), f"{seed}\n{code}"
        written.load_state_dict(module.state_dict())
        given = inputs(document)
        expected = values(module(*given))
        same(values(written(*given)), expected)
        # graph -> module -> graph
        opened = from_module(module, *given)
        assert opened.document.meaning(functions=False) == document.meaning(functions=False), f"{seed}\n{code}"
        same(values(opened.build().eval()(*given)), expected)
        # shapes, without running anything
        found = infer_shapes(document)
        assert not found.problems, (seed, found.problems)
        for block, value in zip(document.main.of_type("Output"), expected, strict=True):
            shape = tuple(3 if n == "batch" else n for n in found.values[block.name, "output"].shape)
            assert shape == value.shape
        assert found.total.parameters == sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", list(templates.TEMPLATES))
def test_templates(name, inputs):
    document = templates.TEMPLATES[name]()
    assert Document.from_text(document.to_text()) == document
    assert read_code(write_code(document)).meaning() == document.meaning()
    module = build(document).eval()
    given = inputs(document)
    opened = from_module(module, *given)
    assert opened.document.meaning() == document.meaning()
    same(values(opened.build().eval()(*given)), values(module(*given)))
    assert not infer_shapes(document).problems
