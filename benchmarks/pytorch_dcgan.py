"""The same networks and step in PyTorch, written as its official example writes them: a peer of `contenders`.

https://github.com/pytorch/examples/blob/main/dcgan/main.py; needs `pip install -r requirements-benchmarks.txt`, in an
environment of its own if you like: nothing of TensorFlow is imported here.
"""

import contextlib
import itertools
import json
import sys
import time
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from benchmarks.contenders import resident_memory, serve


def networks(width: int, image_size: int, channels: int, latent_dim: int = 100) -> tuple[nn.Module, nn.Module]:
    """The generator and the discriminator, initialised as the example does."""
    halvings = image_size.bit_length() - 3
    sizes = [width * 2**i for i in range(halvings)]
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip([latent_dim, *sizes[:0:-1]], sizes[::-1], strict=True)):
        layers += [nn.ConvTranspose2d(before, after, 4, 2 if i else 1, 1 if i else 0, bias=False)]
        layers += [nn.BatchNorm2d(after), nn.ReLU(True)]
    generator = nn.Sequential(*layers, nn.ConvTranspose2d(width, channels, 4, 2, 1, bias=False), nn.Tanh())
    layers = [nn.Conv2d(channels, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
    for before, after in itertools.pairwise(sizes):
        layers += [
            nn.Conv2d(before, after, 4, 2, 1, bias=False),
            nn.BatchNorm2d(after),
            nn.LeakyReLU(0.2, inplace=True),
        ]
    discriminator = nn.Sequential(*layers, nn.Conv2d(sizes[-1], 1, 4, 1, 0, bias=False), nn.Flatten(0))
    for module in [*generator.modules(), *discriminator.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
            nn.init.zeros_(module.bias)
    return generator, discriminator


def batches(path: str, batch_size: int, image_size: int) -> Iterator[torch.Tensor]:
    """Batches float32 [B, C, S, S] in [-1, 1] of the images uint8 [N, H, W, C] in a .npy file, shuffled, for ever.

    The last images of an epoch that do not fill a batch are left out: the compiled modes want one shape.
    """
    stored = torch.from_numpy(np.load(path)).permute(0, 3, 1, 2)
    while True:
        for indices in torch.randperm(len(stored)).split(batch_size)[: len(stored) // batch_size]:
            x = stored[indices].float()  # half-pixel centres, as everybody else resizes
            x = nn.functional.interpolate(x, (image_size, image_size), mode="bilinear", align_corners=False)
            yield x / 127.5 - 1


def main() -> None:
    """Builds the mode that the JSON of the only argument describes, warms it up, and serves."""
    settings = json.loads(sys.argv[1])
    mode, batch_size = settings["mode"], settings["batch_size"]
    on_gpu = torch.cuda.is_available()
    device = torch.device("cuda" if on_gpu else "cpu")
    torch.manual_seed(0)
    if on_gpu:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        torch.backends.cudnn.benchmark = True
    generator, discriminator = networks(settings["width"], settings["image_size"], settings["channels"])
    layout = torch.contiguous_format if mode == "eager" else torch.channels_last
    generator, discriminator = (network.to(device, memory_format=layout) for network in (generator, discriminator))
    graphed = "cuda_graph" in mode
    g_optimizer, d_optimizer = (
        torch.optim.Adam(
            network.parameters(), 2e-4, (0.5, 0.999), capturable=graphed, foreach=None if graphed else True
        )
        for network in (generator, discriminator)
    )
    half = "bfloat16" in mode
    cast = torch.autocast(device.type, torch.bfloat16) if half else contextlib.nullcontext()
    loss = nn.BCEWithLogitsLoss()
    real_label, fake_label = torch.ones(batch_size, device=device), torch.zeros(batch_size, device=device)
    size, channels = settings["image_size"], settings["channels"]
    images = torch.rand(batch_size, channels, size, size, device=device).mul(2).sub(1).to(memory_format=layout)
    d_call, g_call = discriminator, generator
    if "compile" in mode:
        d_call, g_call = torch.compile(discriminator), torch.compile(generator)

    def step() -> torch.Tensor:
        d_optimizer.zero_grad()
        with cast:
            d_real = loss(d_call(images).float(), real_label)
        d_real.backward()
        latents = torch.randn(batch_size, 100, 1, 1, device=device)
        with cast:
            fakes = g_call(latents)
            d_fake = loss(d_call(fakes.detach()).float(), fake_label)
        d_fake.backward()
        d_optimizer.step()
        g_optimizer.zero_grad()
        with cast:
            g_loss = loss(d_call(fakes).float(), real_label)
        g_loss.backward()
        g_optimizer.step()
        return g_loss

    once = step
    if graphed:
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        once = graph.replay

    feed = None if settings["data"] == "repeat" else batches(settings["data"], batch_size, size)

    def run(steps: int) -> None:
        for _ in range(steps):
            if feed:
                images.copy_(next(feed))  # a graph reads from where it was captured
            once()
        if on_gpu:
            torch.cuda.synchronize()

    @torch.no_grad()
    def draw(count: int) -> np.ndarray:
        latents = np.random.default_rng(0).standard_normal((count, 100, 1, 1), np.float32)
        # With the statistics of each batch, as the example draws: it never calls `eval`.
        parts = [generator(part.to(device)) for part in torch.from_numpy(latents).split(batch_size)]
        drawn = (torch.cat(parts).cpu().permute(0, 2, 3, 1) + 1) * 127.5
        return drawn.nan_to_num().round().clamp(0, 255).to(torch.uint8).numpy()

    def peak() -> float:
        n, products = (8192, 20) if on_gpu else (2048, 1)
        a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16 if half else torch.float32) for _ in range(2))
        seconds = []
        for _ in range(7):
            started = time.perf_counter()
            for _ in range(products):
                a @ b
            if on_gpu:
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - started)
        return products * 2 * n**3 / min(seconds)

    started = time.perf_counter()
    run(2)
    about = {"precision": "bfloat16 autocast" if half else "float32", "first_steps": time.perf_counter() - started}
    memory = torch.cuda.max_memory_allocated if on_gpu else resident_memory
    serve(run, peak, draw, about | {"version": torch.__version__}, memory)


if __name__ == "__main__":
    main()
