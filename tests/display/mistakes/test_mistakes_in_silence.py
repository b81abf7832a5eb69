"""Mistakes that raise nothing: ``mlkit.lint`` names them, and not any more once its repair is applied."""

import pytest

import mlkit
from mlkit import nn, optim
from mlkit.core.errors import ArgumentError

DATA = "x, y = mlkit.randn(32, 4), mlkit.randint(0, 3, (32,))\nloader, loss, optimizer = [(x, y)], nn.CrossEntropyLoss(), None\n"
NET = "net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))\n"

# rule: (program, part of the repair, (old text, new text))
SILENT = {
    "softmax-twice": (
        DATA + "net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))\n", "Leave the model's last softmax out",
        (", nn.Softmax(dim=1)", ""),
    ),
    "sigmoid-twice": (
        DATA + "net = nn.Sequential(nn.Linear(4, 1), nn.Flatten(0), nn.Sigmoid())\nloader = [(x, (y > 0).float())]\n"
        "loss = nn.BCEWithLogitsLoss()\n", "sigmoid out", ("BCEWithLogitsLoss", "BCELoss"),
    ),
    "no-log-softmax": (DATA + NET + "loss = nn.NLLLoss()\n", "nn.CrossEntropyLoss", ("NLLLoss", "CrossEntropyLoss")),
    "one-output": (
        DATA + "net = nn.Linear(4, 1)\nloader = [(x, mlkit.zeros(32).long())]\n", "n outputs", ("Linear(4, 1)", "Linear(4, 2)"),
    ),
    "eval-mode": (DATA + NET + "net.eval()\n", "model.train()", ("net.eval()", "net.train()")),
    "all-frozen": (DATA + NET + "net.requires_grad_(False)\n", "requires_grad_(True)", ("(False)", "(True)")),
    "gradients-kept": (
        DATA + NET + "optimizer = optim.SGD(net.parameters(), lr=0.1)\nloss(net(x), y).backward()\noptimizer.step()\n",
        "optimizer.zero_grad()", ("optimizer.step()", "optimizer.step()\noptimizer.zero_grad()"),
    ),
    "unregistered-layers": (
        DATA + "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.head = nn.Linear(4, 3)\n"
        "        self.hidden = [nn.Linear(4, 4)]\n    def forward(self, x):\n        return self.head(self.hidden[0](x).relu())\n"
        "net = Net()\n", "self.hidden = nn.ModuleList(self.hidden)", ("[nn.Linear(4, 4)]", "nn.ModuleList([nn.Linear(4, 4)])"),
    ),
    "no-activation": (
        DATA + "net = nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 3))\n", "nn.ReLU()", ("8), nn.Linear", "8), nn.ReLU(), nn.Linear"),
    ),
    "unscaled-inputs": (
        DATA.replace("[(x, y)]", "None") + NET + "x = mlkit.rand(32, 4) * 255\nx[0, 0] = 255.0\nloader = [(x, y)]\n", "inputs / 255",
        ("loader = [(x, y)]", "loader = [(x / 255, y)]"),
    ),
    "bad-inputs": (
        DATA + NET + "x[3, 1] = float('nan')\n", "nan_to_num", ("x[3, 1] = float('nan')", "x.nan_to_num_(0.0)"),
    ),
    "one-class": (
        DATA + NET + "y, _ = mlkit.sort(mlkit.arange(300) % 3)\ndata = mlkit.data.TensorDataset(mlkit.randn(300, 4), y)\n"
        "loader = mlkit.data.DataLoader(data, batch_size=64, shuffle=False)\n", "shuffle=True", ("shuffle=False", "shuffle=True"),
    ),
    "other-model": (
        DATA + NET + "old = nn.Linear(4, 3)\noptimizer = optim.AdamW(old.parameters(), lr=1e-3)\n",
        "optim.AdamW(model.parameters(), lr=0.001)", ("old.parameters", "net.parameters"),
    ),
    "left-out": (
        DATA + NET + "optimizer = optim.SGD(net[0].parameters(), lr=0.1)\n", "model.parameters()", ("net[0].", "net."),
    ),
    "rate-zero": (DATA + NET + "optimizer = optim.SGD(net.parameters(), lr=0.0)\n", '["lr"] = 1e-3', ("lr=0.0", "lr=1e-3")),
    "rate-too-high": (
        DATA + NET + "optimizer = optim.AdamW(net.parameters(), lr=3.0)\n", '["lr"] = 0.001', ("lr=3.0", "lr=0.001"),
    ),
    "no-gradient": (
        DATA + "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = nn.Linear(4, 4)\n"
        "        self.b = nn.Linear(4, 3)\n    def forward(self, x):\n        return self.b(self.a(x).detach())\nnet = Net()\n",
        "Use them in forward", (".detach()", ""),
    ),
    "zero-gradient": (
        DATA + NET + "with mlkit.no_grad(): net[0].bias.fill_(-100.0)\n", "dead ReLUs", ("fill_(-100.0)", "fill_(0.0)"),
    ),
    "constant-output": (
        DATA + NET + "with mlkit.no_grad(): net[2].weight.fill_(0.0)\n", "weights of 0", ("fill_(0.0)", "add_(0.0)"),
    ),
    "mixed-samples": (
        DATA + "class Net(nn.Module):\n    def __init__(self):\n        super().__init__()\n        self.a = nn.Linear(4, 3)\n"
        "    def forward(self, x):\n        return self.a(x).softmax(0)\nnet = Net()\n", "softmax over axis 0",
        (".softmax(0)", ".tanh()"),
    ),
    "loss-not-finite": (
        DATA + NET + "loss = lambda output, target: F.relu(output).log().mean()\n", "detect_anomaly", ("F.relu(output)", "F.softplus(output)"),
    ),
    "loss-not-a-number": (
        DATA + NET + 'loss = nn.CrossEntropyLoss(reduction="none")\n', ".mean()", ('reduction="none"', 'reduction="mean"'),
    ),
    "no-graph": (
        DATA + NET + "loss = lambda output, target: F.cross_entropy(output.detach(), target)\n", "no_grad()", (".detach()", ""),
    ),
    "raises": (DATA + NET.replace("Linear(4, 8)", "Linear(5, 8)"), "Linear(4, 8)", ("Linear(5, 8)", "Linear(4, 8)")),
}  # fmt: skip


def look(space):
    return mlkit.lint(space["net"], space["loader"], space["loss"], space["optimizer"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("rule", SILENT)
def test_lint_names_it_and_its_repair_works(rule, program, parse):
    text, repair, (old, new) = SILENT[rule]
    found = look(program("mistake", text))
    of_rule = [finding for finding in found if finding.rule == rule]
    assert len(of_rule) == 1, str(found)
    assert repair in of_rule[0].repair and of_rule[0].sentence.endswith((".", "}"))
    page = parse(found._repr_html_())
    assert rule in page.text and rule in str(found)
    assert text.count(old) == 1
    assert rule not in [finding.rule for finding in look(program("repaired", text.replace(old, new)))]


def test_nothing_is_found_where_nothing_is_wrong(parse):
    mlkit.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Dropout(0.1), nn.Flatten(), nn.Linear(8 * 36, 10)
    )
    data = mlkit.data.TensorDataset(mlkit.rand(64, 1, 8, 8), mlkit.randint(0, 10, (64,)))
    loader = mlkit.data.DataLoader(data, batch_size=32, shuffle=True)
    found = mlkit.lint(net, loader, nn.CrossEntropyLoss(), optim.AdamW(net.parameters(), lr=1e-3))
    assert found == [] and "nothing found" in str(found) and "nothing found" in parse(found._repr_html_()).text


def test_lint_changes_nothing():
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    net[2].eval()
    x, y = mlkit.randn(16, 4), mlkit.randint(0, 3, (16,))
    nn.functional.cross_entropy(net(x), y).backward()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    gradients = [parameter.grad for parameter in net.parameters()]
    kept = [gradient.clone() for gradient in gradients]
    modes, state = [m.training for m in net.modules()], mlkit.get_rng_state().tolist()
    optimizer = optim.AdamW(net.parameters(), lr=1e-3)
    mlkit.lint(net, [(x, y)], nn.CrossEntropyLoss(), optimizer)
    assert all(mlkit.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is g and mlkit.equal(g, k) for p, g, k in zip(net.parameters(), gradients, kept, strict=True))
    assert [m.training for m in net.modules()] == modes and mlkit.get_rng_state().tolist() == state
    assert not optimizer.state


def test_what_cannot_be_looked_at_says_why():
    with pytest.raises(ArgumentError, match="must be an nn.Module"):
        mlkit.lint(lambda x: x)
    with pytest.raises(ArgumentError, match="only once"):
        mlkit.lint(nn.Linear(2, 2), iter([]))
    assert [f.rule for f in mlkit.lint(nn.Linear(2, 2), [])] == ["no-batch"]


def test_the_trainer_warns_by_the_same_rules():
    net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(dim=1))
    batch = (mlkit.randn(8, 4), mlkit.randint(0, 3, (8,)))
    trainer = mlkit.Trainer(
        net, loss=nn.CrossEntropyLoss(), optimizer=optim.SGD(net.parameters(), lr=0.1), progress=False
    )
    with pytest.warns(UserWarning, match="applied twice"):
        list(zip(range(1), trainer.steps([batch], epochs=1), strict=False))


def test_a_nan_card_shows_what_went_in(parse):
    from mlkit.display import error as cards

    p = nn.Parameter(mlkit.rand(6, 30))
    with mlkit.no_grad():
        p[2, 3] = 0.0
    with pytest.raises(mlkit.autograd.anomaly_mode.AnomalyError) as caught, mlkit.autograd.detect_anomaly():
        p.log()
    page = parse(cards.html(caught.value))
    assert "log returned the first Inf" in page.text and any("heat map" in image["alt"] for image in page.all("img"))


def test_a_hostile_model_stays_text(parse, hostile):
    class Harm(nn.Module):
        def forward(self, x):
            raise ValueError(hostile)

    found = mlkit.lint(Harm(), [(mlkit.randn(2, 2), mlkit.zeros(2))], nn.MSELoss())
    assert "<script>" in parse(found._repr_html_()).text
