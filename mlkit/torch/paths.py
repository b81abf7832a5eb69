"""PyTorch's import paths, and where their names live here.

A path's names are looked for in its places from left to right; a place that is not there is passed over. Rooms that come
to mlkit under PyTorch's names need no line here when their place is already named.
"""

from __future__ import annotations

_PLACES = """
torch: mlkit.torch.parts.root mlkit
torch.accelerator: mlkit.accelerator
torch.amp: mlkit.amp
torch.amp.autocast_mode: mlkit.amp.autocast_mode mlkit.amp
torch.amp.grad_scaler: mlkit.amp.grad_scaler mlkit.amp
torch.autograd: mlkit.torch.parts.autograd mlkit.autograd
torch.autograd.anomaly_mode: mlkit.autograd.anomaly_mode
torch.autograd.forward_ad: mlkit.autograd.forward_ad
torch.autograd.function: mlkit.autograd.function
torch.autograd.functional: mlkit.autograd.functional
torch.autograd.grad_mode: mlkit.autograd.grad_mode
torch.autograd.gradcheck: mlkit.autograd
torch.autograd.graph: mlkit.autograd.graph
torch.autograd.variable: mlkit.autograd
torch.backends: mlkit.torch.parts.backends
torch.backends.cuda: mlkit.torch.parts.backends_cuda
torch.backends.cudnn: mlkit.torch.parts.backends_cudnn
torch.backends.mkl: mlkit.torch.parts.unavailable
torch.backends.mkldnn: mlkit.torch.parts.unavailable
torch.backends.mha: mlkit.torch.parts.backends_switches
torch.backends.opt_einsum: mlkit.torch.parts.backends_switches
torch.backends.quantized: mlkit.torch.parts.backends_switches
torch.__config__: mlkit.torch.parts.config
torch.backends.mps: mlkit.torch.parts.unavailable
torch.backends.openmp: mlkit.torch.parts.unavailable
torch.compiler: mlkit.torch.parts.compiler
torch.cpu: mlkit.torch.parts.cpu
torch.cuda: mlkit.torch.parts.cuda mlkit.cuda
torch.cuda.amp: mlkit.cuda.amp
torch.cuda.amp.autocast_mode: mlkit.cuda.amp
torch.cuda.amp.grad_scaler: mlkit.cuda.amp
torch.distributed: mlkit.torch.parts.distributed
torch.distributions: mlkit.distributions
torch.distributions.constraint_registry: mlkit.distributions.constraint_registry
torch.distributions.constraints: mlkit.distributions.constraints
torch.distributions.kl: mlkit.distributions.kl mlkit.distributions
torch.distributions.transforms: mlkit.distributions.transforms
torch.fft: mlkit.fft
torch.func: mlkit.func
torch.functional: mlkit
torch.hub: mlkit.torch.parts.hub
torch.jit: mlkit.torch.parts.jit
torch.linalg: mlkit.linalg
torch.mps: mlkit.torch.parts.unavailable
torch.multiprocessing: mlkit.torch.parts.multiprocessing
torch.nn: mlkit.torch.parts.nn mlkit.nn
torch.nn.attention: mlkit.torch.parts.nn_attention
torch.nn.common_types: mlkit.torch.parts.types
torch.nn.functional: mlkit.nn.functional
torch.nn.grad: mlkit.nn.grad
torch.nn.init: mlkit.nn.init
torch.nn.modules: mlkit.torch.parts.nn mlkit.nn.modules
torch.nn.modules.batchnorm: mlkit.nn.normalization mlkit.torch.parts.nn mlkit.nn.modules
torch.nn.modules.conv: mlkit.nn.convolution mlkit.torch.parts.nn mlkit.nn.modules
torch.nn.modules.dropout: mlkit.nn.dropout mlkit.torch.parts.nn mlkit.nn.modules
torch.nn.modules.instancenorm: mlkit.nn.normalization mlkit.torch.parts.nn mlkit.nn.modules
torch.nn.modules.loss: mlkit.nn.loss mlkit.torch.parts.nn mlkit.nn.modules
torch.nn.modules.module: mlkit.nn.module mlkit.torch.parts.nn mlkit.nn.modules
torch.nn.modules.utils: mlkit.nn.modules.utils
torch.nn.parallel: mlkit.nn.parallel
torch.nn.parallel.data_parallel: mlkit.nn.parallel
torch.nn.parallel.distributed: mlkit.nn.parallel
torch.nn.parameter: mlkit.nn.parameter mlkit.nn
torch.nn.utils: mlkit.nn.utils
torch.nn.utils.clip_grad: mlkit.nn.utils.clip_grad mlkit.nn.utils
torch.nn.utils.convert_parameters: mlkit.nn.utils.convert_parameters mlkit.nn.utils
torch.nn.utils.fusion: mlkit.nn.utils.fusion
torch.nn.utils.init: mlkit.nn.utils.init
torch.nn.utils.parametrizations: mlkit.nn.utils.parametrizations
torch.nn.utils.parametrize: mlkit.nn.utils.parametrize
torch.nn.utils.prune: mlkit.nn.utils.prune
torch.nn.utils.rnn: mlkit.nn.utils.rnn
torch.nn.utils.spectral_norm: mlkit.nn.utils.spectral_norm mlkit.nn.utils
torch.nn.utils.stateless: mlkit.nn.utils.stateless
torch.nn.utils.weight_norm: mlkit.nn.utils.weight_norm mlkit.nn.utils
torch.onnx: mlkit.torch.parts.onnx
torch.optim: mlkit.optim
torch.optim.lr_scheduler: mlkit.torch.parts.lr_scheduler mlkit.optim.lr_scheduler
torch.optim.optimizer: mlkit.optim.optimizer mlkit.optim
torch.optim.swa_utils: mlkit.optim.swa_utils
torch.random: mlkit.torch.parts.random

torch.serialization: mlkit.torch.parts.serialization
torch.signal: mlkit.signal
torch.signal.windows: mlkit.signal.windows
torch.special: mlkit.special
torch.testing: mlkit.testing
torch.torch_version: mlkit.torch.parts.version
torch.types: mlkit.torch.parts.types
torch.utils: mlkit.torch.parts.utils mlkit.utils
torch.utils.checkpoint: mlkit.utils.checkpoint
torch.utils.collect_env: mlkit.torch.parts.collect_env
torch.utils.data: mlkit.utils.data mlkit.data
torch.utils.data.dataloader: mlkit.utils.data mlkit.data
torch.utils.data.dataset: mlkit.utils.data mlkit.data
torch.utils.data.distributed: mlkit.data.distributed mlkit.data
torch.utils.data.sampler: mlkit.utils.data mlkit.data
torch.utils.data._utils: mlkit.data
torch.utils.data._utils.collate: mlkit.data.collate
torch.utils.dlpack: mlkit.utils.dlpack
torch.utils.model_zoo: mlkit.torch.parts.hub
torch.utils.tensorboard: mlkit.utils.tensorboard
torch.utils.tensorboard.writer: mlkit.utils.tensorboard
torch.version: mlkit.torch.parts.version
torchvision: mlkit.torch.parts.torchvision
torchvision.datasets: mlkit.data.datasets mlkit.torch.parts.torchvision_datasets
torchvision.models: mlkit.torch.parts.models
torchvision.models.alexnet: mlkit.torch.parts.models.plain
torchvision.models.convnext: mlkit.torch.parts.models.efficientnet
torchvision.models.densenet: mlkit.torch.parts.models.densenet
torchvision.models.efficientnet: mlkit.torch.parts.models.efficientnet
torchvision.models.mobilenet: mlkit.torch.parts.models.mobilenet
torchvision.models.mobilenetv2: mlkit.torch.parts.models.mobilenet
torchvision.models.mobilenetv3: mlkit.torch.parts.models.mobilenet
torchvision.models.resnet: mlkit.torch.parts.models.resnet
torchvision.models.squeezenet: mlkit.torch.parts.models.plain
torchvision.models.vgg: mlkit.torch.parts.models.plain
torchvision.models.vision_transformer: mlkit.torch.parts.models.vit
torchvision.transforms: mlkit.data.transforms
torchvision.transforms.functional: mlkit.data.transforms.functional
torchvision.transforms.v2: mlkit.data.transforms mlkit.torch.parts.torchvision_v2
torchvision.transforms.v2.functional: mlkit.data.transforms.functional mlkit.torch.parts.torchvision_v2_functional
torchvision.utils: mlkit.torch.parts.torchvision_utils
"""

#: files of PyTorch that hold a few classes each, by the path they are under; the names are the path's own
_FILES = {
    "torch.nn.modules": "activation batchnorm channelshuffle container conv distance dropout flatten fold instancenorm lazy "
    "linear loss module normalization padding pixelshuffle pooling rnn sparse transformer upsampling",
    "torch.optim": "adadelta adafactor adagrad adam adamax adamw asgd lbfgs nadam radam rmsprop rprop sgd sparse_adam",
    "torch.distributions": "bernoulli beta binomial categorical cauchy chi2 continuous_bernoulli dirichlet distribution "
    "exp_family exponential fishersnedecor gamma geometric gumbel half_cauchy half_normal independent inverse_gamma "
    "kumaraswamy laplace lkj_cholesky log_normal logistic_normal lowrank_multivariate_normal mixture_same_family multinomial "
    "multivariate_normal negative_binomial normal one_hot_categorical pareto poisson relaxed_bernoulli relaxed_categorical "
    "studentT transformed_distribution uniform von_mises weibull wishart",
}


def _table() -> dict[str, tuple[str, ...]]:
    table = {}
    for line in _PLACES.split("\n"):
        if line:
            path, _, places = line.partition(": ")
            table[path] = tuple(places.split())
    for path, files in _FILES.items():
        own = "mlkit.nn.modules.{}" if path == "torch.nn.modules" else f"mlkit.{path.partition('.')[2]}.{{}}"
        for file in files.split():
            table.setdefault(f"{path}.{file}", (own.format(file), *table[path]))
    return table


#: path -> places
PLACES = _table()

#: files of PyTorch whose name is a function's one path up, which is what that attribute is
SHADOWED = {
    "torchvision.models.alexnet",
    "torch.autograd.gradcheck",
    "torch.nn.parallel.data_parallel",
    "torch.nn.utils.spectral_norm",
    "torch.nn.utils.weight_norm",
}

#: paths that are not complete -> what to do for a name that is missing there
INSTEAD = {
    "torchvision.datasets": " Read its files with ImageFolder, DatasetFolder or a Dataset class of your own.",
    "torchvision.models": " torchvision.models.list_models() names those that are here.",
    "torchvision.transforms.v2": " Transforms change images alone; boxes, masks, key points and videos have none.",
}

#: paths that are not here -> why, and what there is instead
NOT_HERE = {
    "torch._C": "PyTorch's compiled core. mlkit is Python on NumPy and CuPy and has none.",
    "torch._dynamo": "PyTorch's compiler internals.",
    "torch._inductor": "PyTorch's compiler internals.",
    "torch.ao": "Quantised tensors are not supported now.",
    "torch.autograd.profiler": "PyTorch's profiler. mlkit.compiler.trace records operations and their seconds.",
    "torch.contrib": "PyTorch's old folder of experiments.",
    "torch.export": "Exported programs are PyTorch's own format.",
    "torch.futures": "They belong to TorchScript and RPC.",
    "torch.fx": "Symbolic tracing of Python programs. mlkit.compiler.trace runs a model once and gives its graph.",
    "torch.library": "Registering kernels with PyTorch's dispatcher; torch.autograd.Function is here.",
    "torch.masked": "Masked tensors are not supported now.",
    "torch.monitor": "PyTorch's own counters; mlkit.observe records runs.",
    "torch.mtia": "Other vendors' devices are not supported.",
    "torch.nested": "Nested tensors are not supported now.",
    "torch.nn.qat": "Quantised tensors are not supported now.",
    "torch.nn.quantized": "Quantised tensors are not supported now.",
    "torch.ops": "PyTorch's table of compiled operators.",
    "torch.overrides": "PyTorch's __torch_function__ protocol is not there.",
    "torch.package": "PyTorch's archives of Python code; mlkit never runs code from a file of data.",
    "torch.profiler": "PyTorch's profiler. mlkit.compiler.trace records operations and their seconds.",
    "torch.quantization": "Quantised tensors are not supported now.",
    "torch.sparse": "Sparse tensors are not supported now.",
    "torch.storage": "PyTorch's storage classes; torch.UntypedStorage and torch.TypedStorage are here.",
    "torch.utils.benchmark": "PyTorch's timers; use timeit or %timeit.",
    "torch.utils.bottleneck": "PyTorch's profiler is not there.",
    "torch.utils.cpp_extension": "Compiled extensions need PyTorch's C++ library.",
    "torch.utils.mobile_optimizer": "TorchScript is not there.",
    "torch.xpu": "Other vendors' devices are not supported.",
    "torchvision.io": "Use Pillow to read and write images.",
    "torchvision.models.detection": "Detection models are not there.",
    "torchvision.models.feature_extraction": "It needs torch.fx; take a layer's output with register_forward_hook.",
    "torchvision.models.optical_flow": "Models of optical flow are not there.",
    "torchvision.models.quantization": "Quantised tensors are not supported now.",
    "torchvision.models.segmentation": "Segmentation models are not there; build one with torchvision.models' networks.",
    "torchvision.models.video": "Models of videos are not there.",
    "torchvision.tv_tensors": "Transforms change images alone; boxes, masks and key points have no classes.",
    "torchvision.ops": "Detection operators are not there.",
}


def why_not(path: str) -> str | None:
    """Why a path is not here; None where nothing is known of it."""
    while path:
        if path in NOT_HERE:
            return NOT_HERE[path]
        path = path.rpartition(".")[0]
    return None
