# Fourier transforms: round trips, norms, shapes, gradients, filters by the convolution theorem, spectrograms.
import math

import torch
from torch import fft
from reproducible import attempt


torch.manual_seed(0)
x = torch.sin(torch.arange(24.0, dtype=torch.float64)).reshape(4, 6)
z = torch.complex(x, x.cos())
for norm in (None, "ortho", "forward", "backward"):
    for name in (
        "fft",
        "ifft",
        "rfft",
        "hfft",
        "ihfft",
        "irfft",
        "fft2",
        "ifft2",
        "rfft2",
        "irfft2",
        "fftn",
        "ifftn",
        "rfftn",
        "irfftn",
        "hfft2",
        "ihfft2",
        "hfftn",
        "ihfftn",
    ):
        arg = x if name in ("rfft", "ihfft", "rfft2", "rfftn", "ihfft2", "ihfftn") else z
        y = getattr(fft, name)(arg, norm=norm)
        print(
            norm,
            name,
            tuple(y.shape),
            y.dtype,
            round(y.abs().sum().item(), 6),
            torch.view_as_real(y + 0j).flatten()[:3].tolist(),
        )
attempt("n shorter", lambda: fft.fft(x, n=4))
attempt("n longer", lambda: fft.rfft(x, n=9).shape)
attempt("n odd back", lambda: fft.irfft(fft.rfft(x[:, :5]), n=5).sub(x[:, :5]).abs().max() < 1e-12)
attempt("dim", lambda: fft.fft(x, dim=0).sum(1))
attempt("s", lambda: fft.fft2(x, s=(3, -1)).shape)
attempt("s dim", lambda: fft.fftn(x, s=(8,), dim=(0,)).shape)
attempt("dims repeated", lambda: fft.fftn(x, dim=(0, 0)))
attempt("s wrong", lambda: fft.fftn(x, s=(2, 2, 2)))
attempt("s and dim", lambda: fft.fftn(x, s=(2, 2), dim=(0,)))
attempt("n zero", lambda: fft.fft(x, n=0))
attempt("rfft complex", lambda: fft.rfft(z))
attempt("empty", lambda: fft.fft(torch.zeros(0)))
attempt("0-d", lambda: fft.fft(torch.tensor(1.0)))
attempt("norm word", lambda: fft.fft(x, norm="best"))
attempt("int", lambda: fft.fft(torch.arange(4)))
attempt("bool", lambda: fft.fft(torch.tensor([True, False])).dtype)
attempt("half", lambda: fft.fft(torch.ones(4, dtype=torch.float16)).dtype)
attempt("bfloat16", lambda: fft.fft(torch.ones(4, dtype=torch.bfloat16)).dtype)
attempt("float32", lambda: fft.rfft(torch.ones(4)).dtype)
attempt("out", lambda: fft.fft(x, out=torch.empty(4, 6, dtype=torch.complex128)).shape)
attempt("freq", lambda: (fft.fftfreq(5, 0.1), fft.rfftfreq(6), fft.fftfreq(4, dtype=torch.float64).dtype))
attempt("shift", lambda: (fft.fftshift(torch.arange(5)), fft.ifftshift(torch.arange(5)), fft.fftshift(x, dim=0)[0, :2]))
attempt("shift dims", lambda: fft.fftshift(x, (0, 1))[0])
for name in ("fft", "rfft", "ifft", "irfft", "hfft", "ihfft", "fft2", "irfft2", "fftn", "rfftn"):
    real = name in ("rfft", "ihfft", "rfftn")
    u = (x if real else z).clone().requires_grad_()
    y = getattr(fft, name)(u)
    loss = (y.abs() ** 2 * torch.arange(y.numel()).reshape(y.shape)).sum()
    (g,) = torch.autograd.grad(loss, u, create_graph=True)
    (h,) = torch.autograd.grad((g.abs() ** 2).sum(), u)
    print(
        "gradient",
        name,
        g.dtype,
        torch.view_as_real(g + 0j).flatten()[:4].tolist(),
        torch.view_as_real(h + 0j).sum().item(),
    )
    print(torch.autograd.gradcheck(getattr(fft, name), u.detach().requires_grad_()))
s, k = torch.randn(16, dtype=torch.float64), torch.randn(5, dtype=torch.float64)
full = fft.irfft(fft.rfft(s, 20) * fft.rfft(k, 20), 20)
direct = torch.nn.functional.conv1d(s[None, None], k.flip(0)[None, None], padding=4)[0, 0]
print("convolution theorem", torch.allclose(full, direct))
time = torch.arange(64) / 64
wave = torch.sin(2 * math.pi * 5 * time) + 0.5 * torch.sin(2 * math.pi * 12 * time)
power = fft.rfft(wave).abs()
print("peaks", power.topk(2).indices.tolist(), power.topk(2).values)
low = fft.rfft(wave)
low[8:] = 0
print("low pass", torch.allclose(fft.irfft(low), torch.sin(2 * math.pi * 5 * time), atol=1e-5))
window = torch.hann_window(16)
S = torch.stft(wave, 16, 4, window=window, return_complex=True)
print(
    "stft",
    S.shape,
    S.abs().sum().item(),
    torch.allclose(torch.istft(S, 16, 4, window=window, length=64), wave, atol=1e-5),
)
attempt("stft no complex", lambda: torch.stft(wave, 16))
attempt(
    "stft center",
    lambda: (
        torch.stft(wave, 16, 4, window=window, center=False, normalized=True, onesided=False, return_complex=True).shape
    ),
)
attempt("stft window", lambda: torch.stft(wave, 16, 4, window=torch.ones(20), return_complex=True))
attempt("istft window", lambda: torch.istft(S, 16, 4, window=torch.zeros(16)))
for name in ("hann", "hamming", "blackman", "bartlett", "kaiser"):
    attempt(
        name, lambda: (getattr(torch, name + "_window")(6), getattr(torch, name + "_window")(5, periodic=False).sum())
    )
print("parseval", torch.allclose((wave**2).sum(), (fft.fft(wave, norm="ortho").abs() ** 2).sum()))
n = 8
F = torch.exp(-2j * math.pi * torch.outer(torch.arange(n), torch.arange(n)) / n)
print("matrix", torch.allclose(F @ torch.arange(n).to(F.dtype), fft.fft(torch.arange(n).float()), atol=1e-4))
torch.manual_seed(1)
w = torch.zeros(9, dtype=torch.cfloat, requires_grad=True)
target = fft.rfft(torch.randn(16, generator=torch.Generator().manual_seed(0)) * 0 + torch.arange(16.0))
opt = torch.optim.SGD([w], 0.25)
for i in range(5):
    opt.zero_grad()
    loss = (w - target).abs().pow(2).mean()
    loss.backward()
    opt.step()
    print(i, loss.item())
