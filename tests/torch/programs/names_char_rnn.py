# Which language is a surname from: a recurrent network, letter by letter, with a hand-written update.
import string

import torch
import torch.nn as nn

from reproducible import fill

NAMES = {
    "Czech": ["Novak", "Svoboda", "Dvorak", "Cerny", "Prochazka"],
    "Italian": ["Rossi", "Ferrari", "Bianchi", "Romano", "Colombo"],
    "Japanese": ["Sato", "Suzuki", "Takahashi", "Tanaka", "Watanabe"],
}
all_letters = string.ascii_letters + " .,;'"
n_letters = len(all_letters)
all_categories = list(NAMES)


def letter_to_tensor(letter):
    tensor = torch.zeros(1, n_letters)
    tensor[0][all_letters.find(letter)] = 1
    return tensor


def line_to_tensor(line):
    tensor = torch.zeros(len(line), 1, n_letters)
    for li, letter in enumerate(line):
        tensor[li][0][all_letters.find(letter)] = 1
    return tensor


class RNN(nn.Module):
    def __init__(self, input_size, hidden_size, output_size):
        super(RNN, self).__init__()
        self.hidden_size = hidden_size
        self.i2h = nn.Linear(input_size + hidden_size, hidden_size)
        self.i2o = nn.Linear(input_size + hidden_size, output_size)
        self.softmax = nn.LogSoftmax(dim=1)

    def forward(self, input, hidden):
        combined = torch.cat((input, hidden), 1)
        hidden = torch.tanh(self.i2h(combined))
        return self.softmax(self.i2o(combined)), hidden

    def init_hidden(self):
        return torch.zeros(1, self.hidden_size)


rnn = fill(RNN(n_letters, 32, len(NAMES)))
criterion = nn.NLLLoss()
learning_rate = 0.05
print(letter_to_tensor("J").nonzero().tolist(), line_to_tensor("Jones").size())


def train(category_tensor, line_tensor):
    hidden = rnn.init_hidden()
    rnn.zero_grad()
    for i in range(line_tensor.size()[0]):
        output, hidden = rnn(line_tensor[i], hidden)
    loss = criterion(output, category_tensor)
    loss.backward()
    nn.utils.clip_grad_norm_(rnn.parameters(), 3)
    for p in rnn.parameters():
        p.data.add_(p.grad.data, alpha=-learning_rate)
    return output, loss.item()


def category_from_output(output):
    top_n, top_i = output.topk(1)
    category_i = top_i[0].item()
    return all_categories[category_i], category_i


for epoch in range(12):
    total = 0.0
    for k in range(5):
        for number, category in enumerate(all_categories):
            target = torch.tensor([number], dtype=torch.long)
            output, loss = train(target, line_to_tensor(NAMES[category][k]))
            total += loss
    print(epoch, f"{total / 15:.5f}")

confusion = torch.zeros(3, 3)
with torch.no_grad():
    for number, category in enumerate(all_categories):
        for name in NAMES[category]:
            hidden = rnn.init_hidden()
            for x in line_to_tensor(name):
                output, hidden = rnn(x, hidden)
            confusion[number][category_from_output(output)[1]] += 1
print(confusion / confusion.sum(1, keepdim=True))
