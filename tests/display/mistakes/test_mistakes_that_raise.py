"""Mistakes that learners make, and what their cards say: the sentence, the user's own line, a repair that works."""

import pytest

# name: (program, part of the sentence, part of the hint, (old text, new text) of the repair)
MISTAKES = {
    "image_not_flattened": (
        "y = nn.Linear(784, 10)(mlkit.randn(32, 1, 28, 28))  # here\n",
        "must agree: 28 != 784", "input.flatten(1)", ("28, 28))", "28, 28).flatten(1))"),
    ),
    "batch_flattened_too": (
        "x = mlkit.randn(32, 1, 28, 28).flatten()\ny = nn.Linear(784, 10)(x)  # here\n",
        "must agree: 25088 != 784", "flatten(1) keeps them apart", (".flatten()", ".flatten(1)"),
    ),
    "layer_sizes": (
        "net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(32, 2))\nnet(mlkit.randn(4, 8))  # here\n",
        "must agree: 16 != 32", "Linear(16, 2)", ("nn.Linear(32, 2)", "nn.Linear(16, 2)"),
    ),
    "batch_axis_missing": (
        "net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))\nx = mlkit.randn(3, 8, 8)\nnet(x)  # here\n",
        "expected 4D input (got 3D input)", "input.unsqueeze(0)", ("net(x)", "net(x.unsqueeze(0))"),
    ),
    "channels_last": (
        "x = mlkit.randn(4, 32, 32, 3)\nnn.Conv2d(3, 8, 3)(x)  # here\n",
        "expects 3 input channels, input has 32", "input.permute(0, 3, 1, 2)", ("3)(x)", "3)(x.permute(0, 3, 1, 2))"),
    ),
    "grey_image": (
        "x = mlkit.randn(4, 1, 32, 32)\nnn.Conv2d(3, 8, 3)(x)  # here\n",
        "expects 3 input channels, input has 1", "input.expand(-1, 3, -1, -1)", ("3)(x)", "3)(x.expand(-1, 3, -1, -1))"),
    ),
    "labels_float": (
        "target = mlkit.tensor([0.0, 1.0, 2.0, 0.0])\nnn.CrossEntropyLoss()(mlkit.randn(4, 3), target)  # here\n",
        "class probabilities must have the shape", "target.long()", ("3), target)", "3), target.long())"),
    ),
    "labels_one_hot": (
        "target = F.one_hot(mlkit.tensor([0, 1, 2, 0]), 3)\nF.cross_entropy(mlkit.randn(4, 3), target)  # here\n",
        "expected one label per row", "target.argmax(1)", ("3), target)", "3), target.argmax(1))"),
    ),
    "labels_from_one": (
        "target = mlkit.tensor([1, 2, 3, 1])\nF.cross_entropy(mlkit.randn(4, 3), target)  # here\n",
        "Target 3 is out of bounds", "subtract 1", ("3), target)", "3), target - 1)"),
    ),
    "binary_shapes": (
        "target = mlkit.tensor([0.0, 1.0, 1.0, 0.0])\nF.binary_cross_entropy_with_logits(mlkit.randn(4, 1), target)  # here\n",
        "must be the same as input size", "input.squeeze(1)", ("randn(4, 1)", "randn(4, 1).squeeze(1)"),
    ),
    "scores_into_bce": (
        "scores = mlkit.tensor([3.0, -2.0])\nnn.BCELoss()(scores, mlkit.tensor([1.0, 0.0]))  # here\n",
        "should be between 0 and 1", "Apply a sigmoid first", ("(scores, ", "(scores.sigmoid(), "),
    ),
    "in_place_on_a_leaf": (
        "w = nn.Parameter(mlkit.ones(3))\nw -= 0.1  # here\n",
        "a leaf Variable that requires grad", "with mlkit.no_grad():", ("w -= 0.1", "with mlkit.no_grad(): w -= 0.1"),
    ),
    "backward_twice": (
        "w = nn.Parameter(mlkit.ones(3))\nloss = (w * w).sum()\nloss.backward()\nloss.backward()  # here\n",
        "a second time", "backward(retain_graph=True)",
        ("loss.backward()\nloss", "loss.backward(retain_graph=True)\nloss"),
    ),
    "changed_before_backward": (
        "w = nn.Parameter(mlkit.ones(3))\ny = w.exp()\ny += 1\ny.sum().backward()  # here\n",
        "modified by an inplace operation", "x = x + 1 instead of x += 1", ("y += 1", "y = y + 1"),
    ),
    "backward_of_many": (
        "w = nn.Parameter(mlkit.ones(3))\nloss = w * 2\nloss.backward()  # here\n",
        "only for scalar outputs", "loss.mean().backward()", ("loss.backward()", "loss.mean().backward()"),
    ),
    "frozen_model": (
        "net = nn.Linear(2, 2).requires_grad_(False)\nnet(mlkit.ones(3, 2)).sum().backward()  # here\n",
        "does not require grad", "check requires_grad", ("requires_grad_(False)", "requires_grad_(True)"),
    ),
    "loss_from_item": (
        "w = nn.Parameter(mlkit.ones(3))\nloss = (w * 2).sum().detach()\nloss.backward()  # here\n",
        "does not require grad", "detach() calls", (".detach()", ""),
    ),
    "numpy_of_a_parameter": (
        "w = nn.Parameter(mlkit.ones(3))\nw.numpy()  # here\n",
        "Can't call numpy()", "detach().numpy()", ("w.numpy()", "w.detach().numpy()"),
    ),
    "item_of_many": (
        "losses = mlkit.ones(3)\nlosses.item()  # here\n",
        "cannot be converted to Scalar", ".mean()", ("losses.item()", "losses.mean().item()"),
    ),
    "nan_from_log_of_zero": (
        "p = nn.Parameter(mlkit.tensor([0.0, 1.0]))\nwith mlkit.autograd.detect_anomaly():\n"
        "    loss = p.log().sum()  # here\n    loss.backward()\n",
        "log returned the first Inf", "check_inf=False", ("p.log()", "p.clamp(min=1e-6).log()"),
    ),
    "double_from_numpy": (
        "import numpy as np\nx = mlkit.from_numpy(np.zeros((3, 4)))\nnn.Linear(4, 2)(x)  # here\n",
        "the same dtype", "input.float()", ("2)(x)", "2)(x.float())"),
    ),
    "float_indices": (
        "words = mlkit.zeros(4)\nnn.Embedding(10, 3)(words)  # here\n",
        "expected indices of dtype", "input.long()", ("(words)", "(words.long())"),
    ),
    "word_outside_the_table": (
        "words = mlkit.tensor([3, 10])\ntable = nn.Embedding(10, 3)\ntable(words)  # here\n",
        "index 10 is out of bounds", "nn.Embedding(11, ...)", ("nn.Embedding(10, 3)", "nn.Embedding(11, 3)"),
    ),
    "checkpoint_of_other_sizes": (
        "saved = nn.Linear(5, 2).state_dict()\nnet = nn.Linear(4, 2)\nnet.load_state_dict(saved)  # here\n",
        "nothing was changed", "build it with the same arguments", ("net = nn.Linear(4, 2)", "net = nn.Linear(5, 2)"),
    ),
    "checkpoint_with_a_prefix": (
        'state = {"module.weight": mlkit.zeros(2, 4), "module.bias": mlkit.zeros(2)}\n'
        "nn.Linear(4, 2).load_state_dict(state)  # here\n",
        "nothing was changed", 'key.removeprefix("module.")',
        ("load_state_dict(state)", 'load_state_dict({key.removeprefix("module."): v for key, v in state.items()})'),
    ),
    "parameters_used_up": (
        "net = nn.Linear(2, 2)\nparameters = net.parameters()\nprint(len(list(parameters)))\n"
        "optim.SGD(parameters, lr=0.1)  # here\n",
        "empty parameter list", "Pass model.parameters()", ("SGD(parameters,", "SGD(net.parameters(),"),
    ),
    "list_into_sequential": (
        "layers = [nn.Linear(2, 2), nn.ReLU()]\nnn.Sequential(layers)  # here\n",
        "not a Module", "nn.Sequential(*layers)", ("Sequential(layers)", "Sequential(*layers)"),
    ),
    "rnn_gives_a_pair": (
        "rnn, head = nn.LSTM(3, 4), nn.Linear(4, 2)\nstates = rnn(mlkit.zeros(5, 1, 3))\nhead(states)  # here\n",
        "not tuple", "output, _ = rnn(x)", ("states = rnn", "states, _ = rnn"),
    ),
    "forward_without_return": (
        "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.fc = nn.Linear(2, 2)\n"
        "    def forward(self, x):\n        self.fc(x)\n"
        "F.cross_entropy(Net()(mlkit.zeros(3, 2)), mlkit.tensor([0, 1, 0]))  # here\n",
        "not NoneType", "does forward end in `return`?", ("        self.fc(x)", "        return self.fc(x)"),
    ),
    "predictions_against_targets": (
        "output, target = nn.Linear(4, 1)(mlkit.randn(8, 4)), mlkit.randn(8)\nnn.MSELoss()(output, target)  # here\n",
        "compare every prediction with every target", "input.squeeze(-1)", ("(output, target)  #", "(output.squeeze(-1), target)  #"),
    ),
    "joined_along_the_wrong_axis": (
        "a, b = mlkit.zeros(2, 3), mlkit.zeros(2, 4)\nmlkit.cat([a, b])  # here\n",
        "sizes of tensors must match", "dim=1", ("[a, b])", "[a, b], dim=1)"),
    ),
    "broadcast_of_rows": (
        "x, mean = mlkit.zeros(4, 3), mlkit.zeros(4)\nx - mean  # here\n",
        "do not broadcast", "other.unsqueeze(1)", ("x - mean", "x - mean.unsqueeze(1)"),
    ),
    "batch_norm_of_one_sample": (
        "net = nn.BatchNorm1d(3)\nnet(mlkit.zeros(1, 3))  # here\n",
        "Expected more than 1 value per channel", "model.eval()", ("nn.BatchNorm1d(3)", "nn.BatchNorm1d(3).eval()"),
    ),
    "pooled_away": (
        "net = nn.MaxPool2d(4)\nnet(mlkit.zeros(1, 1, 2, 2))  # here\n",
        "the window does not fit", "smaller kernel_size", ("nn.MaxPool2d(4)", "nn.MaxPool2d(2)"),
    ),
    "view_of_a_transpose": (
        "x = mlkit.zeros(2, 3).t()\nx.view(6)  # here\n",
        "view size is not compatible", ".reshape(...)", ("x.view(6)", "x.reshape(6)"),
    ),
    "samples_of_different_lengths": (
        "from mlkit.data import DataLoader\nsamples = [(mlkit.zeros(3), 0), (mlkit.zeros(4), 1)]\n"
        "next(iter(DataLoader(samples, batch_size=2)))  # here\n",
        "all samples of a batch must have the same shape", "batch_size=1", ("batch_size=2", "batch_size=1"),
    ),
    "truth_of_a_tensor": (
        "x = mlkit.ones(3)\nif x > 0:  # here\n    pass\n",
        "is ambiguous", ".any() or .all()", ("x > 0", "(x > 0).all()"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_the_card_names_the_line_and_its_repair_works(name, mistake):
    mistake(name, *MISTAKES[name])


def test_a_worker_that_crashes_names_what_it_was_loading(tmp_path):
    from mlkit.data import DataLoader, Dataset
    from mlkit.display import error as cards

    class Broken(Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            if index == 5:
                raise KeyError("no such file: 5.png")
            return index

    with pytest.raises(KeyError) as caught:
        list(DataLoader(Broken(), batch_size=2, num_workers=1))
    words = cards.text(caught.value)
    assert "5.png" in words and "worker" in words.lower() and "__getitem__" in words
