# Text of several lengths: padding and masks for a Transformer, packed sequences for an LSTM.
import math

import torch
import torch.nn as nn
from torch import Tensor
from torch.nn import TransformerEncoder, TransformerEncoderLayer
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

from reproducible import fill, integers

lengths = [9, 7, 5, 4]
sequences = [integers(18, length, seed=length) + 2 for length in lengths]
padded = pad_sequence(sequences, batch_first=True, padding_value=0)
labels = torch.tensor([0, 1, 2, 1])
print(padded)


class PositionalEncoding(nn.Module):
    def __init__(self, d_model: int, dropout: float = 0.0, max_len: int = 50):
        super().__init__()
        self.dropout = nn.Dropout(p=dropout)
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-math.log(10000.0) / d_model))
        pe = torch.zeros(max_len, 1, d_model)
        pe[:, 0, 0::2] = torch.sin(position * div_term)
        pe[:, 0, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x: Tensor) -> Tensor:
        return self.dropout(
            x + self.pe[: x.size(0)].transpose(0, 1)[:, : x.size(1)] if False else x + self.pe[: x.size(1), 0]
        )


class TransformerModel(nn.Module):
    def __init__(self, ntoken: int, d_model: int, nhead: int, d_hid: int, nlayers: int):
        super().__init__()
        self.pos_encoder = PositionalEncoding(d_model)
        layers = TransformerEncoderLayer(d_model, nhead, d_hid, dropout=0.0, batch_first=True)
        self.transformer_encoder = TransformerEncoder(layers, nlayers, enable_nested_tensor=False)
        self.embedding = nn.Embedding(ntoken, d_model, padding_idx=0)
        self.linear = nn.Linear(d_model, 3)

    def forward(self, src: Tensor) -> Tensor:
        mask = src == 0
        x = self.pos_encoder(self.embedding(src) * math.sqrt(16))
        x = self.transformer_encoder(x, src_key_padding_mask=mask)
        x = x.masked_fill(mask.unsqueeze(-1), 0).sum(1) / (~mask).sum(1, keepdim=True)
        return self.linear(x)


class LSTMTagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 8, padding_idx=0)
        self.lstm = nn.LSTM(8, 10, num_layers=2, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(20, 3)

    def forward(self, src):
        packed = pack_padded_sequence(self.embedding(src), lengths, batch_first=True, enforce_sorted=True)
        output, (h, c) = self.lstm(packed)
        output, sizes = pad_packed_sequence(output, batch_first=True)
        return self.fc(torch.cat((h[-2], h[-1]), dim=1))


for model in (fill(TransformerModel(20, 16, 4, 32, 2)), fill(LSTMTagger(), 1)):
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.95)
    for step in range(12):
        optimizer.zero_grad(set_to_none=True)
        loss = criterion(model(padded), labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        scheduler.step()
        if step % 3 == 0:
            print(type(model).__name__, step, f"{loss.item():.5f}")
    model.eval()
    with torch.inference_mode():
        print(model(padded).softmax(-1).max(-1))
mask = nn.Transformer.generate_square_subsequent_mask(4)
print(mask)
