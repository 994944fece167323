"""ZeroGPU of Hugging Face Spaces, which lends a GPU run by run. Import this before anything that imports torch."""

import gradio as gr

try:
    # Spaces installs it; without ZeroGPU its decorator returns the function as it is
    import spaces  # pyright: ignore[reportMissingImports]
except ImportError:
    spaces = None

# seconds that a GPU is asked for, at most; a run at the defaults takes about one
SECONDS = 60


def lend(demo: gr.Blocks, concurrency_id: str) -> None:
    """Let the events of this concurrency id (those that run networks) borrow a GPU, where there are any to borrow."""
    if spaces is None:
        return
    for event in demo.fns.values():
        if event.concurrency_id == concurrency_id and event.fn is not None:
            event.fn = spaces.GPU(duration=SECONDS)(event.fn)
