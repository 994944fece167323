"""What the network sees and says: its input band by band, its answer in three forms, its answer under other prompts."""

from model.diffusion import from_original
from model.pipeline import FacePipeline
from ui.how.face import OTHER_PROMPTS, Recipe, answer, error, noised
from ui.how.forward import band, band_note
from ui.how.html import colour, grey, tile, tiles


def predictions(pipe: FacePipeline, recipe: Recipe, step: int) -> str:
    """The network's input band by band, its answer in three forms beside the truth, and its answer under other prompts."""
    state, said = noised(pipe, recipe, step), answer(pipe, recipe, step)
    sees = [tile(colour(state.x_t[0]), "Noisy face", "three of the four bands")]
    sees += [tile(grey(state.x_t[0, index]), name) for index, name in enumerate(("Red", "Green", "Blue"))]
    sees += [tile(band(state), "Timestep", band_note(state), "The timestep band")]

    truth = {
        name: from_original(state.original, state.x_t, state.t, name) for name in ("velocity", "noise", "original")
    }
    names = {"velocity": "Velocity", "noise": "Noise", "original": "Clean face"}
    says = [
        tile(
            colour(getattr(said, name)[0]),
            names[name],
            small(error(getattr(said, name), truth[name])),
            f"{names[name]} as predicted",
        )
        for name in truth
    ]
    knows = [tile(colour(truth[name][0]), names[name], "the truth", f"{names[name]}, the truth") for name in truth]

    prompts = [
        ("Your prompt", recipe.prompt),
        ("No prompt", "any face"),
        *((prompt, "") for prompt in OTHER_PROMPTS[1:]),
    ]
    faces = [
        tile(colour(seen), title, note, f"Predicted clean face: {title}")
        for seen, (title, note) in zip(said.original, prompts)
    ]
    return (
        tiles(*sees, title="It sees four bands of numbers")
        + f'<div class="pair"><div>{tiles(*says, title="It says")}</div>'
        + f"<div>{tiles(*knows, title='What was really mixed in')}</div></div>"
        + tiles(*faces, title="The same noisy face under different prompts: the clean face that each sees in it")
    )


def small(wrong: float) -> str:
    """An error as a caption shows it."""
    return f"error {wrong:.3f}" if wrong >= 0.0005 else "error below 0.001"
