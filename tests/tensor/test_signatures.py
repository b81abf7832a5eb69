"""What editors, help() and inspect are told of functions whose signature is made when somebody asks for it."""

import copy
import functools
import inspect
import pickle
import pydoc

import mlkit
from mlkit.core.dispatch import ops
from mlkit.functional import reductions
from mlkit.ops import REGISTRY


def test_every_public_function_says_its_own_arguments_and_out():
    asked = 0
    for name in dir(mlkit):
        fn = getattr(mlkit, name)
        later = getattr(fn, "__signature__", None)
        if later is None or not inspect.isfunction(fn):
            continue
        asked += 1
        shown = inspect.signature(fn).parameters
        code = inspect.unwrap(fn).__code__
        own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        assert [*own, "out"] == [k for k in shown if shown[k].kind is not inspect.Parameter.VAR_POSITIONAL], name
        assert shown["out"].kind is inspect.Parameter.KEYWORD_ONLY and shown["out"].default is None
    assert asked > 150


def test_a_later_signature_is_one_in_every_way():
    found = inspect.signature(mlkit.sum)
    own = inspect.signature(reductions.sum)
    extra = inspect.Parameter("out", inspect.Parameter.KEYWORD_ONLY, default=None)
    wanted = own.replace(parameters=[*own.parameters.values(), extra])
    assert found == wanted and wanted == found and hash(found) == hash(wanted)
    assert str(found) == str(wanted) and repr(found) == repr(wanted) and "out=None" in str(found)
    assert pickle.loads(pickle.dumps(found)) == wanted and copy.copy(found) == wanted == copy.deepcopy(found)
    assert found.replace(parameters=[]).parameters == {}
    assert found.bind(1, dim=2).arguments == {"input": 1, "dim": 2}
    assert list(inspect.signature(functools.partial(mlkit.add, 1)).parameters) == ["other", "alpha", "out"]
    assert inspect.getfullargspec(mlkit.add).kwonlyargs == ["alpha", "out"]
    assert "sum(input, dim=None" in pydoc.plain(pydoc.render_doc(mlkit.sum))


def test_every_op_has_a_function_with_the_names_of_its_block():
    asked = 0
    for name, op in REGISTRY.items():
        fn = getattr(ops, name)
        if not fn.__code__.co_filename.startswith("<mlkit op"):  # a short way, whose arguments have its own names
            continue
        shown = inspect.signature(fn).parameters
        asked += 1
        assert list(shown) == [*op.inputs, *op.attributes], name
        for k, default in op.attributes.items():
            assert shown[k].default is default or shown[k].default == default, (name, k)
        assert fn.__name__ == fn.__qualname__ == op.name and fn.__doc__ == type(op).__doc__
    assert asked > 150


def test_an_error_of_an_op_names_the_op():
    try:
        ops.softmax(mlkit.ones(2), 0, 0, 0)
    except TypeError as error:
        assert "softmax()" in str(error)
    else:
        raise AssertionError("too many arguments were taken")
