# Llama-style blocks: rotary embeddings (complex and halves), RMSNorm, SwiGLU, grouped queries, ALiBi, T5 bias, KV cache, sampling.
import math
from dataclasses import dataclass
from typing import Optional, Tuple

import torch
import torch.nn.functional as F
from torch import nn

from reproducible import fill, integers, normal, slopes, tell, uniform


@dataclass
class ModelArgs:
    dim: int = 32
    n_layers: int = 2
    n_heads: int = 4
    n_kv_heads: Optional[int] = 2
    vocab_size: int = 23
    multiple_of: int = 16
    norm_eps: float = 1e-5
    max_batch_size: int = 2
    max_seq_len: int = 24


class RMSNorm(torch.nn.Module):
    def __init__(self, dim: int, eps: float = 1e-6):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def _norm(self, x):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps)

    def forward(self, x):
        return self._norm(x.float()).type_as(x) * self.weight


def precompute_freqs_cis(dim: int, end: int, theta: float = 10000.0):
    freqs = 1.0 / (theta ** (torch.arange(0, dim, 2)[: (dim // 2)].float() / dim))
    t = torch.arange(end, device=freqs.device, dtype=torch.float32)
    return torch.polar(torch.ones_like(torch.outer(t, freqs)), torch.outer(t, freqs))


def apply_rotary_emb(xq: torch.Tensor, xk: torch.Tensor, freqs_cis: torch.Tensor) -> Tuple[torch.Tensor, torch.Tensor]:
    xq_ = torch.view_as_complex(xq.float().reshape(*xq.shape[:-1], -1, 2))
    xk_ = torch.view_as_complex(xk.float().reshape(*xk.shape[:-1], -1, 2))
    shape = [d if i == 1 or i == xq_.ndim - 1 else 1 for i, d in enumerate(xq_.shape)]
    freqs_cis = freqs_cis.view(*shape)
    return torch.view_as_real(xq_ * freqs_cis).flatten(3).type_as(xq), torch.view_as_real(xk_ * freqs_cis).flatten(3).type_as(xk)


def repeat_kv(x, n_rep):
    bs, slen, n_kv_heads, head_dim = x.shape
    return x if n_rep == 1 else x[:, :, :, None, :].expand(bs, slen, n_kv_heads, n_rep, head_dim).reshape(bs, slen, n_kv_heads * n_rep, head_dim)


class Attention(nn.Module):
    def __init__(self, args: ModelArgs):
        super().__init__()
        self.h, self.kv = args.n_heads, args.n_kv_heads or args.n_heads
        self.d = args.dim // args.n_heads
        self.wq = nn.Linear(args.dim, self.h * self.d, bias=False)
        self.wk = nn.Linear(args.dim, self.kv * self.d, bias=False)
        self.wv = nn.Linear(args.dim, self.kv * self.d, bias=False)
        self.wo = nn.Linear(self.h * self.d, args.dim, bias=False)
        self.cache_k = torch.zeros((args.max_batch_size, args.max_seq_len, self.kv, self.d))
        self.cache_v = torch.zeros((args.max_batch_size, args.max_seq_len, self.kv, self.d))

    def forward(self, x, start_pos, freqs_cis, mask, cached):
        bsz, seqlen, _ = x.shape
        xq, xk, xv = self.wq(x).view(bsz, seqlen, self.h, self.d), self.wk(x).view(bsz, seqlen, self.kv, self.d), self.wv(x).view(bsz, seqlen, self.kv, self.d)
        xq, xk = apply_rotary_emb(xq, xk, freqs_cis=freqs_cis)
        if cached:
            self.cache_k = self.cache_k.to(xq)
            self.cache_k[:bsz, start_pos : start_pos + seqlen] = xk
            self.cache_v[:bsz, start_pos : start_pos + seqlen] = xv
            xk, xv = self.cache_k[:bsz, : start_pos + seqlen], self.cache_v[:bsz, : start_pos + seqlen]
        keys, values = repeat_kv(xk, self.h // self.kv), repeat_kv(xv, self.h // self.kv)
        xq, keys, values = xq.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)
        scores = torch.matmul(xq, keys.transpose(2, 3)) / math.sqrt(self.d)
        if mask is not None:
            scores = scores + mask
        output = torch.matmul(F.softmax(scores.float(), dim=-1).type_as(xq), values)
        return self.wo(output.transpose(1, 2).contiguous().view(bsz, seqlen, -1))


class FeedForward(nn.Module):
    def __init__(self, dim, hidden_dim, multiple_of):
        super().__init__()
        hidden_dim = multiple_of * ((int(2 * hidden_dim / 3) + multiple_of - 1) // multiple_of)
        self.w1, self.w2, self.w3 = nn.Linear(dim, hidden_dim, bias=False), nn.Linear(hidden_dim, dim, bias=False), nn.Linear(dim, hidden_dim, bias=False)

    def forward(self, x):
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


class Block(nn.Module):
    def __init__(self, args):
        super().__init__()
        self.attention, self.feed_forward = Attention(args), FeedForward(args.dim, 4 * args.dim, args.multiple_of)
        self.attention_norm, self.ffn_norm = RMSNorm(args.dim, args.norm_eps), nn.RMSNorm(args.dim, args.norm_eps)

    def forward(self, x, *rest):
        h = x + self.attention(self.attention_norm(x), *rest)
        return h + self.feed_forward(self.ffn_norm(h))


class Transformer(nn.Module):
    def __init__(self, params: ModelArgs):
        super().__init__()
        self.params = params
        self.tok_embeddings = nn.Embedding(params.vocab_size, params.dim)
        self.layers = torch.nn.ModuleList()
        for layer_id in range(params.n_layers):
            self.layers.append(Block(params))
        self.norm, self.output = RMSNorm(params.dim, eps=params.norm_eps), nn.Linear(params.dim, params.vocab_size, bias=False)
        self.freqs_cis = precompute_freqs_cis(params.dim // params.n_heads, params.max_seq_len * 2)

    def forward(self, tokens, start_pos=0, cached=False):
        _bsz, seqlen = tokens.shape
        h = self.tok_embeddings(tokens)
        freqs_cis = self.freqs_cis[start_pos : start_pos + seqlen]
        mask = None
        if seqlen > 1:
            mask = torch.full((seqlen, seqlen), float("-inf"), device=tokens.device)
            mask = torch.triu(mask, diagonal=1)
            mask = torch.hstack([torch.zeros((seqlen, start_pos)), mask]).type_as(h)
        for layer in self.layers:
            h = layer(h, start_pos, freqs_cis, mask, cached)
        return self.output(self.norm(h)).float()


def sample_top_p(probs, p):
    probs_sort, probs_idx = torch.sort(probs, dim=-1, descending=True)
    probs_sum = torch.cumsum(probs_sort, dim=-1)
    mask = probs_sum - probs_sort > p
    probs_sort[mask] = 0.0
    probs_sort.div_(probs_sort.sum(dim=-1, keepdim=True))
    return probs_sort, probs_idx


model = fill(Transformer(ModelArgs()), 1)
tokens = integers(23, 2, 13, seed=2)
groups = [{"params": [p for n, p in model.named_parameters() if p.dim() >= 2], "weight_decay": 0.1}, {"params": [p for n, p in model.named_parameters() if p.dim() < 2], "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(groups, lr=3e-3, betas=(0.9, 0.95), fused=False)
for step in range(4):
    logits = model(tokens[:, :-1])
    loss = F.cross_entropy(logits.view(-1, logits.size(-1)), tokens[:, 1:].reshape(-1), ignore_index=-1)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    print(f"{step} {loss.item():.4f} {norm:.4f}")
with torch.inference_mode():
    full = model(tokens)
    parts = [model(tokens[:, :5], 0, True)] + [model(tokens[:, i : i + 1], i, True) for i in range(5, 13)]
    print("cache agrees", torch.allclose(torch.cat(parts, 1), full, atol=1e-4))
    probs = torch.softmax(full[:, -1] / 0.8, dim=-1)
    s, i = sample_top_p(probs, 0.9)
    tell("nucleus", s, i)
    v, _ = torch.topk(full[:, -1], min(5, full.size(-1)))
    logits = full[:, -1].clone()
    logits[logits < v[:, [-1]]] = -float("Inf")
    print("top k", (F.softmax(logits, -1) > 0).sum(-1), torch.multinomial(F.softmax(logits, -1), 3, replacement=False).shape)
    score = torch.gather(logits, 1, tokens)
    logits.scatter_(1, tokens, torch.where(score < 0, score * 1.2, score / 1.2))
    tell("repetition", torch.nan_to_num(logits, neginf=0.0))
    entropy = torch.distributions.Categorical(logits=full).entropy()
    min_p = probs.masked_fill(probs < 0.1 * probs.amax(-1, keepdim=True), 0)
    tell("entropy", entropy, min_p)


def rotate_half(x):
    x1, x2 = x[..., : x.shape[-1] // 2], x[..., x.shape[-1] // 2 :]
    return torch.cat((-x2, x1), dim=-1)


q, k, v = (normal(2, 4, 6, 8, seed=s).requires_grad_() for s in (3, 4, 5))
inv = 1.0 / (10000 ** (torch.arange(0, 8, 2, dtype=torch.int64).float() / 8))
emb = torch.cat([torch.einsum("i,j->ij", torch.arange(6).float(), inv)] * 2, dim=-1)
qr = q * emb.cos() + rotate_half(q) * emb.sin()
slopes_ = torch.tensor([2 ** (-8 * (h + 1) / 4) for h in range(4)])
alibi = slopes_[:, None, None] * -(torch.arange(6)[:, None] - torch.arange(6)[None]).abs()


def bucket(relative, n=8, max_distance=16):
    n //= 2
    ret = (relative > 0).to(torch.long) * n
    a = torch.abs(relative)
    exact = n // 2
    large = exact + (torch.log(a.float() / exact) / math.log(max_distance / exact) * (n - exact)).to(torch.long)
    return ret + torch.where(a < exact, a, torch.min(large, torch.full_like(large, n - 1)))


rel = torch.arange(6)[None] - torch.arange(6)[:, None]
print(bucket(rel * 3))
table = fill(nn.Embedding(8, 4), 6)
bias = table(bucket(rel)).permute(2, 0, 1).unsqueeze(0)
for name, kw in {
    "causal": dict(is_causal=True), "alibi": dict(attn_mask=alibi.tril() + torch.full((6, 6), -torch.inf).triu(1)), "T5": dict(attn_mask=bias, scale=1.0),
    "window": dict(attn_mask=(rel <= 0) & (rel > -3)), "all": {},
}.items():
    out = F.scaled_dot_product_attention(qr, k, v, **kw)
    tell(name, out, *torch.autograd.grad(out.square().sum(), (q, k, v), retain_graph=True))
tell("grouped", F.scaled_dot_product_attention(q, k[:, :2], v[:, :2], is_causal=True, enable_gqa=True))
# linear attention, retention, and a gated recurrence by log-space scans
phi_q, phi_k = F.elu(q) + 1, F.elu(k) + 1
kv = torch.einsum("bhtd,bhte->bhtde", phi_k, v).cumsum(2)
lin = torch.einsum("bhtd,bhtde->bhte", phi_q, kv) / torch.einsum("bhtd,bhtd->bht", phi_q, phi_k.cumsum(2))[..., None]
D = torch.where(rel <= 0, 0.9 ** (-rel).clamp(min=0), 0.0)
ret = (q @ k.mT * D) @ v
a = torch.sigmoid(q)
log_a = F.logsigmoid(q).cumsum(2)
scan = (log_a + torch.logcumsumexp(F.softplus(k).log() - log_a, dim=2)).exp()
h, out = torch.zeros(2, 4, 8), []
for t in range(6):
    h = a[:, :, t] * h + F.softplus(k)[:, :, t]
    out.append(h)
print("scan", torch.allclose(torch.stack(out, 2), scan, rtol=1e-4, atol=1e-5))
tell("linear", lin, ret, scan, *torch.autograd.grad((lin.sum() + ret.sin().sum() + scan.log().sum()), (q, k, v)))


class MoE(nn.Module):
    def __init__(self, d, n, k):
        super().__init__()
        self.gate, self.k = nn.Linear(d, n, bias=False), k
        self.experts = nn.ModuleList(FeedForward(d, d, 8) for _ in range(n))

    def forward(self, x):
        flat = x.reshape(-1, x.shape[-1])
        w, chosen = torch.topk(self.gate(flat), self.k)
        w = F.softmax(w, dim=1, dtype=torch.float).to(x.dtype)
        out = torch.zeros_like(flat)
        for i, expert in enumerate(self.experts):
            rows, nth = torch.where(chosen == i)
            out[rows] += w[rows, nth, None] * expert(flat[rows])
        p = self.gate(flat).softmax(-1).mean(0)
        f = F.one_hot(chosen, len(self.experts)).float().mean((0, 1))
        return out.view_as(x), len(self.experts) * (p * f).sum()


moe = fill(MoE(8, 4, 2), 8)
out, aux = moe(q[:, 0])
(out.square().mean() + 0.01 * aux).backward()
tell("experts", out, aux)
print(f"{slopes(moe):.5f}")
