# Sentences of unequal length: sorted, padded, packed; a bidirectional LSTM with attention over its states; and CTC.
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset

from reproducible import fill, integers, normal


class Sentences(Dataset):
    def __init__(self):
        lengths = 3 + integers(6, 48, seed=1)
        self.data = [1 + integers(19, int(n), seed=10 + i) for i, n in enumerate(lengths)]

    def __len__(self):
        return len(self.data)

    def __getitem__(self, i):
        return self.data[i], int(self.data[i].sum() % 2)


def collate(batch):
    batch.sort(key=lambda t: len(t[0]), reverse=True)
    xs, ys = zip(*batch)
    return pad_sequence(xs, batch_first=True, padding_value=0), torch.tensor([len(x) for x in xs]), torch.tensor(ys)


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(20, 8, padding_idx=0)
        self.lstm = nn.LSTM(8, 12, num_layers=2, batch_first=True, bidirectional=True)
        self.attention = nn.Linear(24, 1)
        self.fc = nn.Linear(24, 2)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(self.embedding(x), lengths.cpu(), batch_first=True, enforce_sorted=False)
        out, (h, c) = self.lstm(packed)
        out, _ = pad_packed_sequence(out, batch_first=True)
        mask = torch.arange(out.size(1))[None, :] >= lengths[:, None]
        a = F.softmax(self.attention(out).squeeze(-1).masked_fill(mask, float("-inf")), 1)
        return self.fc(torch.bmm(a.unsqueeze(1), out).squeeze(1) + torch.cat((h[-2], h[-1]), 1))


model = fill(Classifier(), 2)
with torch.no_grad():
    model.embedding.weight[0] = 0
print(model)
optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
for epoch in range(3):
    total = 0.0
    for x, lengths, y in DataLoader(Sentences(), 12, collate_fn=collate):
        loss = F.cross_entropy(model(x, lengths), y, weight=torch.tensor([1.0, 2.0]))
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
    scheduler.step()
    print(epoch, f"{total / 4:.5f} {norm.item():.4f}", x.shape, [f"{v:.6f}" for v in scheduler.get_last_lr()])
print("padding row stays", model.embedding.weight[0].abs().sum().item())
gru = fill(nn.GRU(4, 6, num_layers=2), 3)
out, h = gru(pack_sequence([torch.ones(2, 4), torch.ones(3, 4)], enforce_sorted=False))
print(out.batch_sizes, h.shape, f"{out.data.sum().item():.5f}", out.sorted_indices)
target, sizes, *_ = pack_padded_sequence(torch.tensor([[1, 2, 3], [4, 5, 0]]), [3, 2], batch_first=True)
print(target, sizes)
cell, hidden = fill(nn.LSTMCell(4, 5), 4), None
for t in range(3):
    hidden = cell(torch.full((2, 4), float(t)), hidden)
print(hidden[0].detach())
log_probs = normal(10, 2, 5, seed=5).log_softmax(2).requires_grad_()
ctc = nn.CTCLoss(blank=0, zero_infinity=True)(
    log_probs, torch.tensor([[1, 2, 3], [2, 2, 0]]), torch.tensor([10, 9]), torch.tensor([3, 2])
)
ctc.backward()
print(f"{ctc.item():.5f} {log_probs.grad.abs().sum().item():.5f}")
