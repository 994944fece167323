"""Colours that no label names: the skin's tone and the hair's hue, measured in photographs and in faces drawn.

    python -m training.evaluation.colours --prepared runs/prepared

CelebA labels pale skin and four colours of hair; dark skin and red hair are drawn by vectors that were learnt
afterwards (model/words/concepts.py). Draws faces for prompts that ask for such colours, measures them beside the
photographs, and writes the table into the model card.
"""

import argparse
from pathlib import Path

import numpy as np

from model.attributes import ATTRIBUTES
from model.errors import InputError, exit_in_one_line
from model.pipeline import FacePipeline
from model.settings import whole
from training.data.prepared import load_prepared
from training.evaluation.markdown import Place, table

PLACE = Place("<!-- colours:begin -->", "<!-- colours:end -->")
# Where CelebA's alignment puts both cheeks and the hair above the forehead: rows and columns of 64 pixels.
CHEEKS = ((slice(37, 43), slice(19, 25)), (slice(37, 43), slice(39, 45)))
HAIR = (slice(4, 11), slice(22, 42))
# degrees: brown and dark below DARK, tanned or darker below TANNED, light from LIGHT on
DARK, TANNED, LIGHT = 10, 28, 41
# degrees of the Lab hue of red and auburn hair; lipstick and red walls lie below, brown hair above
RED = (35, 60)
# chroma and L of it: duller and darker hair is brown, more vivid is no hair
VIVID, LIT = (22, 50), (15, 55)
# labels of photographs that show no hair where it is measured
UNCLEAR = ("Bald", "Receding_Hairline", "Wearing_Hat")
# prompt -> what it asks for, "" for a plain one
PROMPTS = {
    "a woman": "",
    "a man": "",
    "a black woman with an afro": "dark",
    "a man with dark skin": "dark",
    "a tanned woman": "tanned",
    "a pale woman": "light",
    "a woman with red hair": "red hair",
    "a woman with auburn hair": "red hair",
}
# what is measured -> how the table calls it
COLOURS = {
    "dark": f"skin below {DARK}°",
    "tanned": f"skin below {TANNED}°",
    "light": f"skin from {LIGHT}°",
    "red hair": "red or auburn hair",
}
# from linear sRGB
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def lab(faces: np.ndarray) -> np.ndarray:
    """(..., 3) uint8 sRGB -> (..., 3) float CIE L*a*b* under D65."""
    light = faces.astype(np.float32) / 255
    light = np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)
    xyz = light @ (TO_XYZ / np.array([[0.95047], [1.0], [1.08883]])).T.astype(np.float32)
    x, y, z = np.moveaxis(np.where(xyz > 216 / 24389, np.cbrt(xyz), xyz * 841 / 108 + 4 / 29), -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def skin_angle(faces: np.ndarray) -> np.ndarray:
    """Individual typology angle (Chardon et al. 1991) of N faces of 64x64 pixels, degrees: (N,); low is dark.

    Of the two cheeks the lighter counts: the other may lie in shadow.
    """
    patches = [lab(faces[:, rows, columns]).reshape(len(faces), -1, 3) for rows, columns in CHEEKS]
    colours = np.stack([np.median(patch, 1) for patch in patches], 1)
    lightest = np.take_along_axis(colours, colours[..., :1].argmax(1)[:, None], 1)[:, 0]
    return np.degrees(np.arctan2(lightest[:, 0] - 50, lightest[:, 2]))


def hair_colour(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lightness, chroma, and hue in degrees of the hair above the forehead, medians of N faces: each (N,)."""
    rows, columns = HAIR
    lightness, a, b = np.median(lab(faces[:, rows, columns]).reshape(len(faces), -1, 3), 1).T
    return lightness, np.hypot(a, b), np.degrees(np.arctan2(b, a))


def measured(faces: np.ndarray) -> dict[str, np.ndarray]:
    """Colour -> which of N faces show it, (N,) bool."""
    if faces.ndim != 4 or faces.shape[1:] != (64, 64, 3):
        raise InputError(f"Colours are measured in faces of 64x64 pixels, not in {faces.shape}.")
    angle, (lightness, chroma, hue) = skin_angle(faces), hair_colour(faces)
    red = within(hue, RED) & within(chroma, VIVID) & within(lightness, LIT)
    return {"dark": angle < DARK, "tanned": angle < TANNED, "light": angle >= LIGHT, "red hair": red}


def within(values: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    return (values >= bounds[0]) & (values < bounds[1])


def photographs(folder: Path) -> dict[str, float]:
    """Share of the training photographs that show each colour; of hair, of those alone that show hair there."""
    data = load_prepared(folder, embedded=False)
    trained = ~data.validation.numpy()
    images, labels = data.images.numpy()[trained], data.attributes.numpy()[trained]
    parts = [measured(images[first : first + 4096]) for first in range(0, len(images), 4096)]
    seen = {colour: np.concatenate([part[colour] for part in parts]) for colour in COLOURS}
    hair = ~labels[:, [ATTRIBUTES.index(name) for name in UNCLEAR]].any(1)
    return {colour: float(seen[colour][hair if colour == "red hair" else slice(None)].mean()) for colour in COLOURS}


def rows(real: dict[str, float], drawn: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
    """A row for the photographs, one for the faces of each prompt; the colour that a prompt asks for is bold."""
    table = [("training photographs", "", *(f"{real[colour]:.0%}" for colour in COLOURS))]
    for prompt, faces in drawn.items():
        shares = {colour: f"{seen.mean():.0%}" for colour, seen in measured(faces).items()}
        if asked := PROMPTS[prompt]:
            shares[asked] = f"**{shares[asked]}**"
        angle = f"{np.median(skin_angle(faces)):.0f}°"
        table.append((f"“{prompt}”", angle, *(shares[colour] for colour in COLOURS)))
    return table


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m training.evaluation.colours", description=__doc__.split("\n")[0])
    parser.add_argument("--prepared", type=Path, default=Path("runs/prepared"))
    parser.add_argument("--weights", type=Path, default=Path("weights"), help="folder of the weights and the card")
    parser.add_argument("--faces", type=int, default=20, help="faces for each prompt, seeds 1 and up")
    options = parser.parse_args(arguments)
    card = options.weights / "README.md"
    with exit_in_one_line("training.evaluation.colours"):
        PLACE.check(card)
        count = whole("--faces", options.faces, 1, 10_000)
        real = photographs(options.prepared)
        pipe, seeds = FacePipeline.from_pretrained(options.weights), range(1, count + 1)
        drawn = {prompt: pipe.generate([prompt] * len(seeds), list(seeds)) for prompt in PROMPTS}
    heading = (f"faces, {count} for each prompt", "median angle", *COLOURS.values())
    text = table(heading, rows(real, drawn))
    PLACE.write(card, text)
    print(text)


if __name__ == "__main__":
    main()
