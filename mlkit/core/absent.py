"""Names of PyTorch that mlkit does not have, with the reason: asking for one says so."""

from __future__ import annotations

import functools
import re

from mlkit.core.errors import MissingFeature


class MissingName(MissingFeature, AttributeError):
    """A public name of PyTorch that is not here. ``hasattr`` says False, using it says why."""


#: (what it is, the names as a pattern)
_ABSENT = (
    (
        "Sparse tensors",
        r"sparse_.*|.*_sparse(_.*)?|to_sparse.*|coalesce|is_coalesced|(ccol_|col_|crow_|row_)indices(_copy)?|"
        r"indices(_copy)?|values(_copy)?|dsmm|hsmm|hspmm|spmm|smm|saddmm|sspaddmm|resize_as_sparse_|sparse|"
        r"dense_dim|to_dense|is_sparse_csr",
    ),
    (
        "Quantised tensors",
        r"quantize_.*|quantized_.*|q_(scale|zero_point|per_channel_.*)|qscheme|q(u?int)(8|32|4x2|2x4)|"
        r"dequantize|int_repr|fake_quantize_.*|choose_qparams_.*|fused_moving_avg_obs_fake_quant|fbgemm_.*|"
        r"Q?U?Int(8|32|4x2|2x4)Storage|empty_quantized|per_(tensor|channel)_.*",
    ),
    (
        "Element types that NumPy and CuPy cannot compute with (complex32, float8 and what is below a byte)",
        r"u?int[1-7]|bit|bits\d.*|float[48]_e.*|complex32|chalf",
    ),
    (
        "Storages of one element type each (UntypedStorage and TypedStorage are here)",
        r"(BFloat16|Bool|Byte|Char|ComplexDouble|ComplexFloat|Double|Float|Half|Int|Long|Short)Storage|Storage(Base)?|"
        r"is_storage|legacy_contiguous_format",
    ),
    (
        "autocast's older functions, one per device (autocast(device_type) and get_autocast_dtype(device_type) are here)",
        r"autocast_(in|de)crement_nesting|(get|set|is)_autocast_(cpu|gpu|ipu|xla)_(dtype|enabled)",
    ),
    (
        "Entry points of PyTorch's kernels (nn.functional has the functions themselves) and the LOBPCG solver (use "
        "linalg.eigh)",
        r"embedding_bag|lobpcg|get_device_module|resize(_as)?|index|OutOfMemoryError|grouped_mm|scaled_mm|"
        r"scaled_grouped_mm|LinearCrossEntropyOptions|ScalingType|SwizzleType",
    ),
    ("Nested tensors", r"nested|nested_tensor|jagged|to_padded_tensor"),
    (
        "Other vendors' kernels and devices",
        r"(cudnn|miopen|mkldnn|mkl|native|nnpack|vulkan|mtia|xpu|ipu|mps)(_.*)?|is_(vulkan|mkldnn|mps|xla|xpu|ipu|maia|mtia)"
        r"|is_vulkan_available|to_mkldnn|.*_batch_norm_.*|batch_norm_.*",
    ),
    (
        "TorchScript and PyTorch's compiler internals",
        r".*Type$|Script.*|Lite.*|Compilation.*|Concrete.*|Code|Block|Graph|GraphExecutorState|Node|Use|Value|Argument"
        r"(Spec)?|Alias.*|Capsule|CallStack|Complete.*|Dispatch.*|Execution.*|FileCheck|FunctionSchema|IODescriptor|"
        r"JITException|ErrorReport|Locking.*|Logger.*|Noop.*|OperatorInfo|PyTorchFile.*|StaticModule|SymBool|SymFloat|"
        r"SymInt|Tag|ThroughputBenchmark|TracingState|Gradient|import_ir.*|parse_.*|merge_type.*|unify_type.*|fork|wait|"
        r"sym_.*|Deserialization.*|Serialization.*|DeepCopyMemoTable|Benchmark.*|AggregationType|AnyType|Future|"
        r"BufferDict|ModuleDict|ParameterDict|Exclude.*|DisableTorchFunction.*|classproperty|get_file_path|"
        r"prepare_multiprocessing_environment|profiler_.*|thread_safe_generator|typename_.*|slice_inverse|cond|while_loop|"
        r"init_num_threads|compiled_with_cxx11_abi|record_stream|reinforce|hash_tensor|const_data_ptr|map2_|volatile|"
        r"name|AcceleratorError|FatalError|Stream(ObjType)?|Event|is_distributed|grad_dtype|module_load|storage_type",
    ),
)


@functools.cache
def _patterns() -> tuple:
    return tuple((what, re.compile(pattern + r"\Z")) for what, pattern in _ABSENT)


def not_now(name: str) -> str | None:
    """What kind of thing ``name`` belongs to that mlkit does not have; None when it is no such name."""
    return next((what for what, pattern in _patterns() if pattern.match(name)), None)


def missing_name(owner: str, name: str) -> MissingName | None:
    """The error for a name that is known and not here."""
    what = not_now(name)
    if what is None:
        return None
    return MissingName(f"{owner}.{name} is not in mlkit.", f"{what} are not supported now.")
