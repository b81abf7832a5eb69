"""Vision transformers (Dosovitskiy and others, 2020): patches of a picture as the words of a sentence."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any

import mlkit
from mlkit import nn
from mlkit.core.errors import ShapeError
from mlkit.torch.parts.models.weights import family, load_into

_LARGE = (224, 224, "bicubic")
ViT_B_16_Weights = family(
    "ViT_B_16_Weights",
    ("IMAGENET1K_SWAG_E2E_V1", "vit_b_16_swag-9ac1b537.pth", 384, 384, "bicubic"),
    ("IMAGENET1K_SWAG_LINEAR_V1", "vit_b_16_lc_swag-4e70ced5.pth", *_LARGE),
    ("IMAGENET1K_V1", "vit_b_16-c867db91.pth"),
)
ViT_B_32_Weights = family("ViT_B_32_Weights", ("IMAGENET1K_V1", "vit_b_32-d86f8d99.pth"))
ViT_L_16_Weights = family(
    "ViT_L_16_Weights",
    ("IMAGENET1K_SWAG_E2E_V1", "vit_l_16_swag-4f3808c9.pth", 512, 512, "bicubic"),
    ("IMAGENET1K_SWAG_LINEAR_V1", "vit_l_16_lc_swag-4d563306.pth", *_LARGE),
    ("IMAGENET1K_V1", "vit_l_16-852ce7e3.pth", 224, 242, "bilinear"),
)
ViT_L_32_Weights = family("ViT_L_32_Weights", ("IMAGENET1K_V1", "vit_l_32-c7638314.pth"))


class MLPBlock(nn.Sequential):
    """Two linear layers with GELU between them."""

    def __init__(self, in_dim: int, mlp_dim: int, dropout: float):
        super().__init__(
            nn.Linear(in_dim, mlp_dim), nn.GELU(), nn.Dropout(dropout), nn.Linear(mlp_dim, in_dim), nn.Dropout(dropout)
        )
        for m in self:
            if isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                nn.init.normal_(m.bias, std=1e-6)


class EncoderBlock(nn.Module):
    """Attention, then two linear layers, each after a normalisation and beside a way around."""

    def __init__(
        self,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Callable[..., Any],
    ):
        super().__init__()
        self.num_heads = num_heads
        self.ln_1 = norm_layer(hidden_dim)
        self.self_attention = nn.MultiheadAttention(hidden_dim, num_heads, attention_dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.ln_2 = norm_layer(hidden_dim)
        self.mlp = MLPBlock(hidden_dim, mlp_dim, dropout)

    def forward(self, input: mlkit.Tensor) -> mlkit.Tensor:
        x = self.ln_1(input)
        x, _ = self.self_attention(x, x, x, need_weights=False)
        x = self.dropout(x) + input
        return x + self.mlp(self.ln_2(x))


class Encoder(nn.Module):
    """Places added to the patches, and the blocks."""

    def __init__(
        self,
        seq_length: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float,
        attention_dropout: float,
        norm_layer: Callable[..., Any],
    ):
        super().__init__()
        self.pos_embedding = nn.Parameter(mlkit.empty(1, seq_length, hidden_dim).normal_(std=0.02))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            OrderedDict(
                (
                    f"encoder_layer_{i}",
                    EncoderBlock(num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer),
                )
                for i in range(num_layers)
            )
        )
        self.ln = norm_layer(hidden_dim)

    def forward(self, input: mlkit.Tensor) -> mlkit.Tensor:
        return self.ln(self.layers(self.dropout(input + self.pos_embedding)))


class VisionTransformer(nn.Module):
    """A transformer over patches and one token more, whose end is classified.

    Args:
        image_size, patch_size: In pixels.
        num_layers, num_heads, hidden_dim, mlp_dim: Of the transformer.
        dropout, attention_dropout: How often a number is left out.
        num_classes: Outputs.
        representation_size: Size of one more linear layer before the last; None: no such layer.
        norm_layer: The normalisation.
    """

    def __init__(
        self,
        image_size: int,
        patch_size: int,
        num_layers: int,
        num_heads: int,
        hidden_dim: int,
        mlp_dim: int,
        dropout: float = 0.0,
        attention_dropout: float = 0.0,
        num_classes: int = 1000,
        representation_size: int | None = None,
        norm_layer: Callable[..., Any] | None = None,
    ):
        super().__init__()
        norm_layer = norm_layer or partial(nn.LayerNorm, eps=1e-6)
        if image_size % patch_size:
            raise ShapeError(f"image_size {image_size} is no multiple of patch_size {patch_size}.")
        self.image_size, self.patch_size, self.hidden_dim = image_size, patch_size, hidden_dim
        self.num_classes, self.representation_size = num_classes, representation_size
        self.conv_proj = nn.Conv2d(3, hidden_dim, kernel_size=patch_size, stride=patch_size)
        self.seq_length = (image_size // patch_size) ** 2 + 1
        self.class_token = nn.Parameter(mlkit.zeros(1, 1, hidden_dim))
        self.encoder = Encoder(
            self.seq_length, num_layers, num_heads, hidden_dim, mlp_dim, dropout, attention_dropout, norm_layer
        )
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        if representation_size is None:
            layers["head"] = nn.Linear(hidden_dim, num_classes)
        else:
            layers["pre_logits"] = nn.Linear(hidden_dim, representation_size)
            layers["act"] = nn.Tanh()
            layers["head"] = nn.Linear(representation_size, num_classes)
            before = layers["pre_logits"]
            nn.init.trunc_normal_(before.weight, std=math.sqrt(1 / hidden_dim))
            nn.init.zeros_(before.bias)
        self.heads = nn.Sequential(layers)
        nn.init.trunc_normal_(self.conv_proj.weight, std=math.sqrt(1 / (3 * patch_size**2)))
        nn.init.zeros_(self.conv_proj.bias)
        nn.init.zeros_(layers["head"].weight)
        nn.init.zeros_(layers["head"].bias)

    def forward(self, x: mlkit.Tensor) -> mlkit.Tensor:
        if x.ndim != 4 or x.shape[2] != self.image_size or x.shape[3] != self.image_size:
            size = self.image_size
            raise ShapeError(
                f"VisionTransformer was made for pictures [N, 3, {size}, {size}], got {list(x.shape)}.",
                hint="Resize them, or make the model with image_size=...",
            )
        words = self.conv_proj(x).flatten(2).permute(0, 2, 1)
        words = mlkit.cat([self.class_token.expand(x.shape[0], -1, -1), words], dim=1)
        return self.heads(self.encoder(words)[:, 0])


def _vit(name: str, patch: int, layers: int, heads: int, hidden: int, mlp: int, kind: Any) -> Callable[..., Any]:
    def make(*, weights: Any = None, progress: bool = True, pretrained: bool = False, **options: Any):
        size = 224
        if isinstance(weights, str) and weights in kind.__members__:
            weights = kind[weights]
        if isinstance(weights, kind):
            size = weights.value.crop_size
        model = VisionTransformer(**{"image_size": size, **options}, patch_size=patch, num_layers=layers,
                                  num_heads=heads, hidden_dim=hidden, mlp_dim=mlp)  # fmt: skip
        return load_into(model, weights or pretrained, kind, options.get("num_classes"))

    make.__name__ = make.__qualname__ = name
    make.__doc__ = f"Vision transformer. ``weights``: None, one of {kind.__name__}, or the path of a file."
    make.weights = kind  # type: ignore[attr-defined]
    return make


vit_b_16 = _vit("vit_b_16", 16, 12, 12, 768, 3072, ViT_B_16_Weights)
vit_b_32 = _vit("vit_b_32", 32, 12, 12, 768, 3072, ViT_B_32_Weights)
vit_l_16 = _vit("vit_l_16", 16, 24, 16, 1024, 4096, ViT_L_16_Weights)
vit_l_32 = _vit("vit_l_32", 32, 24, 16, 1024, 4096, ViT_L_32_Weights)
