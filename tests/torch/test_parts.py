"""The parts of PyTorch that only the torch name has."""

import io

import numpy as np
import pytest

import mlkit
import mlkit.torch as torch


def test_a_grid_of_images(tmp_path):
    from PIL import Image

    from mlkit.torch.parts.torchvision_utils import make_grid, save_image

    images = torch.arange(5 * 3 * 2 * 2).reshape(5, 3, 2, 2).float()
    grid = make_grid(images, nrow=3, padding=1, pad_value=-1)
    assert grid.shape == (3, 7, 10)
    np.testing.assert_array_equal(grid[:, 1:3, 4:6].numpy(), images[1].numpy())
    np.testing.assert_array_equal(grid[:, 4:6, 1:3].numpy(), images[3].numpy())
    assert (grid[:, 0] == -1).all() and (grid[:, 4:, 7:] == -1).all()
    assert make_grid(images, normalize=True, padding=0).max() == 1 and images.max() == 59
    assert make_grid(torch.zeros(4, 1, 2, 2)).shape[0] == 3
    save_image(images / 59, tmp_path / "a.png", nrow=5, padding=0)
    with Image.open(tmp_path / "a.png") as image:
        assert image.size == (10, 2)
    with pytest.raises(RuntimeError, match="N, C, H, W"):
        make_grid(torch.zeros(3))


def test_versions_compare():
    version = torch.__version__
    assert version >= "1.8" and version < "3" and version > (2, 0) and version.split(".")[0] == "2"
    assert not version < "2.9" and torch.version.hip is None


def test_a_summary_writer_writes_a_run(tmp_path):
    import mlkit.observe

    with torch.utils.tensorboard.SummaryWriter(tmp_path / "exp") as writer:
        for step in range(3):
            writer.add_scalar("loss/train", torch.tensor(1.0 / (step + 1)), step)
        writer.add_scalars("both", {"a": 1, "b": 2.0}, 0)
        writer.add_hparams({"lr": 0.1}, {"final": 0.5})
        with pytest.warns(UserWarning, match="not kept"):
            writer.add_embedding(torch.ones(2))
        place = writer.run_directory
    source = mlkit.observe.open_source(place)
    _, steps, _, values = source.read("loss/train")
    assert steps.tolist() == [0, 1, 2] and values.tolist() == pytest.approx([1, 0.5, 1 / 3])
    assert {"both/a", "both/b", "final"} <= set(source.names()) and source.status()["state"] == "finished"


def test_a_summary_writer_keeps_pictures_and_histograms(tmp_path):
    import json

    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    from PIL import Image

    import mlkit.observe

    plt.close("all")  # what other tests left open
    with torch.utils.tensorboard.SummaryWriter(tmp_path / "exp") as writer:
        place = writer.run_directory
        red = torch.zeros(3, 4, 6)
        red[0] = 1
        writer.add_image("samples/red", red, 7)
        writer.add_image("../../out", np.full((5, 5), 9, np.uint8), 1, dataformats="HW")
        writer.add_images("many", torch.rand(5, 1, 4, 4), 2)
        writer.add_figure("figure", plt.figure(figsize=(2, 1), dpi=50), 3)
        for step in range(2):
            writer.add_histogram("weights/first", torch.arange(10.0) + step, step)
        with pytest.raises(RuntimeError, match="dataformats='CHW', 'HWC' or 'HW'"):
            writer.add_image("wrong", torch.zeros(5, 6, 3))
        with pytest.raises(RuntimeError, match="not CHW"):
            writer.add_image("wrong", torch.zeros(4, 6))
        with pytest.raises(TypeError, match="no finite value"):
            writer.add_histogram("empty", torch.tensor([float("nan")]))
        with pytest.warns(UserWarning, match="compiler.trace"):
            writer.add_graph(None)
    assert not plt.get_fignums() and sorted(p.name for p in tmp_path.iterdir()) == [place.name]
    sizes = {}
    for path in (place / "images").rglob("*.png"):
        with Image.open(path) as image:
            sizes[path.relative_to(place / "images").as_posix()] = image.size
    assert sizes == {
        "samples/red/7.png": (6, 4),
        "-/-/out/1.png": (5, 5),
        "many/2.png": (12, 8),
        "figure/3.png": (100, 50),
    }
    with Image.open(place / "images/samples/red/7.png") as image:
        assert image.getpixel((0, 0)) == (255, 0, 0)
    lines = [json.loads(line) for line in (place / "histograms/weights/first.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1] and sum(lines[0]["counts"]) == 10 and lines[1]["edges"][0] == 1.0
    assert mlkit.observe.open_source(place).read("weights/first/mean")[3].tolist() == [4.5, 5.5]


def test_a_forked_stream_leaves_the_other_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    with torch.random.fork_rng():
        torch.rand(100)
    assert torch.equal(torch.rand(2), expected)


def test_scripts_and_switches_run_the_program_as_it_is():
    @torch.jit.script
    def double(x):
        return 2 * x

    model = torch.nn.Linear(2, 1)
    assert double(torch.ones(1)) == 2 and torch.jit.trace(model, torch.ones(1, 2)) is model
    with pytest.raises(RuntimeError, match="state_dict"):
        torch.jit.save(model, io.BytesIO())
    wrapped = torch.nn.DataParallel(model)
    assert list(wrapped.state_dict()) == ["module.weight", "module.bias"]
    assert torch.equal(wrapped(torch.ones(1, 2)), model(torch.ones(1, 2)))
    assert torch.compiler.disable(double) is double
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False):
        pass


def test_what_is_not_there_says_what_to_do():
    for call in (
        lambda: torch.distributed.init_process_group("gloo"),
        lambda: torch.nn.parallel.DistributedDataParallel(torch.nn.Linear(1, 1)),
        lambda: torch.hub.load("somebody/something", "model"),
    ):
        with pytest.raises(NotImplementedError):
            call()
    with pytest.raises(ValueError, match="init_process_group"):
        torch.distributed.get_rank()
    assert not torch.distributed.is_initialized() and not torch.backends.mps.is_available()


def test_a_state_dict_from_an_address(tmp_path):
    path = tmp_path / "there.pt"
    torch.save({"w": torch.arange(3)}, path)
    before = torch.hub.get_dir()
    torch.hub.set_dir(tmp_path / "hub")
    try:
        state = torch.hub.load_state_dict_from_url(path.as_uri(), progress=False)
        path.unlink()
        again = torch.hub.load_state_dict_from_url(path.as_uri(), progress=False)  # kept
    finally:
        torch.hub.set_dir(before)
    assert state["w"].tolist() == again["w"].tolist() == [0, 1, 2]


def test_events_measure_and_fake_data_repeats():
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    end.record()
    assert start.elapsed_time(end) >= 0
    from mlkit.torch.parts.torchvision_datasets import FakeData

    data = FakeData(4, (3, 8, 8), 5, transform=np.asarray)
    assert data[1][0].shape == (8, 8, 3) and np.array_equal(data[1][0], data[1][0]) and len(data) == 4
    with pytest.raises(IndexError):
        data[4]


def test_compile_is_mlkits_compiler():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU())
    x = torch.randn(5, 3)
    plain = torch.compile(model, backend="eager")
    compiled = torch.compile(model, mode="max-autotune", dynamic=True, options={"triton.cudagraphs": True})
    decorated = torch.compile(fullgraph=True)(torch.sin)
    for _ in range(2):
        assert torch.allclose(compiled(x), model(x)) and torch.equal(decorated(x), torch.sin(x))
    assert torch.equal(plain(x), model(x)) and type(compiled) is type(mlkit.compile(model)) is not type(model)
    assert torch.compile(model, disable=True) is model and torch.compile is torch.compiler.compile


def test_the_transforms_of_torchvision():
    import numpy as np

    from mlkit.torch.namespace import load

    transforms = load("torchvision").transforms
    pipeline = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,), (0.5,))])
    image = np.full((4, 4, 1), 255, np.uint8)
    assert pipeline(image).shape == (1, 4, 4) and float(pipeline(image).max()) == 1.0


def test_switches_and_windows_that_programs_ask_for():
    torch.backends.mha.set_fastpath_enabled(False)
    assert not torch.backends.mha.get_fastpath_enabled() and not torch.backends.opt_einsum.is_available()
    torch.backends.opt_einsum.enabled = False
    assert "NumPy" in torch.__config__.show() and "threads" in torch.__config__.parallel_info()
    assert torch.equal(torch.signal.windows.hann(5), torch.hann_window(5, periodic=False))
    with pytest.raises(AttributeError, match="(?s)CelebA.*ImageFolder"):
        __import__("mlkit.torch.namespace").torch.namespace.load("torchvision").datasets.CelebA


def test_a_wrong_name_is_guessed_once():
    import traceback

    with pytest.raises(AttributeError) as caught:
        torch.nn.functional.rellu
    assert "".join(traceback.format_exception_only(caught.value)).count("Did you mean") == 1


def test_paths_that_programs_name_are_here_with_mlkit_as_the_import() -> None:
    from mlkit.nn.parallel import DataParallel
    from mlkit.utils.tensorboard import SummaryWriter

    assert mlkit.nn.DataParallel is DataParallel and mlkit.utils.tensorboard.SummaryWriter is SummaryWriter
    assert mlkit.accelerator.is_available() == mlkit.cuda.is_available()
    with pytest.raises(AttributeError, match=r"import mlkit\.torch as torch, then torch\.jit"):
        _ = mlkit.jit
    with pytest.raises(AttributeError, match="mlkit.compiler.trace records"):
        _ = mlkit.profiler
