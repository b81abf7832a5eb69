# Predict sine waves with two LSTM cells, fitted by LBFGS with a closure.
import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim

from reproducible import fill

T, L, N = 20, 40, 6
x = np.array(range(L)) + np.random.RandomState(2).randint(-4 * T, 4 * T, N).reshape(N, 1)
data = torch.from_numpy(np.sin(x / 1.0 / T).astype("float64"))


class Sequence(nn.Module):
    def __init__(self):
        super(Sequence, self).__init__()
        self.lstm1 = nn.LSTMCell(1, 12)
        self.lstm2 = nn.LSTMCell(12, 12)
        self.linear = nn.Linear(12, 1)

    def forward(self, input, future=0):
        outputs = []
        h_t = torch.zeros(input.size(0), 12, dtype=torch.double)
        c_t = torch.zeros(input.size(0), 12, dtype=torch.double)
        h_t2 = torch.zeros(input.size(0), 12, dtype=torch.double)
        c_t2 = torch.zeros(input.size(0), 12, dtype=torch.double)
        for input_t in input.split(1, dim=1):
            h_t, c_t = self.lstm1(input_t, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        for i in range(future):
            h_t, c_t = self.lstm1(output, (h_t, c_t))
            h_t2, c_t2 = self.lstm2(h_t, (h_t2, c_t2))
            output = self.linear(h_t2)
            outputs += [output]
        return torch.cat(outputs, dim=1)


seq = fill(Sequence())
seq.double()
criterion = nn.MSELoss()
optimizer = optim.LBFGS(seq.parameters(), lr=0.5, max_iter=5)
for i in range(3):

    def closure():
        optimizer.zero_grad()
        out = seq(data[3:, :-1])
        loss = criterion(out, data[3:, 1:])
        loss.backward()
        return loss

    print("STEP:", i, "loss:", f"{optimizer.step(closure).item():.6f}")
    with torch.no_grad():
        pred = seq(data[:3, :-1], future=10)
        print("test loss:", f"{criterion(pred[:, :-10], data[:3, 1:]).item():.6f}", pred.detach().numpy().shape)
wolfe = optim.LBFGS(seq.parameters(), max_iter=4, line_search_fn="strong_wolfe")
print(f"{wolfe.step(closure).item():.6f}", f"{closure().item():.6f}")
