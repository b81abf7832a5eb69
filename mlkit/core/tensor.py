"""Tensor: an array that remembers how it was made. One line per method; the work is in ops and functional."""

from __future__ import annotations

import builtins
import copy
import importlib
import math
from collections.abc import Callable

import numpy as np

from mlkit.autograd import engine
from mlkit.core import absent, config, inplace, rich, value
from mlkit.core import backend as backends
from mlkit.core import dtype as dtypes
from mlkit.core.device import META, device
from mlkit.core.dispatch import Output, operator, ops, state
from mlkit.core.errors import (
    ArgumentError,
    DeviceError,
    DtypeError,
    GradientError,
    NoData,
    NotOnHost,
    RefusedError,
    ShapeError,
    UnsupportedDtype,
    ValueRangeError,
)
from mlkit.core.frames import Place
from mlkit.core.layout import layout, strided
from mlkit.core.printing import tensor_text
from mlkit.core.size import Size
from mlkit.core.storage import TypedStorage, UntypedStorage
from mlkit.core.value import Hook, Leaf, MetaArray, Value, add_hook, ends_nowhere, wrap
from mlkit.functional import (
    activation,
    arithmetic,
    conversion,
    creation,
    decompositions,
    indexing,
    interop,
    matrices,
    placement,
    products,
    random,
    reductions,
    removed,
    sets,
    shaping,
    short_time,
    solving,
    special,
    statistics,
)
from mlkit.functional.checked import check_methods
from mlkit.functional.public import numpy_names


class TypedConstructor:
    """PyTorch's older constructors, such as ``LongTensor([1, 2])`` and ``FloatTensor(2, 3)``.

    ``isinstance(x, mlkit.LongTensor)`` asks for the dtype.

    >>> import mlkit
    >>> mlkit.LongTensor([1, 2])
    tensor([1, 2])
    """

    def __init__(self, d: dtypes.dtype):
        self.dtype = d
        self.__name__ = dtypes.TYPE_NAMES[d.name] + "Tensor"

    def __call__(self, *args):
        if args and all(isinstance(a, int) for a in args) or args and isinstance(args[0], Size):
            return creation.zeros(*args, dtype=self.dtype)
        return conversion.tensor(args[0] if args else [], dtype=self.dtype)

    def __instancecheck__(self, x):
        return isinstance(x, Value) and x._array.dtype == self.dtype.numpy

    def __repr__(self) -> str:
        return f"<class '{config.shown_name}.{self.__name__}'>"


def _names():
    return importlib.import_module("mlkit.core.names")


def _reflected(op: Callable) -> Callable:
    def method(self, other):
        return op(other, self)

    return method


def _power(input, exponent):
    for x in (input, exponent):
        if not isinstance(x, (Value, int, float, complex, np.generic, np.ndarray)) and not hasattr(
            x, "__mlkit_tensor__"
        ):
            return NotImplemented
    return arithmetic.pow(input, exponent)


def _shape_of(name: str, other) -> tuple[int, ...]:
    """The shape of the tensor that another one shall be like."""
    if not isinstance(other, Value):
        raise ArgumentError(f"{name}(): argument 'other' (position 1) must be Tensor, not {type(other).__name__}.")
    return tuple(other._array.shape)


#: compositions in which not only the last step keeps the tensor for backward
_READ_AGAIN = frozenset(("renorm_", "index_reduce_"))


def _in_place(name: str, fn: Callable) -> Callable:
    """The in-place form of an op: computed, then written into the tensor's memory."""

    def method(self, *args, **kwargs):
        inplace.check_leaf(self)
        if (args or kwargs) and name not in ("masked_fill_", "index_fill_"):  # which take their value as a number
            inplace.refuse_overlap(name, self, (*args, *kwargs.values()) if kwargs else args)
        wanted = kwargs.get("dtype") if kwargs else None
        if wanted is not None and dtypes.as_dtype(wanted) is not self.dtype:
            raise DtypeError(
                f"{name}: Bad in-place call: input tensor dtype {self.dtype} and output tensor dtype {wanted} should match."
            )
        if fn is ops.abs and self._array.dtype.kind == "c":
            raise DtypeError("In-place abs is not supported for complex tensors.", hint="Use x.abs().")
        read = self
        if name in _READ_AGAIN and self._node is not None and state.grad:
            read = self.clone()  # several of its steps keep what they read for backward
        return inplace.update(self, fn(read, *args, **kwargs), name)

    method.__name__ = name
    method.__wrapped__ = fn  # type: ignore[attr-defined]  # whose signature it has
    method.__doc__ = f"In-place form of {name.rstrip('_')}: the result replaces the tensor's values."
    return method


class Tensor(Value):
    """A multi-dimensional array of one dtype on one device, with gradients.

    Make one with ``mlkit.tensor``, ``mlkit.zeros``, ``mlkit.randn``, ...

    >>> import mlkit
    >>> x = mlkit.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward(); x.grad
    tensor([2., 4.])
    """

    __slots__ = ()
    __array_priority__ = 1000  # NumPy arrays leave operators with tensors to us

    def __new__(cls, *args, **kwargs):
        if len(args) == 1 and isinstance(args[0], Value) and not kwargs:
            return args[0]
        if args and all(isinstance(a, int) for a in args):
            return creation.zeros(*args, **kwargs)
        return conversion.tensor(args[0] if args else [], dtype=dtypes.get_default_dtype(), **kwargs)

    # --- what it is ------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> Size:
        return Size(self._array.shape)

    def size(self, dim: int | None = None):
        """The shape, or the size of one dim."""
        return self.shape if dim is None else self.shape[dim]

    @property
    def dtype(self) -> dtypes.dtype:
        return dtypes.from_numpy_dtype(self._array.dtype)

    @property
    def device(self) -> device:
        array = self._array
        return META if array.__class__ is MetaArray else backends.for_array(array).device_of(array)

    @property
    def ndim(self) -> int:
        return self._array.ndim

    def dim(self) -> int:
        return self._array.ndim

    def numel(self) -> int:
        return self._array.size

    nelement = numel

    def element_size(self) -> int:
        return self._array.dtype.itemsize

    @property
    def itemsize(self) -> int:
        return self._array.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self._array.nbytes

    @property
    def layout(self) -> layout:
        return strided

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def is_meta(self) -> bool:
        return self._array.__class__ is MetaArray

    is_sparse = is_quantized = is_nested = is_sparse_csr = is_mkldnn = False
    is_mps = is_xpu = is_xla = is_ipu = is_maia = is_mtia = is_vulkan = False

    def __getattr__(self, name: str):
        raise absent.missing_name("Tensor", name) or AttributeError(
            f"{type(self).__name__!r} object has no attribute {name!r}"
        )

    @property
    def is_cpu(self) -> bool:
        return self.device.type == "cpu"

    def get_device(self) -> int:
        """The device's number; -1 for the CPU."""
        return self.device.index or 0 if self.is_cuda else -1

    def ndimension(self) -> int:
        return self._array.ndim

    def dim_order(self) -> tuple[int, ...]:
        """The dims from the one with the largest step in memory to the smallest."""
        steps = self.stride()
        return tuple(sorted(range(len(steps)), key=lambda d: -steps[d]))

    def is_conj(self) -> bool:
        """Whether it is what ``conj()`` gave, or a view of that. (The numbers are conjugated at once here, in memory of
        their own: what PyTorch does later, on first need.)"""
        return self._conjugated and self._array.dtype.kind == "c"

    def is_neg(self) -> bool:
        """Whether it is the imaginary part of what ``conj()`` gave."""
        return self._negated

    def is_inference(self) -> bool:
        """Whether it was made inside inference_mode."""
        return self._inference

    def _is_view(self) -> bool:
        return self._view_of is not None

    def is_pinned(self, device=None) -> bool:
        return False

    def is_shared(self) -> bool:
        return False

    def pin_memory(self, device=None):
        """The tensor itself: host memory needs no pinning here."""
        return self

    def share_memory_(self):
        """The tensor itself, for programs that share tensors between threads."""
        return self

    def is_set_to(self, tensor) -> bool:
        """Whether both are the same memory with the same shape and strides."""
        same = self.data_ptr() == tensor.data_ptr() and self.shape == tensor.shape
        return same and self.stride() == tensor.stride()

    def untyped_storage(self):
        """The bytes of the memory that this tensor and its views share."""
        return UntypedStorage(self)

    def storage(self):
        """The elements of the memory that this tensor and its views share, in memory order."""
        return TypedStorage(self)

    @property
    def output_nr(self) -> int:
        """Which output of ``grad_fn`` this is."""
        return self._node.number if self._node.__class__ is Output else 0

    def as_subclass(self, cls):
        """The same memory and history as a tensor of class ``cls``."""
        out = object.__new__(cls)
        out._array, out._node = self._array, self._node
        out.__dict__.update(self.__dict__)
        return out

    def is_floating_point(self) -> bool:
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        return self.dtype.is_signed

    def stride(self, dim: int | None = None):
        """Steps in memory, counted in elements."""
        if self.is_meta:
            steps, total = [], 1
            for n in reversed(self._array.shape):
                steps.append(total)
                total *= max(n, 1)
            strides = tuple(reversed(steps))
        else:
            strides = tuple(s // self._array.itemsize for s in self._array.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self, memory_format=None) -> bool:
        return self.is_meta or bool(self._array.flags.c_contiguous)

    def storage_offset(self) -> int:
        array = self._array
        if isinstance(array, value.LevelArray) and array.plain:  # it only watches an array
            array = array.inner._array
        base = array
        if not isinstance(array, np.ndarray):
            return (array.data.ptr - array.data.mem.ptr) // array.itemsize
        while isinstance(getattr(base, "base", None), np.ndarray):
            base = base.base
        return (array.ctypes.data - base.ctypes.data) // array.itemsize

    def data_ptr(self) -> int:
        """The address of the first element."""
        if state.recorder is not None:
            state.recorder.read()
        array = self._array
        return array.ctypes.data if isinstance(array, np.ndarray) else int(array.data.ptr)

    # --- axis names: the work is in names.py, which is loaded when the first tensor is named -------------------------

    @property
    def names(self) -> tuple:
        """The names of the axes, None for those without."""
        return (None,) * self._array.ndim

    @names.setter
    def names(self, names) -> None:
        if names is not None:
            _names().set_names(self, _names().checked(names, self, "names"))

    def has_names(self) -> builtins.bool:
        """Whether some axis has a name."""
        return self._names is not None

    def rename(self, *names, **rename_map):
        """The same memory with other axis names: all of them, pairs old="new", or None for none.

        >>> import mlkit
        >>> x = mlkit.ones(2, 3).rename("batch", "in")
        >>> x.sum("in")
        tensor([3., 3.], names=('batch',))
        """
        return _names().rename(self, names, rename_map)

    def rename_(self, *names, **rename_map):
        """Name this tensor's axes in place."""
        return _names().rename(self, names, rename_map, in_place=True)

    def refine_names(self, *names):
        """Name the axes that have no name yet; ``...`` stands for names that stay."""
        return _names().refine_names(self, names)

    def align_to(self, *names):
        """The axes in the order of ``names``, new ones of size 1 where a name is not there."""
        return _names().align_to(self, names)

    def align_as(self, other):
        """The axes in the order of those of ``other``."""
        return _names().align_to(self, other.names)

    # --- gradients ----------------------------------------------------------------------------------------------------

    def _shows_what_needs_grad(self) -> bool:
        """Of a view made in no_grad mode: whether the tensor it looks at requires grad. (Nothing flows through it.)"""
        base = self._view_of[0] if self._view_of else None
        return base is not None and base._node is not None and self._array.dtype.kind in "fcV"

    @property
    def requires_grad(self) -> bool:
        return self._node is not None or self._seen_without_grad and self._shows_what_needs_grad()

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        self.requires_grad_(wanted)

    def requires_grad_(self, requires_grad: bool = True):
        """Say whether backward() shall compute this tensor's gradient."""
        if requires_grad:
            if self._node is None or ends_nowhere(self):
                if self._inference and not state.inference:
                    raise GradientError(
                        "Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.",
                        hint="Make a normal tensor of it: x.clone().requires_grad_().",
                    )
                placement.wants_grad(self, True)
        elif self._node is not None:
            if not self.is_leaf:
                raise GradientError(
                    "you can only change requires_grad flags of leaf variables.",
                    hint="If you want to use a computed variable in a subgraph that doesn't require differentiation "
                    "use var_no_grad = var.detach().",
                )
            self._node = None
        return self

    @property
    def is_leaf(self) -> bool:
        return self._node is None or isinstance(self._node, Leaf)

    @property
    def grad_fn(self):
        """The node that made this tensor; None for leaves."""
        node = self._node
        if node is None or node.__class__ is Leaf:
            return None
        return node.inputs[0] if node.__class__ is Output else node

    @property
    def grad(self):
        """The gradient that backward() added up, a tensor of the same shape; None before."""
        return self._grad

    @grad.setter
    def grad(self, g) -> None:
        if g is not None:
            if not isinstance(g, Value):
                raise ArgumentError(f"assigned grad has to be a Tensor or None, got {type(g).__name__}.")
            if tuple(g._array.shape) != tuple(self._array.shape):
                raise ShapeError(
                    "assigned grad has data of a different size.",
                    f"tensor: {tuple(self._array.shape)}\ngrad:   {tuple(g._array.shape)}",
                )
            if g.device != self.device:
                raise DeviceError(
                    "attempting to assign a gradient on another device than its tensor's.",
                    f"tensor: on {self.device}\ngrad:   on {g.device}",
                    f'Move it first: grad.to("{self.device}").',
                )
            if g.dtype is not self.dtype:
                raise DtypeError(
                    "attempting to assign a gradient of another dtype than its tensor's.",
                    f"tensor: {self.dtype}\ngrad:   {g.dtype}",
                    f"Convert it first: grad.to({self.dtype}).",
                )
        if state.recorder is not None:
            state.recorder.forgets([self])
        self._grad = g

    def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None) -> None:
        """Add the gradient of this (scalar) tensor to the ``.grad`` of every leaf that took part in making it."""
        engine.backward(self, gradient, retain_graph, create_graph, inputs=inputs)

    @property
    def made_at(self) -> Place | None:
        """The line of your program that made this tensor: known for each that has a ``grad_fn``, else None.

        It has ``file``, ``line``, ``function`` and ``code`` (the line's text); ``str`` of it is all in one line, as
        errors in backward and displays name it.

        >>> import mlkit
        >>> w = mlkit.ones(2, requires_grad=True)
        >>> y = w * 3
        >>> y.made_at.code
        'y = w * 3'
        >>> w.made_at is None  # a leaf: no operation made it
        True
        """
        return None if self._node is None else self._node.where

    def detach(self):
        """The same memory, cut off from the graph."""
        out = value.wrap_like(self._array, self)
        out._storage = value.storage_of(self)
        if self._conjugated:
            out._conjugated = True
        return out

    def detach_(self):
        """Cut this tensor off from its graph."""
        if self._view_of is not None:
            raise GradientError("Can't detach views in-place. Use detach() instead.")
        self._node = None
        return self

    @property
    def data(self):
        """The same memory without history; changes through it are not tracked."""
        return value.wrap_like(self._array, self)

    @data.setter
    def data(self, new) -> None:
        self._array = new._array

    def retain_grad(self) -> None:
        """Have backward() fill ``.grad`` of this non-leaf tensor too."""
        if self._node is None:
            raise GradientError("can't retain_grad on Tensor that has requires_grad=False.")
        if self.is_leaf or self._retains_grad:
            return
        self._retains_grad = True
        import weakref

        reference = weakref.ref(self)

        def keep(g):
            tensor = reference()
            if tensor is not None:
                tensor._grad = g.clone() if tensor._grad is None else tensor._grad + g

        keep.retains = True  # type: ignore[attr-defined]
        self._retain_hook = add_hook(value.tensor_hooks, self._node, keep)

    @property
    def retains_grad(self) -> bool:
        return self._retains_grad

    def register_hook(self, hook: Callable) -> Hook:
        """Call ``hook(grad)`` when this tensor's gradient is known; what it returns replaces the gradient."""
        if self._node is None:
            raise GradientError("cannot register a hook on a tensor that doesn't require gradient.")
        return add_hook(value.tensor_hooks, self._node, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable) -> Hook:
        """Call ``hook(tensor)`` after backward() has added into this leaf's ``.grad``."""
        if not isinstance(self._node, Leaf):
            raise GradientError("post accumulate grad hooks cannot be registered on non-leaf tensors.")
        return add_hook(self.__dict__, "_post_accumulate_hooks", hook)

    @property
    def _version(self) -> int:
        if self._inference:
            raise GradientError(
                "Inference tensors do not track version counter.", hint="Count the changes of a clone() of it."
            )
        return 0 if self._storage is None else self._storage.version

    @property
    def _base(self):
        return None if self._view_of is None else self._view_of[0]

    # --- to and from the outside ---------------------------------------------------------------------------------------

    def numpy(self, *, force: bool = False) -> np.ndarray:
        """The NumPy array that shares this tensor's memory (``force=True``: detached and copied from any device)."""
        if state.grad and not force and self.requires_grad:
            raise GradientError(
                "Can't call numpy() on Tensor that requires grad.", hint="Use tensor.detach().numpy() instead."
            )
        if self.is_meta:
            raise NotOnHost(
                "can't convert meta device type tensor to numpy: it has no data.", f"shape: {tuple(self._array.shape)}"
            )
        if state.recorder is not None:
            state.recorder.read()
        if self.device.type != "cpu" and not force:
            raise DeviceError(
                f"can't convert {self.device} device type tensor to numpy.", hint="Use tensor.cpu() to copy it first."
            )
        return conversion.to_numpy_array(self)

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueRangeError(f"{self.dtype} as {np.dtype(dtype)} needs a copy, and copy=False.")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __array_wrap__(self, array, context=None, return_scalar=False):
        return conversion.from_numpy(np.asarray(array))

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        """A DLPack capsule of this tensor's memory, made by its array library."""
        wishes = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        return interop.dlpack_of(self, wishes)

    def __array_namespace__(self, *, api_version=None):
        """``mlkit.array_api``: the Array API standard for this tensor."""
        return importlib.import_module("mlkit.array_api").Array.__array_namespace__(self, api_version=api_version)

    def __dlpack_device__(self):
        """DLPack's (device type, index)."""
        return interop.dlpack_device_of(self)

    @property
    def __cuda_array_interface__(self):
        if not hasattr(self._array, "__cuda_array_interface__"):
            raise AttributeError(f"Can't get __cuda_array_interface__ on a tensor on {self.device}.")
        if self._node is not None:
            raise GradientError(
                "Can't get __cuda_array_interface__ on Tensor that requires grad.", hint="Use tensor.detach() first."
            )
        return self._array.__cuda_array_interface__

    def item(self):
        """The one value as a Python number."""
        array = self._array
        if array.size != 1:
            raise ArgumentErrorOrRuntime(
                f"a Tensor with {self._array.size} elements cannot be converted to Scalar.",
                f"shape: {tuple(self._array.shape)}",
                "Pick one element, reduce it (.mean()), or use .tolist().",
            )
        if array.__class__ is np.ndarray and state.recorder is None:
            return array.item()  # asked for in every step of a training
        return conversion.to_numpy_array(self).item()

    def tolist(self):
        """The values as nested lists of Python numbers."""
        return conversion.to_numpy_array(self).tolist()

    def to(self, *args, dtype=None, device=None, copy=False, non_blocking=False, memory_format=None):
        """This tensor with another dtype, on another device, or like another tensor; itself when nothing changes."""
        for a in args:
            if isinstance(a, dtypes.dtype):
                dtype = a
            elif isinstance(a, Value):
                dtype, device = a.dtype, a.device
            elif a.__class__ is type:  # float, int, bool, complex
                dtype = a
            elif a is None or isinstance(a, bool):
                continue
            else:
                device = a
        out = self
        if dtype is not None and dtypes.as_dtype(dtype).numpy != self._array.dtype:
            out = ops.cast(out, dtype=dtypes.as_dtype(dtype))
        if device is not None:
            out = _to_device(out, device)
        return out.clone() if copy and out is self else out

    def cpu(self):
        return self.to(device="cpu")

    def cuda(self, device=None, non_blocking=False):
        return self.to(device="cuda" if device is None else device)

    def type(self, dtype=None):
        """Without argument PyTorch's type name; else the tensor as that dtype."""
        if dtype is None:
            return f"{config.shown_name}.{dtypes.TYPE_NAMES.get(self.dtype.name, self.dtype.name.capitalize())}Tensor"
        if isinstance(dtype, str) and dtype.endswith("Tensor"):
            word = dtype.rpartition(".")[2].removesuffix("Tensor")
            dtype = next((d for d, n in dtypes.TYPE_NAMES.items() if n == word), dtype)
        if isinstance(dtype, TypedConstructor):
            dtype = dtype.dtype
        return self.to(dtypes.as_dtype(dtype))

    def type_as(self, other):
        return self.to(other.dtype)

    def bool(self):
        return self.to(dtypes.bool_)

    def int(self):
        return self.to(dtypes.int32)

    def long(self):
        return self.to(dtypes.int64)

    def short(self):
        return self.to(dtypes.int16)

    def char(self):
        return self.to(dtypes.int8)

    def byte(self):
        return self.to(dtypes.uint8)

    def cfloat(self):
        return self.to(dtypes.complex64)

    def cdouble(self):
        return self.to(dtypes.complex128)

    def half(self):
        return self.to(dtypes.float16)

    def bfloat16(self):
        return self.to(dtypes.bfloat16)

    def float(self):
        return self.to(dtypes.float32)

    def double(self):
        return self.to(dtypes.float64)

    def new(self, *args, device=None):
        """PyTorch's old form: sizes give uninitialised memory, a list or an array its values, in this tensor's dtype."""
        if len(args) == 1 and not isinstance(args[0], (int, Size)):
            return self.new_tensor(args[0], device=device)
        return self.new_empty(*(args or (0,)), device=device)

    def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False):
        return conversion.tensor(
            data, dtype=dtype or self.dtype, device=device or self.device, requires_grad=requires_grad
        )

    def new_zeros(self, *size, dtype=None, device=None, requires_grad=False):
        if not size:
            raise ArgumentError("new_zeros() missing 1 required positional argument: 'size'.", hint="x.new_zeros(2, 3)")
        how = {"dtype": dtype or self.dtype, "device": device or self.device}
        return placement.of_level(self, creation.zeros(*size, requires_grad=requires_grad, **how))

    def new_ones(self, *size, dtype=None, device=None, requires_grad=False):
        if not size:
            raise ArgumentError("new_ones() missing 1 required positional argument: 'size'.", hint="x.new_ones(2, 3)")
        how = {"dtype": dtype or self.dtype, "device": device or self.device}
        return placement.of_level(self, creation.ones(*size, requires_grad=requires_grad, **how))

    def new_empty(self, *size, dtype=None, device=None, requires_grad=False):
        return self.new_zeros(*size, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_empty_strided(self, size, stride, *, dtype=None, device=None, requires_grad=False):
        how = {"dtype": dtype or self.dtype, "device": device or self.device}
        return creation.empty_strided(size, stride, requires_grad=requires_grad, **how)

    def new_full(self, size, fill_value, *, dtype=None, device=None, requires_grad=False):
        how = {"dtype": dtype or self.dtype, "device": device or self.device}
        return placement.of_level(self, creation.full(size, fill_value, requires_grad=requires_grad, **how))

    # --- Python's protocols ------------------------------------------------------------------------------------------------

    def __len__(self):
        if not self._array.ndim:
            raise ArgumentError("len() of a 0-d tensor.")
        return self._array.shape[0]

    def __iter__(self):
        if not self._array.ndim:
            raise ArgumentError("iteration over a 0-d tensor.")
        return iter(shaping.unbind(self))

    def __reversed__(self):
        return ops.flip(self, dims=(0,)) if self._array.ndim else self

    def __bool__(self):
        if self._array.size != 1:
            raise AmbiguousTruth(
                "Boolean value of Tensor with "
                + ("no values" if not self._array.size else "more than one value")
                + " is ambiguous.",
                f"shape: {tuple(self._array.shape)}",
                "Use .any() or .all().",
            )
        return bool(conversion.to_numpy_array(self).item())

    def __int__(self):
        return self._number(int)

    def __float__(self):
        return self._number(float)

    def __complex__(self):
        return self._number(complex)

    def _number(self, kind: Callable):
        if self._array.size != 1:
            raise NotOneElement(
                f"only one element tensors can be converted to Python scalars, this one has {self._array.size}.",
                f"shape: {tuple(self._array.shape)}",
                "Pick one element, reduce it (.mean()), or use .tolist().",
            )
        number = self.item()
        if isinstance(number, builtins.complex) and kind is not builtins.complex:
            if number.imag:
                raise ArgumentErrorOrRuntime(
                    f"{number} cannot be converted to {kind.__name__}: it has an imaginary part.",
                    hint="Use .real, .abs() or complex(x).",
                )
            number = number.real
        return kind(number)

    def __index__(self):
        if self._array.size != 1 or self._array.dtype.kind not in "iub":
            raise ArgumentError("only integer tensors of a single element can be converted to an index.")
        return int(self.item())

    def __contains__(self, element):
        if not isinstance(element, (Value, int, float, complex, np.generic)):
            raise ArgumentErrorOrRuntime(
                f"`in` looks for a Tensor or a number among a tensor's values, not for a {type(element).__name__}."
            )
        return bool((self == element).any())

    __hash__ = object.__hash__  # by identity, without a call of Python's

    def __repr__(self):
        return tensor_text(self)

    def __format__(self, spec):
        if not self._array.ndim and self.__class__ is Tensor and self._array.__class__ is not value.MetaArray:
            return format(self.item(), spec)  # f"{loss}" is the number
        return object.__format__(self, spec)

    def _repr_html_(self):
        return rich.repr_html(self)

    def _repr_mimebundle_(self, include=None, exclude=None):
        return rich.repr_mimebundle(self, include, exclude)

    def __dir__(self):
        return [name for name in super().__dir__() if not name.startswith("_") or name.startswith("__")]

    def __deepcopy__(self, memo):
        if not self.is_leaf:
            raise GradientError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment.",
                hint="Use detach().clone().",
            )
        if id(self) in memo:
            return memo[id(self)]
        new = object.__new__(type(self))
        array = self._array
        new._array = array if array.__class__ is MetaArray else array.copy(order="K")
        new._node = Leaf(new) if self.requires_grad else None
        memo[id(self)] = new
        value.mark_inference(new)
        for key, entry in self.__dict__.items():
            if key not in (
                "_storage",
                "_view_of",
                "_grad",
                "_post_accumulate_hooks",
                "_inference",
                "_seen_without_grad",
            ):
                new.__dict__[key] = copy.deepcopy(entry, memo)
        if self._grad is not None:
            new._grad = self._grad.clone()
        return new

    def __reduce__(self):
        return _rebuild, (type(self), conversion.to_numpy_array(self), self._node is not None and self.is_leaf)

    def __getitem__(self, index):
        return indexing.getitem(self, index)

    def __setitem__(self, index, new):
        indexing.setitem(self, index, new)

    # --- operators -------------------------------------------------------------------------------------------------------------

    __add__ = __radd__ = operator("add")
    __sub__ = operator("sub")
    __rsub__ = _reflected(operator("sub"))
    __mul__ = __rmul__ = operator("mul")
    __truediv__ = operator("div")
    __rtruediv__ = _reflected(operator("div"))
    __floordiv__ = operator("floor_divide")
    __rfloordiv__ = _reflected(operator("floor_divide"))
    __mod__ = operator("remainder")
    __rmod__ = _reflected(operator("remainder"))
    __pow__ = _power
    __rpow__ = _reflected(_power)
    __matmul__ = operator("matmul")
    __rmatmul__ = _reflected(operator("matmul"))
    __neg__ = ops.neg
    __abs__ = ops.abs
    __eq__ = operator("eq")
    __ne__ = operator("ne")
    __lt__ = operator("lt")
    __le__ = operator("le")
    __gt__ = operator("gt")
    __ge__ = operator("ge")
    __and__ = __rand__ = operator("bitwise_and")
    __or__ = __ror__ = operator("bitwise_or")
    __xor__ = __rxor__ = operator("bitwise_xor")

    def __invert__(self):
        if self._array.dtype.kind not in "iub":
            raise ArgumentError(
                "~ (operator.invert) is only implemented on integer and Boolean-type tensors.", f"tensor: {self.dtype}"
            )
        return ops.bitwise_not(self)

    __lshift__ = operator("bitwise_left_shift")
    __rshift__ = operator("bitwise_right_shift")

    def __pos__(self):
        return arithmetic.positive(self)

    # --- shape -------------------------------------------------------------------------------------------------------------------

    @property
    def T(self):  # noqa: N802 - PyTorch's name
        """The transpose (all dims reversed)."""
        return ops.permute(self, dims=tuple(range(self._array.ndim))[::-1])

    @property
    def mT(self):  # noqa: N802 - PyTorch's name
        """The last two dims exchanged."""
        return ops.mT(self) if self._array.ndim else self

    @property
    def mH(self):  # noqa: N802 - PyTorch's name
        """The conjugate transpose of the last two dims."""
        return arithmetic.conj(self.mT)

    @property
    def H(self):  # noqa: N802 - PyTorch's name
        """The conjugate transpose of a matrix."""
        if self._array.ndim not in (0, 2):
            raise RefusedError(
                f"tensor.H is only supported on matrices (2-D tensors). Got {self._array.ndim}-D tensor."
            )
        return arithmetic.conj(shaping.t(self))

    @property
    def real(self):
        return ops.real(self) if self.is_complex() else self

    @property
    def imag(self):
        return arithmetic.imag(self)

    reshape = shaping.reshape
    view = shaping.view
    flatten = shaping.flatten
    unflatten = shaping.unflatten
    squeeze = shaping.squeeze
    unsqueeze = shaping.unsqueeze
    transpose = swapaxes = swapdims = shaping.transpose
    t = shaping.t
    permute = shaping.permute
    movedim = moveaxis = shaping.movedim
    expand = shaping.expand
    broadcast_to = shaping.broadcast_to
    repeat = shaping.repeat
    tile = shaping.tile
    repeat_interleave = shaping.repeat_interleave
    split = shaping.split
    chunk = shaping.chunk
    tensor_split = shaping.tensor_split
    unbind = shaping.unbind
    select = shaping.select
    narrow = shaping.narrow
    flip = shaping.flip
    roll = shaping.roll
    rot90 = shaping.rot90
    tril = shaping.tril
    triu = shaping.triu
    diagonal = shaping.diagonal
    diag = shaping.diag
    diag_embed = shaping.diag_embed
    contiguous = shaping.contiguous
    unfold = shaping.unfold
    as_strided = shaping.as_strided
    hsplit = shaping.hsplit
    vsplit = shaping.vsplit
    dsplit = shaping.dsplit
    split_with_sizes = shaping.split_with_sizes
    unsafe_split = shaping.unsafe_split
    unsafe_split_with_sizes = shaping.unsafe_split
    unsafe_chunk = shaping.unsafe_chunk
    fliplr = shaping.fliplr
    flipud = shaping.flipud
    adjoint = shaping.adjoint
    diagflat = shaping.diagflat
    narrow_copy = shaping.narrow_copy
    sum_to_size = shaping.sum_to_size
    diagonal_scatter = indexing.diagonal_scatter
    select_scatter = indexing.select_scatter
    slice_scatter = indexing.slice_scatter
    as_strided_scatter = indexing.as_strided_scatter

    def view_as(self, other):
        return shaping.view(self, _shape_of("view_as", other))

    def reshape_as(self, other):
        return ops.reshape(self, shape=_shape_of("reshape_as", other))

    def expand_as(self, other):
        _shape_of("expand_as", other)
        return ops.expand(self, shape=tuple(other._array.shape))

    def ravel(self):
        return ops.reshape(self, shape=(-1,))

    def clone(self, *, memory_format=None):
        """A copy in memory of its own, part of the graph."""
        return ops.clone(self)

    # --- arithmetic -----------------------------------------------------------------------------------------------------------------

    add = arithmetic.add
    sub = subtract = arithmetic.sub
    mul = multiply = ops.mul
    div = divide = true_divide = arithmetic.div
    floor_divide = ops.floor_divide
    remainder = ops.remainder
    fmod = ops.fmod
    pow = arithmetic.pow
    neg = negative = ops.neg
    abs = absolute = ops.abs
    sign = ops.sign
    sgn = ops.sgn
    exp = ops.exp
    exp2 = ops.exp2
    expm1 = ops.expm1
    log = ops.log
    log2 = ops.log2
    log10 = ops.log10
    log1p = ops.log1p
    sqrt = ops.sqrt
    rsqrt = ops.rsqrt
    square = arithmetic.square
    reciprocal = ops.reciprocal
    sin = ops.sin
    cos = ops.cos
    tan = ops.tan
    asin = arcsin = ops.asin
    acos = arccos = ops.acos
    atan = arctan = ops.atan
    sinh = ops.sinh
    cosh = ops.cosh
    tanh = ops.tanh
    asinh = arcsinh = ops.asinh
    acosh = arccosh = ops.acosh
    atanh = arctanh = ops.atanh
    atan2 = arctan2 = ops.atan2
    hypot = ops.hypot
    sinc = ops.sinc
    erf = ops.erf
    erfc = ops.erfc
    sigmoid = ops.sigmoid
    relu = ops.relu
    floor = ops.floor
    ceil = ops.ceil
    round = arithmetic.round
    trunc = fix = ops.trunc
    frac = ops.frac
    clamp = clip = arithmetic.clamp
    clamp_min = arithmetic.clamp_min
    clamp_max = arithmetic.clamp_max
    maximum = ops.maximum
    minimum = ops.minimum
    fmax = ops.fmax
    fmin = ops.fmin
    lerp = arithmetic.lerp
    addcmul = arithmetic.addcmul
    addcdiv = arithmetic.addcdiv
    logaddexp = ops.logaddexp
    copysign = ops.copysign
    nan_to_num = ops.nan_to_num
    conj = arithmetic.conj
    angle = ops.angle
    matmul = ops.matmul

    mm = products.mm
    bmm = products.bmm
    mv = products.mv
    dot = products.dot
    vdot = products.vdot
    addmm = products.addmm
    addmv = products.addmv
    addr = products.addr
    baddbmm = products.baddbmm
    addbmm = products.addbmm
    outer = ger = products.outer
    inner = products.inner
    kron = products.kron
    dist = products.dist
    heaviside = arithmetic.heaviside
    ldexp = arithmetic.ldexp
    frexp = arithmetic.frexp
    float_power = arithmetic.float_power
    logaddexp2 = arithmetic.logaddexp2
    deg2rad = arithmetic.deg2rad
    rad2deg = arithmetic.rad2deg
    positive = arithmetic.positive
    conj_physical = arithmetic.conj_physical
    resolve_conj, resolve_neg = arithmetic.resolve_conj, arithmetic.resolve_neg
    nextafter = ops.nextafter
    gcd = ops.gcd
    lcm = ops.lcm
    signbit = ops.signbit
    bitwise_left_shift = ops.bitwise_left_shift
    bitwise_right_shift = ops.bitwise_right_shift

    # --- comparison and logic ----------------------------------------------------------------------------------------------------------

    eq = ops.eq
    ne = not_equal = ops.ne
    lt = less = ops.lt
    le = less_equal = ops.le
    gt = greater = ops.gt
    ge = greater_equal = ops.ge
    logical_and = ops.logical_and
    logical_or = ops.logical_or
    logical_xor = ops.logical_xor
    logical_not = ops.logical_not
    bitwise_and = ops.bitwise_and
    bitwise_or = ops.bitwise_or
    bitwise_xor = ops.bitwise_xor
    bitwise_not = ops.bitwise_not
    isnan = ops.isnan
    isinf = ops.isinf
    isfinite = ops.isfinite
    isclose = arithmetic.isclose
    allclose = arithmetic.allclose
    equal = arithmetic.equal

    isposinf = arithmetic.isposinf
    isneginf = arithmetic.isneginf
    isreal = arithmetic.isreal
    is_nonzero = arithmetic.is_nonzero
    is_same_size = arithmetic.is_same_size

    def where(self, condition, other):
        """This tensor where condition is true, else other."""
        return arithmetic.where(condition, self, other)

    # --- reductions -----------------------------------------------------------------------------------------------------------------------

    sum = reductions.sum
    mean = reductions.mean
    prod = reductions.prod
    nansum = reductions.nansum
    nanmean = reductions.nanmean
    max = reductions.max
    min = reductions.min
    amax = ops.amax
    amin = ops.amin
    argmax = ops.argmax
    argmin = ops.argmin
    any = ops.any
    all = ops.all
    var = reductions.var
    std = reductions.std
    norm = reductions.norm
    median = reductions.median
    kthvalue = reductions.kthvalue
    logsumexp = ops.logsumexp
    cumsum = reductions.cumsum
    cumprod = reductions.cumprod
    cummax = reductions.cummax
    cummin = reductions.cummin
    sort = reductions.sort
    argsort = reductions.argsort
    topk = reductions.topk
    count_nonzero = reductions.count_nonzero
    aminmax = reductions.aminmax
    logcumsumexp = reductions.logcumsumexp
    nanmedian = statistics.nanmedian
    mode = statistics.mode
    msort = statistics.msort
    quantile = statistics.quantile
    nanquantile = statistics.nanquantile
    cov = statistics.cov
    corrcoef = statistics.corrcoef
    histc = statistics.histc
    histogram = statistics.histogram
    bincount = statistics.bincount
    diff = statistics.diff
    renorm = statistics.renorm
    unique = sets.unique
    unique_consecutive = sets.unique_consecutive
    softmax = activation.plain_softmax
    log_softmax = activation.plain_log_softmax

    # --- special functions ---------------------------------------------------------------------------------------------------------------------

    lgamma = ops.lgamma
    digamma = ops.digamma
    erfinv = ops.erfinv
    i0 = ops.i0
    igamma = special.gammainc
    igammac = special.gammaincc
    logit = special.logit
    xlogy = special.xlogy
    polygamma = special.polygamma
    stft = short_time.stft
    istft = short_time.istft
    hardshrink = activation.hardshrink
    prelu = activation.prelu
    mvlgamma = special.multigammaln

    # --- linear algebra -----------------------------------------------------------------------------------------------------------------------

    det = solving.det
    logdet = solving.logdet
    slogdet = solving.slogdet
    trace = matrices.trace
    inverse = solving.inverse
    pinverse = solving.pinverse
    cholesky = decompositions.old_cholesky
    cholesky_inverse = solving.cholesky_inverse
    cholesky_solve = solving.cholesky_solve
    triangular_solve = solving.triangular_solve
    lu = decompositions.old_lu
    lu_solve = solving.old_lu_solve
    qr = decompositions.old_qr
    geqrf = decompositions.geqrf
    orgqr = decompositions.orgqr
    ormqr = decompositions.ormqr
    svd = decompositions.old_svd
    cross = products.old_cross
    matrix_exp = products.matrix_exp
    matrix_power = products.matrix_power

    # --- indexing -----------------------------------------------------------------------------------------------------------------------------

    gather = indexing.gather
    scatter = indexing.scatter
    scatter_add = indexing.scatter_add
    index_select = indexing.index_select
    index_add = indexing.index_add
    index_put = indexing.index_put
    masked_fill = indexing.masked_fill
    masked_select = indexing.masked_select
    nonzero = indexing.nonzero
    take = indexing.take
    take_along_dim = indexing.take_along_dim
    argwhere = indexing.argwhere
    nonzero_static = indexing.nonzero_static
    scatter_reduce = indexing.scatter_reduce
    index_copy = indexing.index_copy
    index_fill = indexing.index_fill
    index_reduce = indexing.index_reduce
    masked_scatter = indexing.masked_scatter
    put = indexing.put
    bernoulli = random.bernoulli
    multinomial = random.multinomial

    # --- in place -------------------------------------------------------------------------------------------------------------------------------

    def copy_(self, src, non_blocking=False):
        """Write ``src`` (broadcast, converted) into this tensor's memory."""
        inplace.refuse_overlap("copy_", self, (src,))
        return inplace.assign(self, src, "copy_")

    def zero_(self):
        """Set every value to 0."""
        return self.fill_(0)

    def fill_(self, value):
        """Set every value to ``value``."""
        source = value if isinstance(value, Value) else conversion.tensor(value, dtype=self.dtype)
        return inplace.assign(self, source, "fill_")

    def uniform_(self, from_=0.0, to=1.0, *, generator=None):
        """Fill with numbers uniform on [from_, to)."""
        if not from_ <= to:
            raise RefusedError(f"uniform_ expects to return a [from, to) range, but found from={from_} > to={to}.")
        _floating(self, "uniform_")
        fresh = random.rand(*self.shape, generator=generator, dtype=self.dtype, device=self.device)
        return inplace.assign(self, fresh * (to - from_) + from_, "uniform_")

    def normal_(self, mean=0.0, std=1.0, *, generator=None):
        """Fill with numbers from a normal distribution."""
        if not std >= 0:
            raise RefusedError(f"normal_ expects std >= 0.0, but found std {std}.")
        _floating(self, "normal_")
        fresh = random.randn(*self.shape, generator=generator, dtype=self.dtype, device=self.device)
        return inplace.assign(self, fresh * std + mean, "normal_")

    def bernoulli_(self, p=0.5, *, generator=None):
        """Fill with 1 at probability p, else 0."""
        u = random.rand(*self.shape, generator=generator, device=self.device)
        return inplace.assign(self, (u < p).to(self.dtype), "bernoulli_")

    def random_(self, from_=0, to=None, *, generator=None):
        """Fill with integers uniform on [from_, to)."""
        if to is None:
            from_, to = (
                (0, from_) if from_ else (0, 1 << 24 if self.is_floating_point() else dtypes.iinfo(self.dtype).max)
            )
        fresh = random.randint(from_, to, tuple(self.shape), generator=generator, device=self.device)
        return inplace.assign(self, fresh, "random_")

    def exponential_(self, lambd=1.0, *, generator=None):
        """Fill with numbers from an exponential distribution."""
        if not lambd > 0:
            raise RefusedError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}.")
        _floating(self, "exponential_")
        u = random.rand(*self.shape, generator=generator, dtype=self.dtype, device=self.device)
        return inplace.assign(self, ops.log1p(-u) / -lambd, "exponential_")

    def cauchy_(self, median=0, sigma=1, *, generator=None):
        """Fill with numbers from a Cauchy distribution."""
        if not sigma > 0:
            raise RefusedError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}.")
        u = _fresh_uniform(self, "cauchy_", generator)
        return inplace.assign(self, ops.tan((u - 0.5) * 3.141592653589793) * sigma + median, "cauchy_")

    def log_normal_(self, mean=1, std=2, *, generator=None):
        """Fill with numbers whose logarithm is normal with that mean and standard deviation."""
        if not std > 0:
            raise RefusedError(f"log_normal_ expects std > 0.0, but found std={std}.")
        _floating(self, "log_normal_")
        fresh = random.randn(tuple(self.shape), generator=generator, dtype=self.dtype, device=self.device)
        return inplace.assign(self, ops.exp(fresh * std + mean), "log_normal_")

    def geometric_(self, p, *, generator=None):
        """Fill with the number of trials until the first success, each with probability p: 1, 2, ..."""
        if not 0 < p < 1:
            raise RefusedError(f"geometric_ expects p to be in (0, 1), but got p={p}.")
        u = random.rand(tuple(self.shape), generator=generator, dtype=dtypes.float64, device=self.device)
        fresh = ops.ceil(ops.log1p(-u) / math.log1p(-p))
        return inplace.assign(self, ops.clamp(fresh, min=1), "geometric_")

    def fill_diagonal_(self, fill_value, wrap=False):
        """Set the main diagonal (of a matrix, or of a cube of equal sides); ``wrap`` goes on in tall matrices."""
        rank, shape = self._array.ndim, self.shape
        if rank < 2:
            raise RefusedError("dimensions must larger than 1.")
        if rank > 2 and len(set(shape)) > 1:
            raise RefusedError("all dimensions of input must be of equal length.")
        steps = self.stride()
        height, width = shape[0], shape[1]
        count = min(shape)
        inplace.assign(
            shaping.as_strided(self, (count,), (sum(steps),), self.storage_offset()), _scalar(self, fill_value), "fill_"
        )
        if wrap and rank == 2 and height > width + 1:
            start, rows = width + 1, height - width - 1
            while rows > 0:
                block = shaping.narrow(self, 0, start, rows)
                inplace.assign(shaping.diagonal(block), _scalar(self, fill_value), "fill_")
                start, rows = start + width + 1, rows - width - 1
        return self

    def map_(self, tensor, callable):
        """Set every value to ``callable(own, other's)``; on the CPU, one by one."""
        own, other = conversion.to_numpy_array(self), conversion.to_numpy_array(tensor)
        pairs = np.broadcast_arrays(own, other)
        values = [callable(a, b) for a, b in zip(*(p.reshape(-1).tolist() for p in pairs), strict=True)]
        return inplace.assign(self, wrap(np.array(values, own.dtype).reshape(own.shape)), "map_")

    def apply_(self, callable):
        """Set every value to ``callable(value)``; on the CPU, one by one."""
        if not self.is_cpu:
            raise ArgumentError("apply_ is only implemented on CPU tensors.")
        own = conversion.to_numpy_array(self)
        values = np.array([callable(a) for a in own.reshape(-1).tolist()], own.dtype)
        return inplace.assign(self, wrap(values.reshape(own.shape)), "apply_")

    def resize_(self, *sizes, memory_format=None):
        """Another shape over the same memory, which grows when it has to; what is new means nothing."""
        if self._node is not None:
            raise GradientError("cannot resize variables that require grad.")
        placement.resize(self, shaping.sizes(sizes))
        value.mark_mutated(self)
        return self

    def resize_as_(self, other, memory_format=None):
        """``resize_`` to another tensor's shape."""
        return self.resize_(_shape_of("resize_as_", other))

    def set_(self, source=None, storage_offset=0, size=None, stride=None):
        """Look at another tensor's memory from now on (with its shape, or the given one)."""
        if self._node is not None and state.grad:
            raise GradientError("set_ is not allowed on a tensor that requires grad.")
        if source is None:
            self._array = creation.zeros(0, dtype=self.dtype)._array
            return self
        if isinstance(source, TypedStorage):
            source = wrap(source._flat())
            size = (source._array.size,) if size is None else size
        if size is not None:
            steps, total = [], 1
            for n in reversed(tuple(size)):
                steps.append(total)
                total *= n
            stride = tuple(reversed(steps)) if stride is None else tuple(stride)
            source = shaping.as_strided(source, tuple(size), stride, storage_offset)
        if source._array.dtype != self._array.dtype:
            raise DtypeError(f"set_: expected a source of dtype {self.dtype}, got {source.dtype}.")
        self._array = source._array
        self._storage = value.storage_of(source)
        return self

    def swapaxes_(self, dim0, dim1):
        return _reshape_in_place(self, shaping.transpose(self, dim0, dim1))

    swapdims_ = swapaxes_

    def as_strided_(self, size, stride, storage_offset=None):
        return _reshape_in_place(self, shaping.as_strided(self, size, stride, storage_offset))

    def transpose_(self, dim0, dim1):
        return _reshape_in_place(self, shaping.transpose(self, dim0, dim1))

    def t_(self):
        return _reshape_in_place(self, shaping.t(self))

    def squeeze_(self, dim=None):
        return _reshape_in_place(self, shaping.squeeze(self, dim))

    def unsqueeze_(self, dim):
        return _reshape_in_place(self, shaping.unsqueeze(self, dim))


class ArgumentErrorOrRuntime(ArgumentError, RuntimeError):
    """PyTorch raises RuntimeError here, Python's sense says TypeError: both can be caught."""


class NotOneElement(ArgumentErrorOrRuntime, ValueError):
    """A tensor of several values used as one number: Python's ValueError, item()'s RuntimeError."""


class AmbiguousTruth(ArgumentErrorOrRuntime, ValueError):
    """A tensor of several values used as one truth value."""


def _floating(x, name: str) -> None:
    if not (x.is_floating_point() or x.is_complex()):
        raise UnsupportedDtype(f"{name}: not implemented for {x.dtype}: its values are fractions.")


def _fresh_uniform(x, name: str, generator):
    """Uniform numbers in (0, 1) with the tensor's shape."""
    _floating(x, name)
    u = random.rand(tuple(x.shape), generator=generator, dtype=dtypes.float64, device=x.device)
    return ops.clamp(u, min=1e-16)


def _scalar(x, number):
    return number if isinstance(number, Value) else conversion.tensor(number, dtype=x.dtype, device=x.device)


def _reshape_in_place(tensor, view):
    value.storage_of(tensor).version += 1
    tensor._array = view._array
    tensor._node = view._node if state.grad else tensor._node
    return tensor


def _rebuild(cls, array, requires_grad):
    new = object.__new__(cls)
    new._array = array
    new._node = None
    if requires_grad:
        new._node = Leaf(new)
    return new


def _to_device(x: Value, place) -> Value:
    """Copy to another device, differentiably."""
    place = device(place)
    current = x.device
    if place.type == current.type and (place.index is None or place.index == current.index):
        return x
    if place.type == "meta":
        return wrap(MetaArray(x._array.shape, x._array.dtype))
    if x.is_meta:
        raise NoData(
            "Cannot copy out of meta tensor; no data!",
            hint="Make the tensor on the real device, or fill a model with module.to_empty(device=...).",
        )
    return ops.to_device(x, device=place)


for _name in (
    "add sub mul div floor_divide remainder fmod pow neg abs sign exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square "
    "reciprocal sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc sigmoid relu floor ceil round trunc "
    "frac clamp clamp_min clamp_max lerp addcmul addcdiv nan_to_num scatter scatter_add index_add index_put masked_fill "
    "tril triu cumsum cumprod eq ne lt le gt ge logical_and logical_or logical_xor logical_not bitwise_and bitwise_or "
    "bitwise_xor bitwise_not absolute addbmm addmm addmv addr arccos arccosh arcsin arcsinh arctan arctan2 arctanh atan2 "
    "baddbmm bitwise_left_shift bitwise_right_shift conj_physical copysign deg2rad fix float_power gcd greater "
    "greater_equal heaviside hypot index_copy index_fill index_reduce lcm ldexp less less_equal masked_scatter "
    "negative nextafter not_equal put rad2deg renorm scatter_reduce sgn sinc true_divide"
).split():
    setattr(Tensor, _name + "_", _in_place(_name + "_", getattr(Tensor, _name)))
for _name in (
    "sum mean prod nansum nanmean max min amax amin argmax argmin any all var std norm median kthvalue logsumexp cumsum "
    "cumprod cummax cummin sort argsort topk softmax log_softmax squeeze unsqueeze count_nonzero quantile nanmedian "
    "aminmax mode gather index_select flip roll unbind split chunk diff logcumsumexp take_along_dim"
).split():
    setattr(Tensor, _name, numpy_names(getattr(Tensor, _name)))
for _name in "lgamma digamma erfinv i0 igamma igammac logit xlogy polygamma mvlgamma".split():
    setattr(Tensor, _name + "_", _in_place(_name + "_", getattr(Tensor, _name)))
for _name in "eig lstsq solve symeig".split():
    setattr(Tensor, _name, getattr(removed, _name))
Tensor.clip_ = Tensor.clamp_
Tensor.multiply_, Tensor.divide_, Tensor.subtract_ = Tensor.mul_, Tensor.div_, Tensor.sub_
Tensor.__iadd__, Tensor.__isub__, Tensor.__imul__ = Tensor.add_, Tensor.sub_, Tensor.mul_
Tensor.__itruediv__, Tensor.__ifloordiv__, Tensor.__imod__ = Tensor.div_, Tensor.floor_divide_, Tensor.remainder_
Tensor.__ipow__, Tensor.__iand__, Tensor.__ior__ = Tensor.pow_, Tensor.bitwise_and_, Tensor.bitwise_or_
Tensor.__ixor__ = Tensor.bitwise_xor_
Tensor.__ilshift__, Tensor.__irshift__ = Tensor.bitwise_left_shift_, Tensor.bitwise_right_shift_

check_methods(Tensor)

value.register_tensor_class(Tensor)
