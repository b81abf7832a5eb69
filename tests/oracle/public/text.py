"""Networks for sequences and patches."""

import inspect
import math
from dataclasses import dataclass

import torch
import torch.nn as nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class LayerNorm(nn.Module):
    def __init__(self, ndim, bias):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(ndim))
        self.bias = nn.Parameter(torch.zeros(ndim)) if bias else None

    def forward(self, input):
        return F.layer_norm(input, self.weight.shape, self.weight, self.bias, 1e-5)


class CausalSelfAttention(nn.Module):
    def __init__(self, config):
        super().__init__()
        assert config.n_embd % config.n_head == 0
        self.c_attn = nn.Linear(config.n_embd, 3 * config.n_embd, bias=config.bias)
        self.c_proj = nn.Linear(config.n_embd, config.n_embd, bias=config.bias)
        self.attn_dropout = nn.Dropout(config.dropout)
        self.resid_dropout = nn.Dropout(config.dropout)
        self.n_head, self.n_embd, self.dropout = config.n_head, config.n_embd, config.dropout
        self.flash = config.flash and hasattr(torch.nn.functional, "scaled_dot_product_attention")
        if not self.flash:
            self.register_buffer(
                "bias",
                torch.tril(torch.ones(config.block_size, config.block_size)).view(
                    1, 1, config.block_size, config.block_size
                ),
            )

    def forward(self, x):
        B, T, C = x.size()
        q, k, v = self.c_attn(x).split(self.n_embd, dim=2)
        k = k.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        q = q.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        v = v.view(B, T, self.n_head, C // self.n_head).transpose(1, 2)
        if self.flash:
            y = torch.nn.functional.scaled_dot_product_attention(
                q, k, v, attn_mask=None, dropout_p=self.dropout if self.training else 0, is_causal=True
            )
        else:
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            att = att.masked_fill(self.bias[:, :, :T, :T] == 0, float("-inf"))
            att = self.attn_dropout(F.softmax(att, dim=-1))
            y = att @ v
        y = y.transpose(1, 2).contiguous().view(B, T, C)
        return self.resid_dropout(self.c_proj(y))


class MLP(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.c_fc = nn.Linear(config.n_embd, 4 * config.n_embd, bias=config.bias)
        self.gelu = nn.GELU()
        self.c_proj = nn.Linear(4 * config.n_embd, config.n_embd, bias=config.bias)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x):
        return self.dropout(self.c_proj(self.gelu(self.c_fc(x))))


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.ln_1 = LayerNorm(config.n_embd, bias=config.bias)
        self.attn = CausalSelfAttention(config)
        self.ln_2 = LayerNorm(config.n_embd, bias=config.bias)
        self.mlp = MLP(config)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


@dataclass
class GPTConfig:
    block_size: int = 8
    vocab_size: int = 11
    n_layer: int = 2
    n_head: int = 2
    n_embd: int = 8
    dropout: float = 0.0
    bias: bool = False
    flash: bool = True


class GPT(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.config = config
        self.transformer = nn.ModuleDict(
            dict(
                wte=nn.Embedding(config.vocab_size, config.n_embd),
                wpe=nn.Embedding(config.block_size, config.n_embd),
                drop=nn.Dropout(config.dropout),
                h=nn.ModuleList([Block(config) for _ in range(config.n_layer)]),
                ln_f=LayerNorm(config.n_embd, bias=config.bias),
            )
        )
        self.lm_head = nn.Linear(config.n_embd, config.vocab_size, bias=False)
        self.transformer.wte.weight = self.lm_head.weight
        self.apply(self._init_weights)
        for pn, p in self.named_parameters():
            if pn.endswith("c_proj.weight"):
                torch.nn.init.normal_(p, mean=0.0, std=0.02 / math.sqrt(2 * config.n_layer))

    def get_num_params(self, non_embedding=True):
        n_params = sum(p.numel() for p in self.parameters())
        if non_embedding:
            n_params -= self.transformer.wpe.weight.numel()
        return n_params

    def _init_weights(self, module):
        if isinstance(module, nn.Linear):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)
            if module.bias is not None:
                torch.nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            torch.nn.init.normal_(module.weight, mean=0.0, std=0.02)

    def forward(self, idx, targets=None):
        device = idx.device
        b, t = idx.size()
        pos = torch.arange(0, t, dtype=torch.long, device=device)
        x = self.transformer.drop(self.transformer.wte(idx) + self.transformer.wpe(pos))
        for block in self.transformer.h:
            x = block(x)
        x = self.transformer.ln_f(x)
        if targets is not None:
            logits = self.lm_head(x)
            loss = F.cross_entropy(logits.view(-1, logits.size(-1)), targets.view(-1), ignore_index=-1)
        else:
            logits = self.lm_head(x[:, [-1], :])
            loss = None
        return logits, loss

    def configure_optimizers(self, weight_decay, learning_rate, betas, device_type):
        param_dict = {pn: p for pn, p in self.named_parameters() if p.requires_grad}
        decay_params = [p for n, p in param_dict.items() if p.dim() >= 2]
        nodecay_params = [p for n, p in param_dict.items() if p.dim() < 2]
        optim_groups = [
            {"params": decay_params, "weight_decay": weight_decay},
            {"params": nodecay_params, "weight_decay": 0.0},
        ]
        fused_available = "fused" in inspect.signature(torch.optim.AdamW).parameters
        extra_args = dict(fused=True) if fused_available and device_type == "cuda" else dict()
        return torch.optim.AdamW(optim_groups, lr=learning_rate, betas=betas, **extra_args)

    @torch.no_grad()
    def generate(self, idx, max_new_tokens, temperature=1.0, top_k=None):
        for _ in range(max_new_tokens):
            idx_cond = idx if idx.size(1) <= self.config.block_size else idx[:, -self.config.block_size :]
            logits, _ = self(idx_cond)
            logits = logits[:, -1, :] / temperature
            if top_k is not None:
                v, _ = torch.topk(logits, min(top_k, logits.size(-1)))
                logits[logits < v[:, [-1]]] = -float("Inf")
            probs = F.softmax(logits, dim=-1)
            idx_next = torch.multinomial(probs, num_samples=1)
            idx = torch.cat((idx, idx_next), dim=1)
        return idx


def nano_gpt(run):
    model = run.fill(GPT(GPTConfig()))
    idx, targets = run.integers(11, 2, 8), run.integers(11, 2, 8)
    targets[0, :3] = -1
    optimizer = model.configure_optimizers(0.1, 1e-2, (0.9, 0.95), "cpu")
    run.train(model, lambda: model(idx, targets)[1], optimizer, clip=1.0)
    run.keep("params", torch.tensor(model.get_num_params()))
    run.keep("generated", model.generate(idx[:, :3], 7, top_k=1))


def nano_gpt_masked(run):
    model = run.fill(GPT(GPTConfig(flash=False, bias=False)))
    idx, targets = run.integers(11, 2, 6), run.integers(11, 2, 6)
    run.train(model, lambda: model(idx, targets)[1], model.configure_optimizers(0.1, 1e-2, (0.9, 0.95), "cpu"))


def llama(run):
    class RMSNorm(torch.nn.Module):
        def __init__(self, dim: int, eps: float = 1e-6):
            super().__init__()
            self.eps = eps
            self.weight = nn.Parameter(torch.ones(dim))

        def forward(self, x):
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight

    def precompute_freqs_cis(dim, end, theta=10000.0):
        freqs = 1.0 / (theta ** (torch.arange(0, dim, 2)[: (dim // 2)].float() / dim))
        freqs = torch.outer(torch.arange(end, device=freqs.device), freqs)
        return torch.polar(torch.ones_like(freqs), freqs)

    def apply_rotary_emb(xq, xk, freqs_cis):
        xq_ = torch.view_as_complex(xq.float().reshape(*xq.shape[:-1], -1, 2))
        xk_ = torch.view_as_complex(xk.float().reshape(*xk.shape[:-1], -1, 2))
        freqs_cis = freqs_cis.view(*[d if i in (1, 3) else 1 for i, d in enumerate(xq_.shape)])
        xq_out = torch.view_as_real(xq_ * freqs_cis).flatten(3)
        xk_out = torch.view_as_real(xk_ * freqs_cis).flatten(3)
        return xq_out.type_as(xq), xk_out.type_as(xk)

    def repeat_kv(x, n_rep):
        bs, slen, n_kv_heads, head_dim = x.shape
        return (
            x[:, :, :, None, :]
            .expand(bs, slen, n_kv_heads, n_rep, head_dim)
            .reshape(bs, slen, n_kv_heads * n_rep, head_dim)
        )

    class Attention(nn.Module):
        def __init__(self, dim=8, heads=4, kv=2):
            super().__init__()
            self.heads, self.kv, self.head_dim = heads, kv, dim // heads
            self.wq = nn.Linear(dim, heads * self.head_dim, bias=False)
            self.wk = nn.Linear(dim, kv * self.head_dim, bias=False)
            self.wv = nn.Linear(dim, kv * self.head_dim, bias=False)
            self.wo = nn.Linear(heads * self.head_dim, dim, bias=False)

        def forward(self, x, freqs_cis, mask):
            bsz, seqlen, _ = x.shape
            xq = self.wq(x).view(bsz, seqlen, self.heads, self.head_dim)
            xk = self.wk(x).view(bsz, seqlen, self.kv, self.head_dim)
            xv = self.wv(x).view(bsz, seqlen, self.kv, self.head_dim)
            xq, xk = apply_rotary_emb(xq, xk, freqs_cis=freqs_cis)
            keys, values = repeat_kv(xk, self.heads // self.kv), repeat_kv(xv, self.heads // self.kv)
            xq, keys, values = xq.transpose(1, 2), keys.transpose(1, 2), values.transpose(1, 2)
            scores = torch.matmul(xq, keys.transpose(2, 3)) / math.sqrt(self.head_dim)
            scores = F.softmax((scores + mask).float(), dim=-1).type_as(xq)
            output = torch.matmul(scores, values).transpose(1, 2).contiguous().view(bsz, seqlen, -1)
            return self.wo(output)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.tok_embeddings = nn.Embedding(9, 8)
            self.attention, self.norm, self.ffn_norm = Attention(), RMSNorm(8), RMSNorm(8)
            self.w1, self.w2, self.w3 = (
                nn.Linear(8, 12, bias=False),
                nn.Linear(12, 8, bias=False),
                nn.Linear(8, 12, bias=False),
            )
            self.freqs_cis = precompute_freqs_cis(2, 10)

        def forward(self, tokens):
            _, seqlen = tokens.shape
            h = self.tok_embeddings(tokens)
            mask = torch.full((seqlen, seqlen), float("-inf"), device=tokens.device)
            mask = torch.triu(mask, diagonal=1).type_as(h)
            h = h + self.attention(self.norm(h), self.freqs_cis[:seqlen], mask)
            x = self.ffn_norm(h)
            h = h + self.w2(F.silu(self.w1(x)) * self.w3(x))
            return F.linear(h, self.tok_embeddings.weight).float()

    model = run.fill(Model())
    tokens = run.integers(9, 2, 6)

    def loss():
        logits = model(tokens[:, :-1])
        return F.cross_entropy(logits.reshape(-1, 9), tokens[:, 1:].reshape(-1))

    run.train(model, loss, torch.optim.AdamW(model.parameters(), lr=1e-2), loose=True)


def transformer_seq2seq(run):
    class PositionalEncoding(nn.Module):
        def __init__(self, emb_size, dropout, maxlen=20):
            super().__init__()
            den = torch.exp(-torch.arange(0, emb_size, 2) * math.log(10000) / emb_size)
            pos = torch.arange(0, maxlen).reshape(maxlen, 1)
            pos_embedding = torch.zeros((maxlen, emb_size))
            pos_embedding[:, 0::2] = torch.sin(pos * den)
            pos_embedding[:, 1::2] = torch.cos(pos * den)
            pos_embedding = pos_embedding.unsqueeze(-2)
            self.dropout = nn.Dropout(dropout)
            self.register_buffer("pos_embedding", pos_embedding)

        def forward(self, token_embedding):
            return self.dropout(token_embedding + self.pos_embedding[: token_embedding.size(0), :])

    class Seq2SeqTransformer(nn.Module):
        def __init__(self, size=8, vocab=10):
            super().__init__()
            self.transformer = nn.Transformer(
                d_model=size, nhead=2, num_encoder_layers=2, num_decoder_layers=1, dim_feedforward=12, dropout=0.0
            )
            self.generator = nn.Linear(size, vocab)
            self.src_tok_emb, self.tgt_tok_emb = nn.Embedding(vocab, size, padding_idx=1), nn.Embedding(vocab, size)
            self.positional_encoding = PositionalEncoding(size, dropout=0.0)
            self.size = size

        def forward(self, src, trg, src_mask, tgt_mask, src_padding_mask, tgt_padding_mask, memory_key_padding_mask):
            src_emb = self.positional_encoding(self.src_tok_emb(src.long()) * math.sqrt(self.size))
            tgt_emb = self.positional_encoding(self.tgt_tok_emb(trg.long()) * math.sqrt(self.size))
            outs = self.transformer(
                src_emb, tgt_emb, src_mask, tgt_mask, None, src_padding_mask, tgt_padding_mask, memory_key_padding_mask
            )
            return self.generator(outs)

    def generate_square_subsequent_mask(sz):
        mask = (torch.triu(torch.ones((sz, sz))) == 1).transpose(0, 1)
        return mask.float().masked_fill(mask == 0, float("-inf")).masked_fill(mask == 1, 0.0)

    model = run.fill(Seq2SeqTransformer())
    src, tgt = run.integers(8, 5, 3) + 2, run.integers(8, 6, 3) + 2
    src[3:, 1], tgt[4:, 2] = 1, 1
    tgt_input, tgt_out = tgt[:-1, :], tgt[1:, :]
    src_mask = torch.zeros((5, 5)).type(torch.bool)
    src_padding, tgt_padding = (src == 1).transpose(0, 1), (tgt_input == 1).transpose(0, 1)

    def loss():
        tgt_mask = generate_square_subsequent_mask(5).to(model.generator.weight.dtype) == float("-inf")
        logits = model(src, tgt_input, src_mask, tgt_mask, src_padding, tgt_padding, src_padding)
        return F.cross_entropy(logits.reshape(-1, logits.shape[-1]), tgt_out.reshape(-1), ignore_index=1)

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.9, 0.98), eps=1e-9)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min((step + 1) ** -0.5, (step + 1) * 2**-1.5))
    run.train(model, loss, optimizer, schedule=schedule)


def vit(run):
    class EncoderBlock(nn.Module):
        def __init__(self, dim, heads, mlp_dim):
            super().__init__()
            self.ln_1 = nn.LayerNorm(dim, eps=1e-6)
            self.self_attention = nn.MultiheadAttention(dim, heads, dropout=0.0, batch_first=True)
            self.ln_2 = nn.LayerNorm(dim, eps=1e-6)
            self.mlp = nn.Sequential(nn.Linear(dim, mlp_dim), nn.GELU(), nn.Dropout(0.0), nn.Linear(mlp_dim, dim))

        def forward(self, input):
            torch._assert(input.dim() == 3, f"Expected (batch_size, seq_length, hidden_dim) got {input.shape}")
            x = self.ln_1(input)
            x, _ = self.self_attention(x, x, x, need_weights=False)
            x = x + input
            return x + self.mlp(self.ln_2(x))

    class VisionTransformer(nn.Module):
        def __init__(self, image=8, patch=4, dim=8):
            super().__init__()
            self.patch_embed = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)
            self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
            self.pos_embedding = nn.Parameter(torch.empty(1, (image // patch) ** 2 + 1, dim).normal_(std=0.02))
            nn.init.trunc_normal_(self.patch_embed.weight, std=math.sqrt(1 / 48))
            self.encoder = nn.Sequential(*[EncoderBlock(dim, 2, 16) for _ in range(2)])
            self.norm, self.head = nn.LayerNorm(dim), nn.Linear(dim, 3)

        def forward(self, x):
            x = self.patch_embed(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.class_token.expand(x.shape[0], -1, -1), x], dim=1) + self.pos_embedding
            return self.head(self.norm(self.encoder(x))[:, 0])

    model = run.fill(VisionTransformer())
    x, y = run.numbers(2, 3, 8, 8), run.integers(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.01, total_steps=10)
    run.train(model, lambda: F.cross_entropy(model(x), y), optimizer, schedule=schedule)


def mlp_mixer(run):
    class PreNormResidual(nn.Module):
        def __init__(self, dim, fn):
            super().__init__()
            self.fn, self.norm = fn, nn.LayerNorm(dim)

        def forward(self, x):
            return self.fn(self.norm(x)) + x

    def FeedForward(dim, expansion_factor=2, dropout=0.0, dense=nn.Linear):
        inner_dim = int(dim * expansion_factor)
        return nn.Sequential(
            dense(dim, inner_dim), nn.GELU(), nn.Dropout(dropout), dense(inner_dim, dim), nn.Dropout(dropout)
        )

    def chan_first(i, o):
        return nn.Conv1d(i, o, kernel_size=1)

    class Mean(nn.Module):
        def forward(self, x):
            return x.mean(dim=1)

    model = nn.Sequential(
        nn.Unfold(4, stride=4),
        nn.Flatten(2),
        nn.Conv1d(48, 6, 1),
        nn.Flatten(1),
        nn.Unflatten(1, (4, 6)),
        *[
            nn.Sequential(PreNormResidual(6, FeedForward(4, 2, 0.0, chan_first)), PreNormResidual(6, FeedForward(6)))
            for _ in range(2)
        ],
        nn.LayerNorm(6),
        Mean(),
        nn.Linear(6, 3),
    )
    run.fill(model)
    x, y = run.numbers(2, 3, 8, 8), run.integers(3, 2)
    run.train(model, lambda: F.cross_entropy(model(x), y), torch.optim.NAdam(model.parameters()))


def char_lstm(run):
    class CharRNN(nn.Module):
        def __init__(self, vocab=9, n_hidden=6, n_layers=2):
            super().__init__()
            self.n_layers, self.n_hidden = n_layers, n_hidden
            self.encoder = nn.Embedding(vocab, 5)
            self.lstm = nn.LSTM(5, n_hidden, n_layers, dropout=0.0, batch_first=True)
            self.dropout, self.fc = nn.Dropout(0.0), nn.Linear(n_hidden, vocab)
            self.init_weights()

        def init_weights(self):
            initrange = 0.1
            self.encoder.weight.data.uniform_(-initrange, initrange)
            self.fc.bias.data.fill_(0)
            for name, param in self.lstm.named_parameters():
                if "bias" in name:
                    nn.init.constant_(param, 0.0)
                elif "weight_hh" in name:
                    nn.init.orthogonal_(param)

        def forward(self, x, hidden):
            r_output, hidden = self.lstm(self.encoder(x), hidden)
            out = self.dropout(r_output).contiguous().view(-1, self.n_hidden)
            return self.fc(out), hidden

        def init_hidden(self, batch_size):
            weight = next(self.parameters()).data
            return (
                weight.new(self.n_layers, batch_size, self.n_hidden).zero_(),
                weight.new(self.n_layers, batch_size, self.n_hidden).zero_(),
            )

    net = run.fill(CharRNN())
    x, y = run.integers(9, 2, 5), run.integers(9, 2, 5)
    state = {"h": net.init_hidden(2)}

    def loss():
        h = tuple([each.data for each in state["h"]])
        output, state["h"] = net(x, h)
        return nn.CrossEntropyLoss()(output, y.view(2 * 5).long())

    run.train(net, loss, torch.optim.Adam(net.parameters(), lr=1e-2), clip=5)


def bigru_attention(run):
    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(8, 4)
            self.rnn = nn.GRU(4, 5, bidirectional=True)
            self.fc = nn.Linear(10, 5)

        def forward(self, src, src_len):
            packed_embedded = pack_padded_sequence(self.embedding(src), src_len.cpu(), enforce_sorted=False)
            packed_outputs, hidden = self.rnn(packed_embedded)
            outputs, lengths = pad_packed_sequence(packed_outputs)
            hidden = torch.tanh(self.fc(torch.cat((hidden[-2, :, :], hidden[-1, :, :]), dim=1)))
            return outputs, hidden

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attn = nn.Linear(15, 5)
            self.v = nn.Linear(5, 1, bias=False)

        def forward(self, hidden, encoder_outputs, mask):
            src_len = encoder_outputs.shape[0]
            hidden = hidden.unsqueeze(1).repeat(1, src_len, 1)
            encoder_outputs = encoder_outputs.permute(1, 0, 2)
            energy = torch.tanh(self.attn(torch.cat((hidden, encoder_outputs), dim=2)))
            attention = self.v(energy).squeeze(2).masked_fill(mask == 0, -1e10)
            return F.softmax(attention, dim=1)

    class Seq2Seq(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.attention = Encoder(), Attention()
            self.embedding = nn.Embedding(8, 4)
            self.cell = nn.GRUCell(14, 5)
            self.out = nn.Linear(5, 8)

        def forward(self, src, src_len, trg):
            encoder_outputs, hidden = self.encoder(src, src_len)
            mask = (src != 0).permute(1, 0)
            outputs = torch.zeros(trg.shape[0], trg.shape[1], 8)
            for t in range(1, trg.shape[0]):
                a = self.attention(hidden, encoder_outputs, mask).unsqueeze(1)
                weighted = torch.bmm(a, encoder_outputs.permute(1, 0, 2)).squeeze(1)
                hidden = self.cell(torch.cat((self.embedding(trg[t - 1]), weighted), dim=1), hidden)
                outputs[t] = self.out(hidden)
            return outputs

    model = run.fill(Seq2Seq())
    src, trg = run.integers(7, 5, 3) + 1, run.integers(8, 4, 3)
    src[3:, 0] = 0
    lengths = torch.tensor([3, 5, 5])

    def loss():
        output = model(src, lengths, trg)
        return F.cross_entropy(output[1:].view(-1, 8), trg[1:].view(-1))

    run.train(model, loss, torch.optim.Adamax(model.parameters()), clip=1)


def ctc_speech(run):
    model = nn.Sequential(nn.Conv1d(3, 6, 3, padding="same"), nn.BatchNorm1d(6), nn.Hardtanh(0, 20, inplace=True))
    rnn, fc = nn.RNN(6, 4, bidirectional=True, nonlinearity="relu"), nn.Linear(8, 5)
    both = run.fill(nn.ModuleList([model, rnn, fc]))
    x, y = run.numbers(2, 3, 9), run.integers(4, 2, 3) + 1

    def loss():
        out, _ = rnn(model(x).permute(2, 0, 1))
        log_probs = fc(out).log_softmax(2)
        return F.ctc_loss(log_probs, y, torch.tensor([9, 8]), torch.tensor([3, 2]), blank=0, zero_infinity=True)

    run.train(both, loss, torch.optim.Adadelta(both.parameters()))
