# nn.Transformer from source to target: causal and padding masks, warm-up, label smoothing, greedy decoding.
import math

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn import Transformer

from reproducible import fill, integers

PAD, BOS, EOS, VOCAB = 0, 1, 2, 13


class PositionalEncoding(nn.Module):
    def __init__(self, emb_size: int, dropout: float, maxlen: int = 50):
        super().__init__()
        den = torch.exp(-torch.arange(0, emb_size, 2) * math.log(10000) / emb_size)
        pos = torch.arange(0, maxlen).reshape(maxlen, 1)
        pos_embedding = torch.zeros((maxlen, emb_size))
        pos_embedding[:, 0::2] = torch.sin(pos * den)
        pos_embedding[:, 1::2] = torch.cos(pos * den)
        self.dropout = nn.Dropout(dropout)
        self.register_buffer("pos_embedding", pos_embedding.unsqueeze(-2))

    def forward(self, token_embedding: Tensor):
        return self.dropout(token_embedding + self.pos_embedding[: token_embedding.size(0), :])


class Seq2SeqTransformer(nn.Module):
    def __init__(self, emb_size=32, nhead=4, layers=2):
        super().__init__()
        self.transformer = Transformer(
            d_model=emb_size,
            nhead=nhead,
            num_encoder_layers=layers,
            num_decoder_layers=layers,
            dim_feedforward=48,
            dropout=0.0,
        )
        self.generator = nn.Linear(emb_size, VOCAB)
        self.tok_emb = nn.Embedding(VOCAB, emb_size)
        self.scale = math.sqrt(emb_size)
        self.positional_encoding = PositionalEncoding(emb_size, dropout=0.0)

    def embed(self, tokens):
        return self.positional_encoding(self.tok_emb(tokens.long()) * self.scale)

    def forward(self, src, trg, src_mask, tgt_mask, src_padding_mask, tgt_padding_mask, memory_key_padding_mask):
        outs = self.transformer(
            self.embed(src),
            self.embed(trg),
            src_mask,
            tgt_mask,
            None,
            src_padding_mask,
            tgt_padding_mask,
            memory_key_padding_mask,
        )
        return self.generator(outs)


def create_mask(src, tgt):
    tgt_mask = (torch.triu(torch.ones((tgt.shape[0], tgt.shape[0]))) == 1).transpose(0, 1)
    tgt_mask = tgt_mask.float().masked_fill(tgt_mask == 0, float("-inf")).masked_fill(tgt_mask == 1, float(0.0))
    src_mask = torch.zeros((src.shape[0], src.shape[0])).type(torch.bool)
    return src_mask, tgt_mask, (src == PAD).transpose(0, 1), (tgt == PAD).transpose(0, 1)


def batch(seed, size=16, longest=7):
    src, tgt = torch.full((longest, size), PAD), torch.full((longest + 2, size), PAD)
    for i, n in enumerate(3 + integers(longest - 2, size, seed=seed)):
        words = 3 + integers(VOCAB - 3, int(n), seed=1000 * seed + i)
        src[:n, i] = words
        tgt[: n + 2, i] = torch.cat([torch.tensor([BOS]), words.flip(0), torch.tensor([EOS])])
    return src, tgt


model = fill(Seq2SeqTransformer(), 1)
print(sum(p.numel() for p in model.parameters() if p.requires_grad), len(model.state_dict()))
loss_fn = nn.CrossEntropyLoss(ignore_index=PAD, label_smoothing=0.1)
optimizer = torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
noam = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: 32**-0.5 * min((s + 1) ** -0.5, (s + 1) * 40**-1.5))
for step in range(30):
    src, tgt = batch(step)
    tgt_input, tgt_out = tgt[:-1, :], tgt[1:, :]
    src_mask, tgt_mask, src_padding_mask, tgt_padding_mask = create_mask(src, tgt_input)
    logits = model(src, tgt_input, src_mask, tgt_mask, src_padding_mask, tgt_padding_mask, src_padding_mask)
    optimizer.zero_grad()
    loss = loss_fn(logits.reshape(-1, logits.shape[-1]), tgt_out.reshape(-1))
    loss.backward()
    optimizer.step()
    noam.step()
    if step % 6 == 5:
        print(step, f"{loss.item():.3f} {noam.get_last_lr()[0]:.6f}")
model.eval()
print(torch.equal(Transformer.generate_square_subsequent_mask(5), create_mask(src, tgt[:5])[1]))
with torch.no_grad():
    source = torch.tensor([[4], [7], [9], [5]])
    memory = model.transformer.encoder(model.embed(source), torch.zeros(4, 4).bool())
    ys = torch.ones(1, 1).fill_(BOS).type(torch.long)
    for _ in range(6):
        mask = Transformer.generate_square_subsequent_mask(ys.size(0)).type(torch.bool)
        out = model.transformer.decoder(model.embed(ys), memory, mask).transpose(0, 1)
        _, next_word = torch.max(model.generator(out[:, -1]), dim=1)
        ys = torch.cat([ys, torch.ones(1, 1).type_as(source.data).fill_(next_word.item())], dim=0)
print(ys.shape, memory.shape, f"{memory.mean().item():.4f}")
