# Word embeddings from n-grams and from bags of words.
import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim

from reproducible import fill

CONTEXT_SIZE, EMBEDDING_DIM = 2, 10
test_sentence = """the sun goes down and the night comes up and over the hill the moon goes up and the sun
comes over the hill when the night goes down""".split()
ngrams = [
    ([test_sentence[i - j - 1] for j in range(CONTEXT_SIZE)], test_sentence[i])
    for i in range(CONTEXT_SIZE, len(test_sentence))
]
vocab = sorted(set(test_sentence))
word_to_ix = {word: i for i, word in enumerate(vocab)}


class NGramLanguageModeler(nn.Module):
    def __init__(self, vocab_size, embedding_dim, context_size):
        super(NGramLanguageModeler, self).__init__()
        self.embeddings = nn.Embedding(vocab_size, embedding_dim)
        self.linear1 = nn.Linear(context_size * embedding_dim, 128)
        self.linear2 = nn.Linear(128, vocab_size)

    def forward(self, inputs):
        embeds = self.embeddings(inputs).view((1, -1))
        out = F.relu(self.linear1(embeds))
        out = self.linear2(out)
        return F.log_softmax(out, dim=1)


losses = []
loss_function = nn.NLLLoss()
model = fill(NGramLanguageModeler(len(vocab), EMBEDDING_DIM, CONTEXT_SIZE))
optimizer = optim.SGD(model.parameters(), lr=0.01)
for epoch in range(5):
    total_loss = 0
    for context, target in ngrams:
        context_idxs = torch.tensor([word_to_ix[w] for w in context], dtype=torch.long)
        model.zero_grad()
        log_probs = model(context_idxs)
        loss = loss_function(log_probs, torch.tensor([word_to_ix[target]], dtype=torch.long))
        loss.backward()
        optimizer.step()
        total_loss += loss.item()
    losses.append(total_loss)
print(losses)
print(model.embeddings.weight[word_to_ix["moon"]].detach())


class CBOW(nn.Module):
    def __init__(self, vocab_size, embedding_dim):
        super().__init__()
        self.bag = nn.EmbeddingBag(vocab_size, embedding_dim, mode="mean", sparse=False)
        self.fc = nn.Linear(embedding_dim, vocab_size)

    def forward(self, text, offsets):
        return self.fc(self.bag(text, offsets))


model = fill(CBOW(len(vocab), EMBEDDING_DIM), 1)
optimizer = optim.Adagrad(model.parameters(), lr=0.1)
text, offsets, labels = [], [0], []
for i in range(2, len(test_sentence) - 2):
    text += [word_to_ix[test_sentence[i + j]] for j in (-2, -1, 1, 2)]
    offsets.append(len(text))
    labels.append(word_to_ix[test_sentence[i]])
text, offsets, labels = torch.tensor(text), torch.tensor(offsets[:-1]), torch.tensor(labels)
for epoch in range(6):
    optimizer.zero_grad()
    loss = F.cross_entropy(model(text, offsets), labels, label_smoothing=0.1)
    loss.backward()
    optimizer.step()
    print(epoch, round(loss.item(), 5))
similar = F.cosine_similarity(model.bag.weight[:1], model.bag.weight).topk(3)
print([vocab[i] for i in similar.indices], similar.values)
