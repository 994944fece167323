"""Faces that went through the U-Net: real small faces, noised a little and denoised, for SRResNet to learn from.

    python -m training.srresnet.round_trip --data data --weights weights --out runs/srresnet/round_trip.safetensors

They look as the app's own faces do, and the true large face is known. Made once, since the U-Net is too slow to run in
a training. Held-out people are in the file too, to be measured on; training leaves them out.
"""

import argparse
import json
from functools import partial
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from model.device import run_in_parts
from model.diffusion import add_noise
from model.errors import FacetError, exit_in_one_line
from model.files import checkpoint
from model.guidance import Predictor, guided
from model.images import to_pixels, to_tensor
from model.pipeline import SIZE, FacePipeline
from model.sampler import SAMPLERS, last_step, noise_of, time_grid
from model.settings import DEFAULTS
from model.unet import condition_of
from training.core.state import check_writable
from training.srresnet.data import image_files, read_image, shrink

# folder -> px of the true face per px of input, as in training/srresnet/data.py
PLACES = {
    "faces_hq": 8,
    "faces_256": 4,
}
# to noise to: beyond, features move, and the true face is another
TIMES = (0.06, 0.12, 0.18, 0.24)


@torch.inference_mode()
def round_trip(pipe: FacePipeline, faces: Tensor, time: float, seeds: list[int]) -> Tensor:
    """Noise faces to a time and denoise them with the app's sampler: (N, 3, 64, 64) uint8 -> the same.

    Each under its own CLIP image embedding, unguided: guidance would change what the face is.
    """
    pixels = faces.permute(0, 2, 3, 1)
    condition = condition_of(pipe.clip.encode_images(pixels.numpy()), of_images=True).to(pipe.device)
    config = pipe.unet.config
    predictor = Predictor(partial(run_in_parts, pipe.unet), config.target, config.steps)
    denoise = guided(predictor, condition, condition)
    fresh_noise = noise_of(seeds, faces.shape[1:], pipe.device)
    times = time_grid(DEFAULTS.steps, DEFAULTS.sampler, time)
    x = add_noise(to_tensor(pixels).to(pipe.device), fresh_noise(), times[:1].expand(len(faces)))
    last = last_step(SAMPLERS[DEFAULTS.sampler](denoise, x, times, fresh_noise))
    return torch.from_numpy(to_pixels(last.denoised)).permute(0, 3, 1, 2).contiguous()


def prepare(data: Path, pipe: FacePipeline, out: Path, times: tuple[float, ...] = TIMES, batch: int = 32) -> int:
    """Send every face of PLACES through the U-Net, once for each of `times`; returns how many faces are written.

    Raises FacetError without faces, InputError if `out` cannot be written.
    """
    check_writable(out.parent, out)
    files = [path for folder in PLACES for path in image_files(data / folder)]
    if not files:
        raise FacetError(f"{data} holds none of the folders {', '.join(PLACES)}; see --data.")
    # (N, 3, 64, 64)
    faces = torch.cat(
        [shrink(read_image(path, SIZE * scale)[None], scale) for path in files for scale in [PLACES[path.parent.name]]]
    )
    results = []
    for version, time in enumerate(times):
        for start in tqdm(range(0, len(faces), batch), desc=f"noised to t = {time:g}", unit=f" x {batch} faces"):
            part = faces[start : start + batch]
            results.append(round_trip(pipe, part, time, [version * len(faces) + start + i for i in range(len(part))]))
    names = [f"{path.parent.name}/{path.name}" for path in files] * len(times)
    checkpoint.write(
        out, {"small": torch.cat(results)}, {"files": json.dumps(names), "unet": str(pipe.unet.info.get("hash"))}
    )
    return len(names)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m training.srresnet.round_trip",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder with faces_hq/ and faces_256/")
    parser.add_argument("--weights", default="weights", help="the CLIP and U-Net to use")
    parser.add_argument("--out", type=Path, default=Path("runs/srresnet/round_trip.safetensors"))
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    args = parser.parse_args(arguments)
    with exit_in_one_line("training.srresnet.round_trip"):
        count = prepare(args.data, FacePipeline.from_pretrained(args.weights, args.device), args.out)
    print(f"{count} faces in {args.out}")


if __name__ == "__main__":
    main()
