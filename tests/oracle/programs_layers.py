"""Every layer and loss once or more, run under PyTorch and under mlkit.

``LAYERS`` has a row per layer: the expression that makes it, its inputs (a shape, or an expression), and how many of the
inputs want a gradient (1 unless said). The parity table (``python -m tests.oracle.parity``) has the same rows.
"""

from __future__ import annotations

import zlib

import numpy as np

IMAGE = "(2, 4, 6, 5)"
PAIR = "numbers(5, 4), numbers(5, 4)"
CLASSES = "numbers(5, 4), T.tensor([1, 0, 3, 2, 1])"
SIGNS = "T.tensor([1.0, -1.0, 1.0, -1.0, 1.0], dtype=T.float64)"
SEQUENCE = "(5, 3, 4)"

LAYERS: dict[str, tuple] = {
    # linear
    "Linear": ("nn.Linear(6, 4)", "(3, 6)"),
    "Identity": ("nn.Identity(3, a=1)", "(3, 6)"),
    "Bilinear": ("nn.Bilinear(3, 4, 2)", "numbers(5, 3), numbers(5, 4)", 2),
    "Bilinear_no_bias": ("nn.Bilinear(3, 4, 2, bias=False)", "numbers(2, 5, 3), numbers(2, 5, 4)", 2),
    "LazyLinear": ("nn.LazyLinear(4)", "(3, 6)"),
    "Flatten": ("nn.Flatten(1, 2)", "(3, 4, 2, 2)"),
    "Unflatten": ("nn.Unflatten(1, (2, 3))", "(4, 6)"),
    # convolution
    "Conv1d": ("nn.Conv1d(4, 6, 3, stride=2, padding=1)", "(2, 4, 9)"),
    "Conv1d_unbatched": ("nn.Conv1d(4, 6, 3)", "(4, 9)"),
    "Conv1d_circular": ("nn.Conv1d(4, 6, 3, padding=2, padding_mode='circular')", "(2, 4, 9)"),
    "Conv2d": ("nn.Conv2d(4, 6, 3, padding=1)", IMAGE),
    "Conv2d_reflect": ("nn.Conv2d(4, 6, 3, padding=(1, 2), padding_mode='reflect')", IMAGE),
    "Conv2d_replicate_same": ("nn.Conv2d(4, 6, 4, padding='same', padding_mode='replicate')", IMAGE),
    "Conv2d_valid": ("nn.Conv2d(4, 6, 3, padding='valid', groups=2)", IMAGE),
    "Conv3d": ("nn.Conv3d(2, 3, 2, padding=1, dilation=2)", "(1, 2, 4, 4, 4)"),
    "ConvTranspose1d": ("nn.ConvTranspose1d(4, 6, 3, stride=2, padding=1, output_padding=1)", "(2, 4, 5)"),
    "ConvTranspose2d": ("nn.ConvTranspose2d(4, 6, (3, 2), stride=(2, 1), groups=2)", IMAGE),
    "ConvTranspose2d_dilated": ("nn.ConvTranspose2d(4, 2, 3, padding=1, dilation=2, bias=False)", IMAGE),
    "ConvTranspose2d_size": ("nn.ConvTranspose2d(4, 2, 3, stride=3)", "numbers(1, 4, 3, 3), [10, 11]"),
    "ConvTranspose3d": ("nn.ConvTranspose3d(2, 3, 2, stride=2)", "(1, 2, 3, 2, 3)"),
    "LazyConv1d": ("nn.LazyConv1d(6, 3)", "(2, 4, 9)"),
    "LazyConv2d": ("nn.LazyConv2d(6, 3, groups=2)", IMAGE),
    "LazyConv3d": ("nn.LazyConv3d(3, 2)", "(1, 2, 4, 4, 4)"),
    "LazyConvTranspose1d": ("nn.LazyConvTranspose1d(6, 3)", "(2, 4, 5)"),
    "LazyConvTranspose2d": ("nn.LazyConvTranspose2d(6, 3, stride=2)", IMAGE),
    "LazyConvTranspose3d": ("nn.LazyConvTranspose3d(3, 2)", "(1, 2, 3, 2, 3)"),
    "Unfold": ("nn.Unfold((2, 3), dilation=(2, 1), padding=1, stride=2)", IMAGE),
    "Fold": ("nn.Fold((4, 5), (2, 3), padding=1, stride=2)", "(2, 12, 9)"),
    # padding
    "ConstantPad1d": ("nn.ConstantPad1d((3, 1), 3.5)", "(2, 3, 4)"),
    "ConstantPad2d": ("nn.ConstantPad2d((3, 0, 2, 1), 3.5)", IMAGE),
    "ConstantPad3d": ("nn.ConstantPad3d(1, 3.5)", "(1, 2, 3, 3, 2)"),
    "ZeroPad1d": ("nn.ZeroPad1d(2)", "(2, 3, 4)"),
    "ZeroPad2d": ("nn.ZeroPad2d((1, -1, 2, 0))", IMAGE),
    "ZeroPad3d": ("nn.ZeroPad3d(1)", "(1, 2, 3, 3, 2)"),
    "ReflectionPad1d": ("nn.ReflectionPad1d((3, 1))", "(2, 3, 4)"),
    "ReflectionPad2d": ("nn.ReflectionPad2d((1, 2, 3, 0))", IMAGE),
    "ReflectionPad3d": ("nn.ReflectionPad3d(1)", "(1, 2, 3, 3, 2)"),
    "ReplicationPad1d": ("nn.ReplicationPad1d((3, 1))", "(2, 3, 4)"),
    "ReplicationPad2d": ("nn.ReplicationPad2d((1, 9, 3, 0))", IMAGE),
    "ReplicationPad3d": ("nn.ReplicationPad3d(2)", "(1, 2, 3, 3, 2)"),
    "CircularPad1d": ("nn.CircularPad1d((3, 4))", "(2, 3, 4)"),
    "CircularPad2d": ("nn.CircularPad2d((1, 2, 3, 0))", IMAGE),
    "CircularPad3d": ("nn.CircularPad3d(1)", "(1, 2, 3, 3, 2)"),
    # resampling
    "Upsample": ("nn.Upsample(scale_factor=2)", "(1, 2, 4)"),
    "Upsample_size": ("nn.Upsample((5, 9), mode='bilinear', align_corners=True)", "(1, 2, 4, 3)"),
    "Upsample_bicubic": ("nn.Upsample(scale_factor=(1.7, 2.3), mode='bicubic')", "(1, 2, 4, 5)"),
    "Upsample_trilinear": ("nn.Upsample(scale_factor=1.5, mode='trilinear')", "(1, 2, 4, 3, 2)"),
    "UpsamplingNearest2d": ("nn.UpsamplingNearest2d(scale_factor=3)", "(1, 2, 4, 3)"),
    "UpsamplingBilinear2d": ("nn.UpsamplingBilinear2d((7, 2))", "(1, 2, 4, 3)"),
    "PixelShuffle": ("nn.PixelShuffle(2)", "(2, 8, 3, 2)"),
    "PixelUnshuffle": ("nn.PixelUnshuffle(2)", "(2, 3, 6, 4)"),
    "ChannelShuffle": ("nn.ChannelShuffle(2)", "(1, 6, 2, 2)"),
    # pooling
    "MaxPool1d": ("nn.MaxPool1d(3, 2, padding=1)", "(2, 3, 9)"),
    "MaxPool2d": ("nn.MaxPool2d(3, 2, dilation=2, ceil_mode=True, return_indices=True)", "(1, 2, 9, 8)"),
    "MaxPool3d": ("nn.MaxPool3d(2, stride=(1, 2, 2))", "(1, 2, 4, 4, 5)"),
    "MaxUnpool1d": ("nn.MaxUnpool1d(2)", "*F.max_pool1d(numbers(2, 3, 8), 2, return_indices=True)"),
    "MaxUnpool2d": ("nn.MaxUnpool2d(2, stride=2)", "*F.max_pool2d(numbers(1, 2, 5, 4), 2, return_indices=True), (1, 2, 5, 4)"),
    "MaxUnpool3d": ("nn.MaxUnpool3d(2)", "*F.max_pool3d(numbers(1, 2, 4, 4, 2), 2, return_indices=True)"),
    "AvgPool1d": ("nn.AvgPool1d(3, 2, padding=1, count_include_pad=False)", "(2, 3, 9)"),
    "AvgPool2d": ("nn.AvgPool2d(3, 2, padding=1, ceil_mode=True)", "(1, 2, 8, 8)"),
    "AvgPool2d_divisor": ("nn.AvgPool2d((2, 3), divisor_override=4)", "(1, 2, 8, 8)"),
    "AvgPool3d": ("nn.AvgPool3d(2, padding=1)", "(1, 2, 4, 4, 5)"),
    "LPPool1d": ("nn.LPPool1d(2, 3, stride=2)", "(2, 3, 9)"),
    "LPPool2d": ("nn.LPPool2d(3, 2)", "numbers(1, 2, 6, 5).abs()"),
    "LPPool3d": ("nn.LPPool3d(2, 2)", "(1, 2, 4, 4, 2)"),
    "FractionalMaxPool2d": (
        "nn.FractionalMaxPool2d(2, output_size=(4, 3), return_indices=True, _random_samples=uniforms(1, 2, 2))",
        "(1, 2, 9, 8)",
    ),
    "FractionalMaxPool2d_ratio": (
        "nn.FractionalMaxPool2d(3, output_ratio=(0.5, 0.6), _random_samples=uniforms(1, 2, 2))", "(1, 2, 9, 8)",
    ),  # fmt: skip
    "FractionalMaxPool3d": (
        "nn.FractionalMaxPool3d(2, output_size=(2, 3, 2), _random_samples=uniforms(1, 2, 3))", "(1, 2, 5, 7, 6)",
    ),  # fmt: skip
    "AdaptiveAvgPool1d": ("nn.AdaptiveAvgPool1d(4)", "(2, 3, 9)"),
    "AdaptiveAvgPool2d": ("nn.AdaptiveAvgPool2d((3, None))", "(1, 2, 7, 5)"),
    "AdaptiveAvgPool3d": ("nn.AdaptiveAvgPool3d((2, 3, 7))", "(1, 2, 5, 4, 3)"),
    "AdaptiveMaxPool1d": ("nn.AdaptiveMaxPool1d(4, return_indices=True)", "(2, 3, 9)"),
    "AdaptiveMaxPool2d": ("nn.AdaptiveMaxPool2d((3, 4))", "(1, 2, 7, 9)"),
    "AdaptiveMaxPool3d": ("nn.AdaptiveMaxPool3d((2, 3, 1), return_indices=True)", "(1, 2, 5, 4, 3)"),
    # activations
    **{
        name: (f"nn.{name}()", "wide()")
        for name in (
            "ReLU ReLU6 ELU SELU CELU GELU SiLU Mish Hardsigmoid Hardswish Hardtanh Hardshrink Softshrink LeakyReLU "
            "LogSigmoid Sigmoid Softplus Softsign Tanh Tanhshrink PReLU GLU"
        ).split()
    },
    "ReLU_inplace": ("nn.Sequential(nn.Linear(4, 5), nn.ReLU(inplace=True), nn.Linear(5, 2))", "(3, 4)"),
    "CELU_alpha": ("nn.CELU(0.7, inplace=False)", "wide()"),
    "GELU_tanh": ("nn.GELU('tanh')", "wide()"),
    "Hardtanh_bounds": ("nn.Hardtanh(-0.5, 2.0)", "wide()"),
    "LeakyReLU_slope": ("nn.LeakyReLU(0.2)", "wide()"),
    "Softplus_beta": ("nn.Softplus(3, threshold=2.0)", "wide()"),
    "Threshold": ("nn.Threshold(0.3, -2.0)", "wide()"),
    "RReLU": ("nn.RReLU(0.1, 0.4).eval()", "wide()"),
    "PReLU_channels": ("nn.PReLU(3, init=0.1)", "(2, 3, 4)"),
    "Softmax": ("nn.Softmax(dim=1)", "(3, 4)"),
    "Softmax2d": ("nn.Softmax2d()", "(2, 3, 2, 2)"),
    "Softmin": ("nn.Softmin(dim=0)", "(3, 4)"),
    "LogSoftmax": ("nn.LogSoftmax(-1)", "(3, 4)"),
    "GLU_dim": ("nn.GLU(0)", "(4, 3)"),
    # dropout
    **{
        name: (f"nn.{name}(0.4).eval()", "(2, 3, 4)")
        for name in "Dropout Dropout1d Dropout2d Dropout3d AlphaDropout FeatureAlphaDropout".split()
    },
    "Dropout_all": ("nn.Dropout(1.0)", "(3, 4)"),
    # normalisation
    "BatchNorm1d": ("nn.BatchNorm1d(4)", "(6, 4)"),
    "BatchNorm2d": ("nn.BatchNorm2d(4, momentum=None)", IMAGE),
    "BatchNorm2d_untracked": ("nn.BatchNorm2d(4, track_running_stats=False)", IMAGE),
    "BatchNorm3d": ("nn.BatchNorm3d(2, affine=False)", "(2, 2, 2, 3, 2)"),
    "SyncBatchNorm": ("nn.SyncBatchNorm(4).eval()", IMAGE),
    "LazyBatchNorm1d": ("nn.LazyBatchNorm1d()", "(6, 4)"),
    "LazyBatchNorm2d": ("nn.LazyBatchNorm2d(affine=False)", IMAGE),
    "LazyBatchNorm3d": ("nn.LazyBatchNorm3d()", "(2, 2, 2, 3, 2)"),
    "InstanceNorm1d": ("nn.InstanceNorm1d(4)", "(2, 4, 5)"),
    "InstanceNorm1d_unbatched": ("nn.InstanceNorm1d(4, affine=True)", "(4, 5)"),
    "InstanceNorm2d": ("nn.InstanceNorm2d(4, affine=True, track_running_stats=True)", IMAGE),
    "InstanceNorm3d": ("nn.InstanceNorm3d(2)", "(2, 2, 2, 3, 2)"),
    "LazyInstanceNorm1d": ("nn.LazyInstanceNorm1d(affine=True, track_running_stats=True)", "(2, 4, 5)"),
    "LazyInstanceNorm2d": ("nn.LazyInstanceNorm2d(affine=True, track_running_stats=True)", IMAGE),
    "LazyInstanceNorm3d": ("nn.LazyInstanceNorm3d(affine=True, track_running_stats=True)", "(2, 2, 2, 3, 2)"),
    "GroupNorm": ("nn.GroupNorm(2, 4)", IMAGE),
    "GroupNorm_plain": ("nn.GroupNorm(4, 4, affine=False)", "(3, 4)"),
    "LayerNorm": ("nn.LayerNorm((3, 5))", "(2, 3, 5)"),
    "LayerNorm_no_bias": ("nn.LayerNorm(5, bias=False)", "(2, 3, 5)"),
    "RMSNorm": ("nn.RMSNorm((3, 5))", "(2, 3, 5)"),
    "RMSNorm_eps": ("nn.RMSNorm(5, eps=0.1, elementwise_affine=False)", "(2, 3, 5)"),
    "LocalResponseNorm": ("nn.LocalResponseNorm(3, alpha=0.1, k=2)", IMAGE),
    "weight_norm": ("nn.utils.parametrizations.weight_norm(nn.Linear(4, 3))", "(2, 4)"),
    "weight_norm_conv": ("nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 3, 3), dim=None)", IMAGE),
    "spectral_norm": ("nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3))", "(2, 4)"),
    "spectral_norm_transposed": ("nn.utils.parametrizations.spectral_norm(nn.ConvTranspose2d(4, 3, 3))", IMAGE),
    "spectral_norm_hook": ("nn.utils.spectral_norm(nn.Linear(4, 3), n_power_iterations=2)", "(2, 4)"),
    # recurrent
    "RNN": ("nn.RNN(4, 3)", SEQUENCE),
    "RNN_relu": ("nn.RNN(4, 3, 2, nonlinearity='relu', bidirectional=True)", SEQUENCE),
    "LSTM": ("nn.LSTM(4, 3)", SEQUENCE),
    "LSTM_deep": ("nn.LSTM(4, 3, num_layers=2, bidirectional=True, batch_first=True)", SEQUENCE),
    "LSTM_projection": ("nn.LSTM(4, 3, 2, proj_size=2, bidirectional=True)", SEQUENCE),
    "LSTM_states": ("nn.LSTM(4, 3, bias=False)", "numbers(5, 2, 4), (numbers(1, 2, 3), numbers(1, 2, 3))"),
    "LSTM_unbatched": ("nn.LSTM(4, 3, 2)", "(5, 4)"),
    "LSTM_packed": (
        "nn.LSTM(4, 3, 2, bidirectional=True)",
        "nn.utils.rnn.pack_padded_sequence(numbers(5, 3, 4), [2, 5, 3], enforce_sorted=False)",
    ),
    "GRU": ("nn.GRU(4, 3)", SEQUENCE),
    "GRU_deep": ("nn.GRU(4, 3, 2, bidirectional=True, dropout=0.3, bias=False).eval()", SEQUENCE),
    "GRU_packed": ("nn.GRU(4, 3)", "nn.utils.rnn.pack_sequence([numbers(4, 4), numbers(2, 4)])"),
    "RNNCell": ("nn.RNNCell(4, 3)", "numbers(2, 4), numbers(2, 3)", 2),
    "RNNCell_relu": ("nn.RNNCell(4, 3, bias=False, nonlinearity='relu')", "(2, 4)"),
    "LSTMCell": ("nn.LSTMCell(4, 3)", "numbers(2, 4), (numbers(2, 3), numbers(2, 3))"),
    "GRUCell": ("nn.GRUCell(4, 3)", "numbers(2, 4), numbers(2, 3)", 2),
    "GRUCell_unbatched": ("nn.GRUCell(4, 3)", "(4,)"),
    # attention
    "MultiheadAttention": ("nn.MultiheadAttention(6, 2)", "numbers(4, 2, 6), numbers(5, 2, 6), numbers(5, 2, 6)", 3),
    "MultiheadAttention_sizes": (
        "nn.MultiheadAttention(6, 3, kdim=4, vdim=5, add_bias_kv=True, add_zero_attn=True, batch_first=True)",
        "numbers(2, 4, 6), numbers(2, 3, 4), numbers(2, 3, 5), T.tensor([[False, False, True], [False, True, False]])", 3,
    ),  # fmt: skip
    "MultiheadAttention_unbatched": (
        "nn.MultiheadAttention(6, 2, bias=False)", "numbers(4, 6), numbers(5, 6), numbers(5, 6), None, False", 3,
    ),  # fmt: skip
    "TransformerEncoderLayer": ("nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0)", "(4, 2, 6)"),
    "TransformerEncoderLayer_first": (
        "nn.TransformerEncoderLayer(6, 2, 8, 0.0, 'gelu', norm_first=True, batch_first=True, bias=False)", "(2, 4, 6)",
    ),  # fmt: skip
    "TransformerDecoderLayer": (
        "nn.TransformerDecoderLayer(6, 2, 8, dropout=0.0)",
        "numbers(4, 2, 6), numbers(3, 2, 6), nn.Transformer.generate_square_subsequent_mask(4, dtype=T.float64)", 2,
    ),  # fmt: skip
    "TransformerEncoder": (
        "nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0), 2, nn.LayerNorm(6), False)", "(4, 2, 6)",
    ),  # fmt: skip
    "TransformerDecoder": (
        "nn.TransformerDecoder(nn.TransformerDecoderLayer(6, 2, 8, dropout=0.0), 2)",
        "numbers(4, 2, 6), numbers(3, 2, 6)", 2,
    ),  # fmt: skip
    "Transformer": ("nn.Transformer(6, 2, 1, 1, 8, dropout=0.0)", "numbers(3, 2, 6), numbers(4, 2, 6)", 2),
    # tables
    "Embedding": ("nn.Embedding(6, 3, padding_idx=1)", "T.tensor([[0, 1, 2], [5, 5, 1]])"),
    "Embedding_norm": ("nn.Embedding(6, 3, max_norm=1.0, norm_type=1.5, scale_grad_by_freq=True)", "T.tensor([0, 2, 2, 5])"),
    "EmbeddingBag": ("nn.EmbeddingBag(6, 3)", "T.tensor([[0, 1, 2], [5, 5, 1]])"),
    "EmbeddingBag_sum": (
        "nn.EmbeddingBag(6, 3, mode='sum', padding_idx=1)", "T.tensor([0, 1, 2, 5, 5]), T.tensor([0, 2, 2]), numbers(5)",
    ),  # fmt: skip
    "EmbeddingBag_max": (
        "nn.EmbeddingBag(6, 3, mode='max', include_last_offset=True)", "T.tensor([0, 1, 2, 5, 5]), T.tensor([0, 2, 2, 5])",
    ),  # fmt: skip
    # distances
    "CosineSimilarity": ("nn.CosineSimilarity(dim=1)", PAIR, 2),
    "PairwiseDistance": ("nn.PairwiseDistance(p=3, keepdim=True)", PAIR, 2),
    # containers
    "Sequential": ("nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))", "(2, 4)"),
    # losses
    "L1Loss": ("nn.L1Loss()", PAIR, 2),
    "MSELoss": ("nn.MSELoss(reduction='sum')", PAIR, 2),
    "SmoothL1Loss": ("nn.SmoothL1Loss(beta=0.7)", PAIR, 2),
    "HuberLoss": ("nn.HuberLoss(delta=0.6)", PAIR, 2),
    "BCELoss": ("nn.BCELoss(weight=uniforms(4))", "uniforms(5, 4), uniforms(5, 4)"),
    "BCELoss_ends": ("nn.BCELoss(reduction='none')", "T.tensor([0.0, 1.0, 0.0, 1.0, 0.5], dtype=T.float64), T.tensor([1.0, 0.0, 0.0, 1.0, 1.0], dtype=T.float64)", 0),
    "BCEWithLogitsLoss": ("nn.BCEWithLogitsLoss(pos_weight=uniforms(4))", "numbers(5, 4), uniforms(5, 4)"),
    "CrossEntropyLoss": ("nn.CrossEntropyLoss(weight=uniforms(4), label_smoothing=0.1, ignore_index=2)", CLASSES),
    "CrossEntropyLoss_soft": ("nn.CrossEntropyLoss(label_smoothing=0.1)", "numbers(5, 4), F.softmax(numbers(5, 4), 1)"),
    "NLLLoss": ("nn.NLLLoss(weight=uniforms(4))", CLASSES),
    "NLLLoss2d": ("nn.NLLLoss2d()", "numbers(2, 3, 2, 2), T.tensor([[[0, 1], [2, 1]], [[1, 1], [0, 2]]])"),
    "KLDivLoss": ("nn.KLDivLoss(reduction='batchmean')", "numbers(5, 4), F.softmax(numbers(5, 4), 1)"),
    "KLDivLoss_log": ("nn.KLDivLoss(reduction='sum', log_target=True)", PAIR, 2),
    "PoissonNLLLoss": ("nn.PoissonNLLLoss(full=True)", "numbers(5), T.tensor([0.0, 1.0, 2.0, 5.0, 3.0], dtype=T.float64)"),
    "PoissonNLLLoss_mean": ("nn.PoissonNLLLoss(log_input=False)", "uniforms(5), uniforms(5)"),
    "GaussianNLLLoss": ("nn.GaussianNLLLoss(full=True)", "numbers(5, 4), numbers(5, 4), uniforms(5, 1)", 3),
    "CosineEmbeddingLoss": ("nn.CosineEmbeddingLoss(margin=0.2)", f"{PAIR}, {SIGNS}", 2),
    "MarginRankingLoss": ("nn.MarginRankingLoss(margin=0.3)", f"numbers(5), numbers(5), {SIGNS}", 2),
    "HingeEmbeddingLoss": ("nn.HingeEmbeddingLoss(margin=0.8)", f"numbers(5), {SIGNS}"),
    "SoftMarginLoss": ("nn.SoftMarginLoss()", f"numbers(5), {SIGNS}"),
    "MultiMarginLoss": ("nn.MultiMarginLoss(p=2, margin=0.7, weight=uniforms(4))", CLASSES),
    "MultiLabelMarginLoss": ("nn.MultiLabelMarginLoss()", "numbers(2, 4), T.tensor([[3, 0, -1, 1], [1, -1, 0, 2]])"),
    "MultiLabelSoftMarginLoss": ("nn.MultiLabelSoftMarginLoss(weight=uniforms(4))", "numbers(5, 4), T.eye(5, 4, dtype=T.float64)"),
    "TripletMarginLoss": ("nn.TripletMarginLoss(swap=True, p=3)", f"{PAIR}, numbers(5, 4)", 3),
    "TripletMarginWithDistanceLoss": (
        "nn.TripletMarginWithDistanceLoss(distance_function=lambda a, b: 1 - F.cosine_similarity(a, b), reduction='none')",
        f"{PAIR}, numbers(5, 4)", 3,
    ),  # fmt: skip
    "CTCLoss": (
        "nn.CTCLoss()", "F.log_softmax(numbers(7, 3, 4), 2), T.tensor([[1, 2, 2], [3, 3, 1], [2, 1, 0]]), "
        "T.tensor([7, 6, 4]), T.tensor([3, 3, 2])",
    ),  # fmt: skip
    "CTCLoss_impossible": (
        "nn.CTCLoss(blank=3, reduction='none', zero_infinity=True)",
        "F.log_softmax(numbers(3, 2, 4), 2), T.tensor([1, 1, 1, 2, 0]), T.tensor([3, 3]), T.tensor([3, 2])",
    ),
    "AdaptiveLogSoftmaxWithLoss": (
        "nn.AdaptiveLogSoftmaxWithLoss(8, 10, [3, 6], div_value=2.0)", "numbers(5, 8), T.tensor([0, 2, 4, 9, 6])",
    ),  # fmt: skip
}  # fmt: skip

#: classes of torch.nn without a layer here, and why
LEFT_OUT = {
    "Container": "PyTorch's own leftover: a Module with add_module calls, deprecated there since 2017",
    "CrossMapLRN2d": "an undocumented leftover of Torch 7 whose window never lets go of channel 0; LocalResponseNorm is it",
    "LinearCrossEntropyLoss": "a fused kernel of PyTorch 2.13 and its options, marked as a prototype",
    "LinearCrossEntropyOptions": "a fused kernel of PyTorch 2.13 and its options, marked as a prototype",
}

#: classes of torch.nn that are no layers with numbers: tested in tests/nn
WITHOUT_NUMBERS = {
    "Buffer", "Module", "ModuleDict", "ModuleList", "Parameter", "ParameterDict", "ParameterList", "RNNBase",
    "RNNCellBase", "UninitializedBuffer", "UninitializedParameter",
}  # fmt: skip

#: every class of torch.nn (PyTorch 2.13)
TORCH_NN = """
AdaptiveAvgPool1d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveLogSoftmaxWithLoss AdaptiveMaxPool1d AdaptiveMaxPool2d
AdaptiveMaxPool3d AlphaDropout AvgPool1d AvgPool2d AvgPool3d BCELoss BCEWithLogitsLoss BatchNorm1d BatchNorm2d
BatchNorm3d Bilinear Buffer CELU CTCLoss ChannelShuffle CircularPad1d CircularPad2d CircularPad3d ConstantPad1d
ConstantPad2d ConstantPad3d Container Conv1d Conv2d Conv3d ConvTranspose1d ConvTranspose2d ConvTranspose3d
CosineEmbeddingLoss CosineSimilarity CrossEntropyLoss CrossMapLRN2d DataParallel Dropout Dropout1d Dropout2d Dropout3d
ELU Embedding EmbeddingBag FeatureAlphaDropout Flatten Fold FractionalMaxPool2d FractionalMaxPool3d GELU GLU GRU
GRUCell GaussianNLLLoss GroupNorm Hardshrink Hardsigmoid Hardswish Hardtanh HingeEmbeddingLoss HuberLoss Identity
InstanceNorm1d InstanceNorm2d InstanceNorm3d KLDivLoss L1Loss LPPool1d LPPool2d LPPool3d LSTM LSTMCell LayerNorm
LazyBatchNorm1d LazyBatchNorm2d LazyBatchNorm3d LazyConv1d LazyConv2d LazyConv3d LazyConvTranspose1d
LazyConvTranspose2d LazyConvTranspose3d LazyInstanceNorm1d LazyInstanceNorm2d LazyInstanceNorm3d LazyLinear LeakyReLU
Linear LinearCrossEntropyLoss LinearCrossEntropyOptions LocalResponseNorm LogSigmoid LogSoftmax MSELoss
MarginRankingLoss MaxPool1d MaxPool2d MaxPool3d MaxUnpool1d MaxUnpool2d MaxUnpool3d Mish Module ModuleDict ModuleList
MultiLabelMarginLoss MultiLabelSoftMarginLoss MultiMarginLoss MultiheadAttention NLLLoss NLLLoss2d PReLU
PairwiseDistance Parameter ParameterDict ParameterList PixelShuffle PixelUnshuffle PoissonNLLLoss RMSNorm RNN RNNBase
RNNCell RNNCellBase RReLU ReLU ReLU6 ReflectionPad1d ReflectionPad2d ReflectionPad3d ReplicationPad1d ReplicationPad2d
ReplicationPad3d SELU Sequential SiLU Sigmoid SmoothL1Loss SoftMarginLoss Softmax Softmax2d Softmin Softplus
Softshrink Softsign SyncBatchNorm Tanh Tanhshrink Threshold Transformer TransformerDecoder TransformerDecoderLayer
TransformerEncoder TransformerEncoderLayer TripletMarginLoss TripletMarginWithDistanceLoss Unflatten Unfold
UninitializedBuffer UninitializedParameter Upsample UpsamplingBilinear2d UpsamplingNearest2d ZeroPad1d ZeroPad2d
ZeroPad3d
""".split()

_LAYER = """
layer = {layer}.double()
args = arguments({inputs})
wanted = [a for a in args[:{count}] if hasattr(a, "requires_grad") and a.is_floating_point()]
if "Lazy" in type(layer).__name__:
    layer(*args)
fill(layer)
before = state(layer)
for a in wanted:
    a.requires_grad_()
leaves = wanted[:]
args = [a * 1 if any(a is w for w in wanted) else a for a in args]
outputs = tensors(layer(*args))
result = {{f"out{{i}}": y for i, y in enumerate(outputs)}}
smooth = [y for y in outputs if y.requires_grad]
if smooth:
    sum((y * numbers(*y.shape)).sum() for y in smooth).backward()
for i, a in enumerate(leaves):
    result[f"grad{{i}}"] = a.grad
for name, p in layer.named_parameters():
    result["grad." + name] = p.grad
for name, t in before.items():
    result["before." + name] = t
for name, t in layer.state_dict().items():
    result["state." + name] = t
layer.eval()
for i, y in enumerate(tensors(layer(*args))):
    result[f"eval{{i}}"] = y
result["repr"] = np.array(repr(layer))
result["keys"] = np.array(list(layer.state_dict()), dtype=str)
"""


def parts(name: str) -> tuple[str, str]:
    """The expressions of a row's layer and inputs."""
    layer, inputs = LAYERS[name][:2]
    return layer, f"numbers{inputs}" if inputs[0] == "(" and inputs.strip("(), 0123456789") == "" else inputs


def program(name: str) -> str:
    layer, inputs = parts(name)
    return _LAYER.format(layer=layer, inputs=inputs, count=LAYERS[name][2] if len(LAYERS[name]) > 2 else 1)


def tools(name: str, library) -> dict:
    """What a program may use, its random numbers seeded by its name."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))

    def numbers(*shape):
        return library.tensor(rng.normal(size=shape))

    def uniforms(*shape):
        return library.tensor(rng.uniform(0.1, 0.9, size=shape))

    def wide():
        """Numbers on both sides of every corner, and the corners themselves."""
        return library.tensor(
            np.concatenate([rng.normal(size=14) * 3, [0.0, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 6.0]])[None]
        )

    def fill(module):
        with library.no_grad():
            for p in module.parameters():
                p.copy_(numbers(*p.shape))
            for key, b in module.named_buffers():
                if b.is_floating_point() and key not in ("weight", "pos_weight", "_random_samples"):
                    b.copy_(uniforms(*b.shape) + 0.5)
        return module

    def tensors(found):
        """All tensors in nested tuples."""
        if hasattr(found, "requires_grad"):
            return [found]
        return [t for part in found if part is not None for t in tensors(part)] if found is not None else []

    def state(module):
        return {key: t.clone() for key, t in module.state_dict().items()}

    return {
        "T": library, "nn": library.nn, "F": library.nn.functional, "np": np, "rng": rng, "numbers": numbers,
        "uniforms": uniforms, "wide": wide, "fill": fill, "tensors": tensors, "state": state,
        "arguments": lambda *args: list(args),
    }  # fmt: skip


def run(name: str, library) -> dict[str, np.ndarray]:
    """What a program leaves, as arrays by key."""
    scope = tools(name, library)
    exec(program(name), scope)
    found = scope["result"]
    return {
        k: t if isinstance(t, np.ndarray) else np.array(t.detach().numpy(force=True))
        for k, t in found.items()
        if t is not None
    }
