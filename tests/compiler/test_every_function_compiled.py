"""Compiled equals eager on every public function: the expressions that are compared with PyTorch, run both ways.

What depends on numbers runs eagerly and says so; it must give the same all the same.
"""

from __future__ import annotations

import inspect
import re
import types
import warnings

import numpy as np
import pytest

import mlkit
from mlkit.compiler.compiled import compile as compiled_of
from tests.oracle import cases, cases_fft, cases_linalg, cases_signal, cases_special, cases_tensor, programs_layers

MODULES = (cases, cases_fft, cases_linalg, cases_signal, cases_special, cases_tensor)


class MORE:
    """Functions that those expressions leave out."""

    __name__ = "more"
    inputs = staticmethod(cases.inputs)
    CASES = {
        "shifts": "T.bitwise_left_shift(i, i), T.bitwise_right_shift(k, i)",
        "copies": "T.alias_copy(x), T.as_strided_copy(x, (2, 3), (5, 1)), T.detach_copy(x), T.diagonal_copy(x)",
        "more_copies": "T.slice_copy(x, 0, 1, 3), T.split_copy(x, 2), T.split_with_sizes_copy(x, [1, 3]), T.t_copy(x)",
        "copies_of_views": "T.squeeze_copy(x), T.transpose_copy(x, 0, 1), T.unsqueeze_copy(x, 0), T.view_copy(x, (20,))",
        "other_copies": "T.unfold_copy(x, 0, 2, 1), T.unbind_copy(x), T.permute_copy(x, (1, 0)), T.select_copy(x, 0, 1)",
        "copies_complex": "T.view_as_complex_copy(x[:, :2].contiguous()), T.view_as_real_copy(z), T.expand_copy(v, (2, 5))",
        "broadcasts": "T.broadcast_tensors(x, v), T.broadcast_to(v, (4, 5))",
        "parts": "T.real(z), T.imag(z), T.positive(x), T.resolve_conj(z), T.resolve_neg(x), T.rsub(x, y, alpha=2)",
        "pieces": "T.narrow(x, 0, 1, 2), T.select(x, 0, 1), T.split_with_sizes(x, [1, 3]), T.unsafe_split(x, 2)",
        "products": "T.mm(x, y.mT), T.concat([x, y]), T.bilinear(x, y, a[:, :, :1].expand(3, 4, 5).new_ones(2, 5, 5), None)",
        "put": "T.index_put(x, (t % 4,), y), T.fill(x, 2.0), T.swapaxes(x, 0, 1), T.channel_shuffle(b.repeat(1, 2, 1, 1), 3)",
        "low_rank": "T.svd_lowrank(x.detach(), 2)[1].shape, T.pca_lowrank(x.detach(), 2)[1].shape",
        "drawn": "T.rand(3), T.randn(3), T.rand_like(x), T.randn_like(x), T.randint(0, 9, (3,)), T.randint_like(x, 9)",
        "more_drawn": "T.randperm(5), T.normal(0.0, 1.0, (3,)), T.bernoulli(p / 3), T.poisson(p), T.multinomial(p, 2)",
        "drawn_from": "T.binomial(p.detach().ceil(), p.detach() / 3), T.ones(3), T.range(0, 3), F.gumbel_softmax(x)",
        "dropped": "F.dropout(x), F.alpha_dropout(x), F.feature_alpha_dropout(b), F.dropout1d(a), F.dropout2d(b)",
        "dropped_more": "F.dropout3d(b[None]), T.feature_dropout(b, 0.5, True), F.rrelu(x, training=True)",
        "pools": "F.max_pool1d_with_indices(a, 2), F.max_pool2d_with_indices(b, 2), F.lp_pool3d(b[None], 2.0, 2)",
        "adaptive_pools": "F.adaptive_max_pool1d_with_indices(a, 2), F.adaptive_max_pool2d_with_indices(b, 2)",
        "adaptive_pools_3d": "F.adaptive_max_pool3d_with_indices(b[None], 1), F.max_pool3d_with_indices(b[None], 2)",
        "conv_tbc": "F.conv_tbc(a, a.new_ones(2, 5, 3), a.new_ones(3), 1)",
        "grids": "F.affine_grid(b[:, 0, :2, :3], (2, 3, 4, 4), align_corners=False), F.grid_sample(b, b[..., :2], align_corners=False)",
        "samplers": "T.grid_sampler(b, b[..., :2], 0, 0, False), T.grid_sampler_2d(b, b[..., :2], 0, 0, False)",
        "sampler_3d": "T.grid_sampler_3d(b[None], b[None][..., :3], 0, 0, False), T.affine_grid_generator(b[:, 0, :2, :3], (2, 3, 4, 4), False)",
        "resized": "F.interpolate(b, scale_factor=2.0), F.upsample(b, 3), F.upsample_nearest(b, 3), F.upsample_bilinear(b, 3)",
        "shuffled": "F.native_channel_shuffle(b.repeat(1, 2, 1, 1), 3), F.pixel_shuffle(b.repeat(1, 4, 1, 1), 2)",
        "attention": "F.scaled_dot_product_attention(a, a, a), F.scaled_dot_product_attention(a, a, a, is_causal=True)",
        "positions": "F.sinusoidal_positions(4, 6), F.rotary_angles(4, 6)",
        "rotary": "F.apply_rotary(b, *F.rotary_angles(6, 6))",
        "losses": "F.contrastive_loss(x, y, (t > 2).double()), F.dice_loss(b, b[:, 0].gt(0).long()), F.focal_loss(x, t), F.info_nce_loss(x, y)",
        "distances": "F.triplet_margin_with_distance_loss(x, y, u), F.pdist(x), F.pairwise_distance(x, y)",
        "zeroed": "T.zero_(x.detach().clone()), T.resize_as_(x.detach().clone(), y), F.binary_cross_entropy(p / 3, u.abs())",
        "fractional": "F.fractional_max_pool2d_with_indices(b, 2, 3), F.fractional_max_pool3d_with_indices(b[None], 2, 2)",
        "native": "T.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5), T.native_group_norm(b, None, None, 2, 3, 36, 3, 1e-5)",
        "native_layer": "T.native_layer_norm(x, (5,), v, v, 1e-5)",
        "classifier": "F.linear_cross_entropy(x, y, t % 4)",
        "unpooled": "F.max_unpool2d(*F.max_pool2d_with_indices(b, 2), 2)",
        "cells": "T.rnn_relu_cell(x, y, y.new_ones(5, 5), y.new_ones(5, 5)), F.fold(a, (2, 2), 2) if 0 else x",
    }


MODULES = (*MODULES, MORE)
ALL = [(module, name) for module in MODULES for name in module.CASES]

#: what may run eagerly when it is compiled: its result shares memory with an input, or hangs on numbers
EAGER = {
    cases: """
        reshape permute transpose flatten squeeze expand chunk tensor_split unbind diagonal movedim unfold
        meshgrid unflatten slice ellipsis nonzero cross_entropy_ignore
    """,
    cases_linalg: """
        eigh_complex eig eig_abs eig_complex svd_complex svd_complex_u svd_complex_v lu_factor lu_solve
        lu_solve_batch lu_solve_adjoint lu_solve_right lu_solve_old lu_unpack ldl_factor ldl_factor_complex
        ldl_solve lstsq_gelsd lstsq_gels matrix_rank_batch diagonal
    """,
    cases_signal: """
        istft istft_length istft_one segments
    """,
    cases_special: """
        chebyshev_polynomial_t shifted_chebyshev_polynomial_t chebyshev_polynomial_u
        shifted_chebyshev_polynomial_u chebyshev_polynomial_v shifted_chebyshev_polynomial_v
        chebyshev_polynomial_w shifted_chebyshev_polynomial_w hermite_polynomial_h hermite_polynomial_he
        laguerre_polynomial_l legendre_polynomial_p
    """,
    cases_tensor: """
        as_strided_parts polar complex_parts einsum einsum_more einsum_chain unique unique_consecutive isin
        unravel_index argwhere quantile mode cov histc histogram histogramdd splits atleast meshgrid moves
        repeats strided views sizes index_fill masked_scatter getitem getitem_more out fill_diagonal apply
        in_place_gradients
    """,
    MORE: """
        broadcasts parts pieces put more_drawn zeroed
    """,
}


def function_of(module, name: str):
    """The expression as a function of its inputs, in a file of its own name, as a user's would be."""
    names = list(module.inputs(name))
    text = f"def f({', '.join(names)}):\n    return {module.CASES[name]}\n"
    scope = {"T": mlkit, "F": mlkit.nn.functional, "nn": mlkit.nn}
    exec(compile(text, f"expression_{name}.py", "exec"), scope)
    return scope["f"]


def leaves(out) -> list:
    if isinstance(out, mlkit.Tensor):
        return [out]
    if isinstance(out, (tuple, list)):
        return [t for part in out for t in leaves(part)]
    return [out]


def step(f, module, name: str, seed: int) -> list:
    """Results and gradients as arrays; the same inputs each time for the same seed."""
    mlkit.manual_seed(seed)
    tensors = []
    for array in module.inputs(name).values():
        array = np.array(array * (1 + seed / 64) if array.dtype.kind in "fc" else array)
        tensors.append(mlkit.from_numpy(array.copy()))
        if array.dtype.kind in "fc":
            tensors[-1].requires_grad_()
    outs = leaves(f(*tensors))
    smooth = [t for t in outs if isinstance(t, mlkit.Tensor) and t.requires_grad]
    if smooth:
        mlkit.autograd.backward(smooth, [mlkit.ones_like(t) * (i + 0.5) for i, t in enumerate(smooth)])
    found = [t.detach().numpy() if isinstance(t, mlkit.Tensor) else t for t in outs]
    return found + [t.grad.numpy() for t in tensors if t.grad is not None]


@pytest.mark.parametrize("module, name", ALL, ids=[f"{m.__name__.split('.')[-1]}-{n}" for m, n in ALL])
def test_function(module, name):
    f = function_of(module, name)
    g = compiled_of(f, options={"fusion": False})
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            wanted = [step(f, module, name, seed) for seed in (0, 1)]
        except Exception as error:  # an expression that raises must raise compiled too
            for seed in (0, 1):
                with pytest.raises(type(error)):
                    step(g, module, name, seed)
            return
        for seed, numbers in zip((0, 1), wanted, strict=True):
            found = step(g, module, name, seed)
            assert len(found) == len(numbers)
            for a, b in zip(found, numbers, strict=True):
                if isinstance(b, np.ndarray):
                    assert a.dtype == b.dtype and a.shape == b.shape
                    np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-11)
                else:
                    assert a == b or a is b or isinstance(b, float) and b != b
    replays = sum(e.replays for known in g._compiled.entries.values() for e in known)
    assert replays or g._compiled.eager, "neither recorded nor said why not"
    assert replays or runs_eagerly(module, name), "not recorded: if that cannot be, EAGER here has to name it"


def runs_eagerly(module, name: str) -> bool:
    return name in EAGER.get(module, "").split()


def test_most_of_them_are_recorded():
    """The tests above hold that EAGER names all the others."""
    eager = [(module, name) for module, name in ALL if runs_eagerly(module, name)]
    assert len(eager) == len(" ".join(EAGER.values()).split()), "EAGER names what is no expression"
    assert len(eager) < 0.15 * len(ALL)


#: what makes no tensors from tensors: it asks, sets, makes, shows or trains, or takes Python objects
NO_OPERATIONS = set(
    """align_tensors broadcast_shapes clear_autocast_cache compile empty empty_permuted empty_strided equal allclose
    frombuffer inspect lint numel result_type summary to_dlpack unload_ipython_extension load_ipython_extension vmap
    symeig from_file from_numpy from_dlpack can_cast promote_types typename save load live eig solve lstsq matrix_rank
    seed manual_seed initial_seed get_rng_state set_rng_state asarray as_tensor tensor scalar_tensor""".split()
)
#: what the layers call: MultiheadAttention, RNN, Embedding with max_norm
CALLED_BY_LAYERS = {"multi_head_attention_forward", "rnn_tanh", "embedding_renorm_"}
ASKING = re.compile(r"^(is_|set_|get_|are_|use_|_)")


def key(name: str) -> str:
    return name.lower().replace("_", "")


def test_no_function_is_forgotten():
    """Every function of mlkit and of nn.functional is in an expression here, or a layer of its name is compiled in
    test_every_layer_compiled.py, or another name of it is."""
    text = " ".join(module.CASES[name] for module, name in ALL)
    layers = " ".join(f"{name} {programs_layers.parts(name)}" for name in programs_layers.LAYERS)
    used = set(re.findall(r"\.(\w+)\(", text))
    covered = {key(n) for n in used} | {key(n) for n in re.findall(r"\w+", layers)}
    missing = []
    for space in (mlkit, mlkit.nn.functional):
        known = {
            id(inspect.unwrap(getattr(space, n))) for n in used if isinstance(getattr(space, n, 0), types.FunctionType)
        }
        for name in dir(space):
            fn = getattr(space, name)
            if not isinstance(fn, types.FunctionType) or ASKING.match(name) or name in NO_OPERATIONS | CALLED_BY_LAYERS:
                continue
            if {key(name), key(name.rstrip("_")), key(name) + "loss"} & covered or id(inspect.unwrap(fn)) in known:
                continue
            missing.append(name)
    assert not missing, sorted(missing)
