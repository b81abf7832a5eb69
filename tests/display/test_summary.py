"""mlkit.summary: shapes, parameters, multiply-adds and memory; the model is left as it was."""

import pytest

import mlkit
from mlkit import nn
from mlkit.display import summary as display


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 14 * 14, 10)
    )  # fmt: skip


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Linear(width, 2 * width)
        self.act = nn.GELU()
        self.second = nn.Linear(2 * width, width)

    def forward(self, x):
        return x + self.second(self.act(self.first(x)))


class Deep(nn.Module):
    def __init__(self, width=16, depth=12):
        super().__init__()
        self.blocks = nn.ModuleList([Block(width) for _ in range(depth)])
        self.head = nn.Linear(width, 4)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def test_shapes_parameters_and_multiply_adds():
    result = mlkit.summary(convolutional(), mlkit.zeros(64, 1, 28, 28))
    by_path = {row.path: row for row in result.rows}
    assert by_path["0"].output == "[64, 8, 28, 28]" and by_path["3"].output == "[64, 8, 14, 14]"
    assert by_path["4"].output == "[64, 1568]" and by_path[""].output == "[64, 10]"
    convolution, linear = 64 * 8 * 28 * 28 * 9, 64 * 1568 * 10
    assert by_path["0"].macs == convolution and by_path["5"].macs == linear and result.macs == convolution + linear
    assert result.parameters == sum(p.numel() for p in convolutional().parameters())
    assert result.parameter_bytes == 4 * result.parameters
    assert result.input_bytes == 4 * 64 * 28 * 28
    text = str(result)
    assert "Conv2d" in text and f"{result.parameters:,}" in text and "[64, 8, 14, 14]" in text


def test_the_model_is_left_as_it_was():
    model = convolutional()
    calls = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    before = {name: value.detach().numpy().copy() for name, value in model.state_dict().items()}
    state = mlkit.get_rng_state().numpy().copy()
    mlkit.summary(model, input_size=(2, 1, 28, 28))
    mlkit.summary(model, mlkit.randn(2, 1, 28, 28), device=None)
    assert model.training and not calls
    for name, value in model.state_dict().items():
        assert (value.detach().numpy() == before[name]).all(), name
    mlkit.set_rng_state(mlkit.tensor(state))
    assert all(p.grad is None for p in model.parameters())


def test_a_giant_model_costs_no_memory():
    model = nn.Linear(100_000, 100_000, device="meta")
    result = mlkit.summary(model, input_size=(4, 100_000))
    assert result.parameters == 100_000 * 100_001 and result.root.output == "[4, 100000]"


def test_a_failing_forward_shows_everything_up_to_the_layer(parse):
    model = nn.Sequential(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), nn.Flatten(), nn.Linear(99, 10), nn.ReLU())
    result = mlkit.summary(model, mlkit.zeros(2, 1, 8, 8))
    by_path = {row.path: row for row in result.rows}
    assert result.failed_at == "2" and by_path["2"].state == "failed" and by_path["2"].inputs == "[2, 144]"
    assert (
        by_path["0.1"].output == "[2, 4, 6, 6]"
        and by_path["3"].state == "not reached"
        and by_path[""].state == "inside"
    )
    assert "Forward failed in 2 (Linear) on input [2, 144]" in str(result)
    page = parse(display.html(result))
    assert "FAILED on [2, 144]" in page.text and "not reached" in page.text
    assert type(result.error).__name__ in page.text


def test_repeated_blocks_are_folded_and_counted_whole(parse):
    result = mlkit.summary(Deep(), mlkit.zeros(2, 16))
    text = str(result)
    assert "0-11: Block  x12" in text and text.count("first: Linear") == 1
    page = parse(display.html(result))
    assert "x12" in page.text and len(page.html) < 20_000
    assert len([row for row in result.rows if row.type == "Block"]) == 12
    row = display.folded(result.root.children[0].children)[0]
    assert row.repeats == 12 and row.parameters * 12 == result.root.children[0].parameters


def test_frozen_shared_and_reused_parts_are_marked(parse):
    shared = nn.Linear(8, 8)
    model = nn.Sequential(shared, nn.ReLU(), shared, nn.Linear(8, 8), nn.Linear(8, 2))
    model[3].weight = shared.weight
    model[4].requires_grad_(False)
    result = mlkit.summary(model, mlkit.zeros(1, 8))
    text = str(result)
    assert "shared with 0" in text and "2 calls" in text and "shared parameters" in text and "frozen" in text
    assert result.parameters == 8 * 8 + 8 + 8 + 18  # the tied weight counts once
    assert result.trainable_parameters == result.parameters - 18
    page = parse(display.html(result))
    assert "shared with 0" in page.text and "partly frozen" in page.text


def test_without_an_input_there_is_the_tree_alone(parse):
    result = mlkit.summary(convolutional())
    assert result.inputs is None and "output" not in str(result).splitlines()[0]
    assert "output" not in parse(display.html(result)).text


def test_wrong_arguments_are_named():
    with pytest.raises(TypeError, match=r"expected a mlkit\.nn\.Module, got list"):
        mlkit.summary([1])
    with pytest.raises(TypeError, match="not both"):
        mlkit.summary(nn.ReLU(), mlkit.zeros(1), input_size=(1,))


def test_several_inputs_and_outputs(parse):
    class Two(nn.Module):
        def forward(self, a, b):
            return {"sum": a + b, "labels": (a > b)}

    result = mlkit.summary(Two(), mlkit.zeros(2, 3), mlkit.zeros(2, 3))
    assert result.inputs == "[2, 3], [2, 3]" and result.root.output == "[2, 3], bool [2, 3]"


def test_hostile_names_stay_text(parse, hostile):
    class Odd(nn.Module):
        def extra_repr(self):
            return hostile

        def forward(self, x):
            raise ValueError(hostile)

    model = nn.Sequential(Odd())
    parse(display.html(mlkit.summary(model, mlkit.zeros(1))))
    parse(display.html(mlkit.summary(model)))


def test_a_model_displays_itself(parse):
    page = parse(convolutional()._repr_html_())
    assert "Conv2d" in page.text and "15.8 k parameters" in page.text
    bundle = convolutional()._repr_mimebundle_()
    assert set(bundle) >= {"text/plain", "text/html"}


class Bottleneck(nn.Module):
    def __init__(self, inputs, width, stride):
        super().__init__()

        def layer(a, b, size, stride=1):
            return nn.Sequential(nn.Conv2d(a, b, size, stride, size // 2, bias=False), nn.BatchNorm2d(b))

        self.body = nn.Sequential(
            layer(inputs, width, 1), nn.ReLU(), layer(width, width, 3, stride), nn.ReLU(), layer(width, 4 * width, 1)
        )
        self.way = layer(inputs, 4 * width, 1, stride) if inputs != 4 * width else nn.Identity()

    def forward(self, x):
        return (self.body(x) + self.way(x)).relu()


def resnet50():
    parts, inputs = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)], 64
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            parts.append(Bottleneck(inputs, width, 2 if stage and not block else 1))
            inputs = 4 * width
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, 1000))


def alexnet():
    return nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(),
        nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(), nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(), nn.Dropout(),
        nn.Linear(9216, 4096), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000),
    )  # fmt: skip


def vit_b_16():
    block = nn.TransformerEncoderLayer(768, 12, 3072, activation="gelu", batch_first=True, norm_first=True)

    class ViT(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches, self.blocks = nn.Conv2d(3, 768, 16, 16), nn.TransformerEncoder(block, 12, nn.LayerNorm(768))
            self.token, self.places = nn.Parameter(mlkit.zeros(1, 1, 768)), nn.Parameter(mlkit.zeros(1, 197, 768))
            self.head = nn.Linear(768, 1000)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = mlkit.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
            return self.head(self.blocks(x)[:, 0])

    return ViT()


# What torchvision publishes of each: parameters, and billions of multiply-adds for one image of 224 x 224.
@pytest.mark.parametrize(
    ("make", "parameters", "billions"),
    [(resnet50, 25_557_032, 4.09), (alexnet, 61_100_840, 0.71), (vit_b_16, 86_567_656, 17.56)],
)
def test_known_networks_have_their_known_figures(make, parameters, billions):
    result = mlkit.summary(make(), input_size=(1, 3, 224, 224))
    assert result.error is None and result.parameters == parameters
    assert abs(result.macs / 1e9 - billions) < 0.006 * max(billions, 1)


def test_attention_and_recurrent_layers_are_counted():
    layer = nn.MultiheadAttention(64, 4, batch_first=True)
    x = mlkit.zeros(2, 10, 64)
    result = mlkit.summary(layer, x, x, x)
    assert result.macs == 4 * 2 * 10 * 64 * 64 + 2 * (2 * 4 * 10 * 16 * 10)
    assert "not reached" not in str(result)
    assert mlkit.summary(nn.LSTM(8, 16), mlkit.zeros(5, 3, 8)).macs == 5 * 3 * 4 * 16 * (8 + 16)
    assert mlkit.summary(nn.ConvTranspose2d(4, 8, 3), mlkit.zeros(1, 4, 9, 9)).macs == 4 * 81 * 8 * 9


def test_another_threads_operations_are_not_counted():
    import threading

    done, net = threading.Event(), nn.Linear(8, 8)

    def work():
        while not done.is_set():
            mlkit.ones(4, 4) @ mlkit.ones(4, 4)

    worker = threading.Thread(target=work)
    worker.start()
    try:
        found = {mlkit.summary(net, mlkit.zeros(2, 8)).macs for _ in range(20)}
    finally:
        done.set()
        worker.join()
    assert found == {2 * 8 * 8}


def test_a_narrow_terminal_cuts_settings_and_keeps_marks(monkeypatch):
    net = nn.Sequential(nn.Linear(1000, 1000), nn.ReLU(), nn.Linear(1000, 1000))
    net[2].weight = net[0].weight
    monkeypatch.setenv("COLUMNS", "84")
    lines = str(mlkit.summary(net, input_size=(1, 1000))).splitlines()
    assert max(map(len, lines)) <= 84
    assert sum("…" in line and "(shared parameters)" in line for line in lines) == 2
    monkeypatch.setenv("COLUMNS", "200")
    assert "in_features=1000, out_features=1000, bias=True" in str(mlkit.summary(net))
