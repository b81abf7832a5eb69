# Structured sequences: BiLSTM-CRF as the tutorial has it and batched, HMM by logsumexp, CTC with beams, pointer and soft-DTW.
import torch
import torch.autograd as autograd
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence, unpad_sequence

from reproducible import fill, integers, normal, slopes, tell

START_TAG, STOP_TAG = "<START>", "<STOP>"


def argmax(vec):
    _, idx = torch.max(vec, 1)
    return idx.item()


def log_sum_exp(vec):
    max_score = vec[0, argmax(vec)]
    max_score_broadcast = max_score.view(1, -1).expand(1, vec.size()[1])
    return max_score + torch.log(torch.sum(torch.exp(vec - max_score_broadcast)))


class BiLSTM_CRF(nn.Module):
    def __init__(self, vocab_size, tag_to_ix, embedding_dim, hidden_dim):
        super(BiLSTM_CRF, self).__init__()
        self.hidden_dim, self.tag_to_ix, self.tagset_size = hidden_dim, tag_to_ix, len(tag_to_ix)
        self.word_embeds = nn.Embedding(vocab_size, embedding_dim)
        self.lstm = nn.LSTM(embedding_dim, hidden_dim // 2, num_layers=1, bidirectional=True)
        self.hidden2tag = nn.Linear(hidden_dim, self.tagset_size)
        self.transitions = nn.Parameter(torch.randn(self.tagset_size, self.tagset_size))
        self.hidden = (torch.zeros(2, 1, hidden_dim // 2), torch.zeros(2, 1, hidden_dim // 2))

    def forbid(self):
        self.transitions.data[self.tag_to_ix[START_TAG], :] = -10000
        self.transitions.data[:, self.tag_to_ix[STOP_TAG]] = -10000
        return self

    def _forward_alg(self, feats):
        init_alphas = torch.full((1, self.tagset_size), -10000.0)
        init_alphas[0][self.tag_to_ix[START_TAG]] = 0.0
        forward_var = init_alphas
        for feat in feats:
            alphas_t = []
            for next_tag in range(self.tagset_size):
                emit_score = feat[next_tag].view(1, -1).expand(1, self.tagset_size)
                trans_score = self.transitions[next_tag].view(1, -1)
                next_tag_var = forward_var + trans_score + emit_score
                alphas_t.append(log_sum_exp(next_tag_var).view(1))
            forward_var = torch.cat(alphas_t).view(1, -1)
        return log_sum_exp(forward_var + self.transitions[self.tag_to_ix[STOP_TAG]])

    def _get_lstm_features(self, sentence):
        embeds = self.word_embeds(sentence).view(len(sentence), 1, -1)
        lstm_out, self.hidden = self.lstm(embeds, tuple(h.detach() for h in self.hidden))
        return self.hidden2tag(lstm_out.view(len(sentence), self.hidden_dim))

    def _score_sentence(self, feats, tags):
        score = torch.zeros(1)
        tags = torch.cat([torch.tensor([self.tag_to_ix[START_TAG]], dtype=torch.long), tags])
        for i, feat in enumerate(feats):
            score = score + self.transitions[tags[i + 1], tags[i]] + feat[tags[i + 1]]
        return score + self.transitions[self.tag_to_ix[STOP_TAG], tags[-1]]

    def _viterbi_decode(self, feats):
        backpointers = []
        forward_var = torch.full((1, self.tagset_size), -10000.0)
        forward_var[0][self.tag_to_ix[START_TAG]] = 0
        for feat in feats:
            bptrs_t, viterbivars_t = [], []
            for next_tag in range(self.tagset_size):
                next_tag_var = forward_var + self.transitions[next_tag]
                best_tag_id = argmax(next_tag_var)
                bptrs_t.append(best_tag_id)
                viterbivars_t.append(next_tag_var[0][best_tag_id].view(1))
            forward_var = (torch.cat(viterbivars_t) + feat).view(1, -1)
            backpointers.append(bptrs_t)
        terminal_var = forward_var + self.transitions[self.tag_to_ix[STOP_TAG]]
        best_tag_id = argmax(terminal_var)
        path_score = terminal_var[0][best_tag_id]
        best_path = [best_tag_id]
        for bptrs_t in reversed(backpointers):
            best_tag_id = bptrs_t[best_tag_id]
            best_path.append(best_tag_id)
        assert best_path.pop() == self.tag_to_ix[START_TAG]
        best_path.reverse()
        return path_score, best_path

    def neg_log_likelihood(self, sentence, tags):
        feats = self._get_lstm_features(sentence)
        return self._forward_alg(feats) - self._score_sentence(feats, tags)

    def forward(self, sentence):
        return self._viterbi_decode(self._get_lstm_features(sentence))


training_data = [("the wall street journal reported today that apple made money".split(), "B I I I O O O B O O".split()), ("georgia tech is a university in georgia".split(), "B I O O O O B".split())]
word_to_ix = {}
for sentence, _ in training_data:
    for word in sentence:
        word_to_ix.setdefault(word, len(word_to_ix))
tag_to_ix = {"B": 0, "I": 1, "O": 2, START_TAG: 3, STOP_TAG: 4}
model = fill(BiLSTM_CRF(len(word_to_ix), tag_to_ix, 5, 4), 1).forbid()
optimizer = optim.SGD(model.parameters(), lr=0.01, weight_decay=1e-4)
with torch.no_grad():
    print(model(torch.tensor([word_to_ix[w] for w in training_data[0][0]], dtype=torch.long)))
for epoch in range(3):
    for sentence, tags in training_data:
        model.zero_grad()
        loss = model.neg_log_likelihood(torch.tensor([word_to_ix[w] for w in sentence]), torch.tensor([tag_to_ix[t] for t in tags], dtype=torch.long))
        loss.backward()
        optimizer.step()
    print(epoch, loss)
# batched CRF: marginals are gradients of the partition function
emissions = [normal(n, 3, seed=n).requires_grad_() for n in (5, 3, 4)]
packed = pack_sequence(emissions, enforce_sorted=False)
print(packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices, packed.is_cuda)
E, lengths = pad_packed_sequence(packed, batch_first=True, padding_value=-1.0)
mask = torch.arange(5)[None] < lengths[:, None]
T = normal(3, 3, seed=9).requires_grad_()
alpha = E[:, 0]
for t in range(1, 5):
    new = torch.logsumexp(alpha.unsqueeze(2) + T.unsqueeze(0), dim=1) + E[:, t]
    alpha = torch.where(mask[:, t, None], new, alpha)
Z = torch.logsumexp(alpha, 1)
*marginals, transitions = autograd.grad(Z.sum(), [*emissions, T], create_graph=True)
print([m.sum(1) for m in marginals][1], transitions.sum())
tell("second", *autograd.grad(sum((m**2).sum() for m in marginals), [*emissions, T]))
best, back = E[:, 0].detach(), []
for t in range(1, 5):
    s, b = (best[:, :, None] + T.detach()).max(1)
    best = torch.where(mask[:, t, None], s + E[:, t].detach(), best)
    back.append(torch.where(mask[:, t, None], b, torch.arange(3)))
path = [best.argmax(-1, keepdim=True)]
for b in reversed(back):
    path.append(b.gather(1, path[-1]))
print(torch.cat(path[::-1], 1).tolist(), [u.shape for u in unpad_sequence(E, lengths, batch_first=True)])
# a hidden Markov model learned through the forward algorithm
logits = [normal(*s, seed=20 + i).requires_grad_() for i, s in enumerate(((3,), (3, 3), (3, 4)))]
obs = integers(4, 12, seed=23)
opt = optim.Adagrad(logits, lr=0.3)
for step in range(6):
    pi, A, B = (F.log_softmax(v, -1) for v in logits)
    a = pi + B[:, obs[0]]
    for o in obs[1:]:
        a = torch.logsumexp(a[:, None] + A, 0) + B[:, o]
    loss = -a.logsumexp(0)
    opt.zero_grad(), loss.backward(), opt.step()
tell("HMM", loss, *(v.grad for v in logits))
# CTC: losses, gradients and decoders
log_probs = F.log_softmax(normal(10, 2, 5, seed=30), 2).requires_grad_()
targets = torch.tensor([[1, 2, 2, 3], [4, 1, 0, 0]])
for reduction in ("mean", "sum", "none"):
    ctc = nn.CTCLoss(blank=0, reduction=reduction, zero_infinity=True)
    loss = ctc(log_probs, targets, torch.tensor([10, 6]), torch.tensor([4, 2]))
    (g,) = autograd.grad(loss.sum(), log_probs)
    tell(f"CTC {reduction}", loss, g)
flat = F.ctc_loss(log_probs[:, 0], torch.tensor([1, 2, 2, 3]), (10,), (4,))
tell("one", flat, F.ctc_loss(log_probs, torch.tensor([1, 2, 2, 3, 4, 1]), (10, 6), (4, 2), reduction="none"), F.ctc_loss(log_probs, targets, (2, 2), (4, 2), reduction="none"))
greedy = torch.unique_consecutive(log_probs[:, 0].argmax(-1))
print([g.item() for g in greedy if g != 0])
beams = {(): (0.0, float("-inf"))}
for t in range(10):
    new = {}
    for prefix, (pb, pnb) in beams.items():
        for c in range(5):
            p = log_probs[t, 0, c].item()
            key = prefix if c == 0 or (prefix and prefix[-1] == c) else prefix + (c,)
            b, nb = new.get(key, (float("-inf"),) * 2)
            if c == 0:
                b = torch.logaddexp(torch.tensor(b), torch.logaddexp(torch.tensor(pb), torch.tensor(pnb)) + p).item()
            else:
                nb = torch.logaddexp(torch.tensor(nb), torch.tensor(pnb if key == prefix else pb) + p).item()
            new[key] = (b, nb)
    beams = dict(sorted(new.items(), key=lambda kv: -torch.tensor(kv[1]).logsumexp(0).item())[:4])
print(list(beams)[0], f"{torch.tensor(list(beams.values())[0]).logsumexp(0).item():.4f}")
# beam search over a recurrent decoder, hypotheses as one batch
cell, out, emb = fill(nn.GRUCell(4, 6), 31), fill(nn.Linear(6, 7), 32), fill(nn.Embedding(7, 4), 33)
with torch.no_grad():
    h, seqs, scores = normal(1, 6, seed=34), torch.zeros(1, 1, dtype=torch.long), torch.zeros(1)
    for t in range(5):
        h = cell(emb(seqs[:, -1]), h)
        lp = F.log_softmax(out(h), -1) + scores[:, None]
        scores, index = lp.flatten().topk(3)
        rows = torch.div(index, 7, rounding_mode="floor")
        seqs, h = torch.cat([seqs[rows], (index % 7)[:, None]], 1), h[rows]
    print(seqs.tolist(), scores)


def soft_dtw(D, gamma=0.5):
    n, m = D.shape
    R = {(i, j): torch.tensor(float("inf")) for i in range(n + 1) for j in range(m + 1)}
    R[0, 0] = torch.tensor(0.0)
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            three = torch.stack([R[i - 1, j - 1], R[i - 1, j], R[i, j - 1]])
            three = three[torch.isfinite(three)]
            R[i, j] = D[i - 1, j - 1] - gamma * torch.logsumexp(-three / gamma, 0)
    return R[n, m]


s = normal(5, 2, seed=40).requires_grad_()
loss = soft_dtw(torch.cdist(s, normal(4, 2, seed=41)).square())
loss.backward()
tell("soft-DTW", loss, s.grad)
for proj in (0, 2):
    lstm = fill(nn.LSTM(3, 4, 2, bidirectional=True, batch_first=True, proj_size=proj), 42)
    p = pack_padded_sequence(E.detach(), lengths, batch_first=True, enforce_sorted=False)
    o, (hn, cn) = lstm(p)
    (o.data.square().sum() + hn.sum() + cn.sin().sum()).backward()
    tell(f"packed {proj}", o.data, hn, cn)
    print(f"{slopes(lstm):.4f}", pad_sequence([torch.ones(2), torch.ones(3)], padding_value=9).tolist(), pad_sequence([torch.ones(2), torch.ones(3)], batch_first=True, padding_side="left").tolist())
