"""The web page: layout and wiring only. Events are in ui/, what the browser runs in assets/, what draws in model/."""

import os
import signal
import sys
import threading
import time
from typing import Any

# This also stops gradio from asking PyPI for newer versions.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

from ui.server import start  # isort: skip, since it must come before gradio

ADDRESS = start.prepare()

from ui.server import folder  # isort: skip, before gradio builds anything

with start.without_stubs():
    import gradio as gr

from ui.server.gpu import lend  # isort: skip, since it must come before torch
from model import attributes
from model.attributes import ATTRIBUTES
from model.settings import DEFAULTS, MAX_GUIDANCE, MAX_STEPS
from ui import api, explore
from ui.component import ASSETS, asset, component, scripts
from ui.exports import export
from ui.how import page as how
from ui.opening import greet, restore, warm_up
from ui.picker import ideas, picker
from ui.runs import BEST_OF, COUNTS, animate, enlarge, influence, offer_choice, redraw, schedule
from ui.sees import describe
from ui.server import queue as waiting
from ui.server import serve, store
from ui.server.engine import LIGHT, NETWORKS, pipeline, unseen  # noqa: F401, pipeline for whoever imports the app
from ui.share import qr
from ui.status import status
from ui.words import read

# Nobody passes the queue by; how many may wait is in ui/server/line.py.
QUEUE = {"api_open": False}
# what a link or an opened face asks for beside its settings
GO = "line => { window.facet.go(line); return []; }"
SAMPLERS = [
    ("UniPC (best in few steps)", "unipc"),
    ("DPM-Solver++ (nearly as good)", "dpmpp"),
    ("DDIM (plain)", "ddim"),
    ("DDPM (the original, for 100 steps and more)", "ddpm"),
    ("Student (always 4 steps, guidance built in)", "student"),
]

# The visitor's own fonts, so that nothing is fetched from elsewhere; shades far enough apart for WCAG's AA contrast.
THEME = gr.themes.Base(
    primary_hue="teal", neutral_hue="stone", font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]
).set(
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_400",
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_400",
    input_background_fill_dark="*neutral_900",
    input_border_color_dark="*neutral_700",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_400",
    block_label_text_color="*neutral_700",
    block_title_text_color="*neutral_800",
    checkbox_border_color="*neutral_500",
    checkbox_border_color_dark="*neutral_500",
    checkbox_background_color_selected="*primary_700",
    color_accent="*primary_700",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_hover_dark="*primary_800",
)

# What launch() needs, in one place: tests and hosts that launch `demo` themselves pass the same.
LAUNCH: dict[str, Any] = {
    "theme": THEME,
    "css": asset("page/page.css"),
    "head": f"<script>{scripts()}</script>",
    "favicon_path": ASSETS / "page" / "favicon.svg",
    "footer_links": ["api"],
    "run_history": False,
    "enable_monitoring": False,
    "max_file_size": "5mb",
    "ssr_mode": False,
    "state_session_capacity": 500,
    "app_kwargs": serve.APP,
}

with gr.Blocks(title="Facet: faces from noise", analytics_enabled=False) as demo:
    component("page/title")
    # the record of the face on screen
    current = gr.JSON(None, visible=False)
    with gr.Tabs(elem_id="pages"):
        with gr.Tab("Make a face"), gr.Row(elem_id="columns"):
            with gr.Column(elem_id="left", min_width=0):
                player = component("face/player", schedule=schedule())
                paint = component("face/paint")
                keep = component("keep/keep")
                component("keep/gallery")
            with gr.Column(elem_id="right", min_width=0):
                words = gr.Textbox(
                    "",
                    label="What should the face look like?",
                    lines=2,
                    max_lines=5,
                    elem_id="prompt",
                    placeholder="A smiling woman with blond hair",
                )
                understood = component("controls/understood")
                with gr.Column(elem_id="actions"):
                    with gr.Row(elem_id="buttons"):
                        generate_button = gr.Button("Generate", variant="primary", elem_id="generate")
                        stop_button = gr.Button("Stop", elem_id="stop", interactive=False)
                    line = component("face/status", status())
                people = ideas()
                with gr.Row(elem_id="how-many"):
                    count = gr.Radio(list(COUNTS), value=1, label="Faces", elem_id="count", min_width=0)
                    seed = gr.Number(0, label="Seed", elem_id="seed", min_width=0)
                    with gr.Column(elem_id="switches", min_width=0):
                        new_seed = gr.Checkbox(True, label="A new seed each time", container=False)
                        best = gr.Checkbox(
                            True,
                            label=f"The best of {BEST_OF} new seeds",
                            container=False,
                            elem_id="best",
                            visible=False,
                        )
                        live = gr.Checkbox(
                            False, label="Live: redraw as I change things", container=False, elem_id="live"
                        )
                edits = component(
                    "controls/edits", {}, attributes=[(name, attributes.label(name)) for name in ATTRIBUTES]
                )
                with gr.Tabs(elem_id="tools"):
                    with gr.Tab("Attributes"):
                        picks = picker()
                    with gr.Tab("Settings"):
                        negative = gr.Textbox(
                            "",
                            label="Negative prompt",
                            info="What the face should not have.",
                            lines=2,
                            elem_id="negative",
                        )
                        guidance = gr.Slider(
                            0,
                            MAX_GUIDANCE,
                            DEFAULTS.guidance,
                            step=0.1,
                            label="Guidance",
                            elem_id="guidance",
                            info="0 ignores the prompt, 1 follows it, more exaggerates it.",
                        )
                        steps = gr.Number(
                            DEFAULTS.steps,
                            label="Steps",
                            elem_id="steps",
                            info=f"1 to {MAX_STEPS}: more are slower and rarely better.",
                        )
                        sampler = gr.Dropdown(
                            SAMPLERS, value=DEFAULTS.sampler, label="Sampler", filterable=False, elem_id="sampler"
                        )
                    with gr.Tab("Picture"):
                        picture = component("controls/picture")
                        strength = gr.Slider(
                            0.1,
                            1,
                            0.6,
                            step=0.05,
                            label="How much may change",
                            elem_id="strength",
                            info="A low value keeps the picture, 1 forgets it.",
                        )
                    with gr.Tab("Explore"), gr.Column(elem_id="explore"):
                        ideas_button = gr.Button("Sixteen faces for my words", elem_id="ideas-button")
                        gr.HTML(
                            "<p>Or take the face on screen and change one thing. Its noise stays the same, so the rest "
                            "of the face stays too.</p>"
                        )
                        with gr.Row():
                            attribute = gr.Dropdown(
                                [(attributes.label(name), name) for name in ATTRIBUTES],
                                value="Smiling",
                                label="One attribute",
                                elem_id="attribute",
                                min_width=0,
                            )
                            strip_button = gr.Button("Less and more of it", elem_id="strip-button", min_width=0)
                        with gr.Row():
                            to_prompt = gr.Textbox(
                                "",
                                label="Walk to another prompt",
                                placeholder="an old man",
                                elem_id="to-prompt",
                                min_width=0,
                            )
                            to_seed = gr.Textbox(
                                "", label="or another seed", placeholder="a new one", elem_id="to-seed", min_width=0
                            )
                            walk_button = gr.Button("Walk", elem_id="walk-button", min_width=0)
                        sweep_button = gr.Button("Less and more guidance", elem_id="sweep-button")
                        with gr.Row():
                            more_button = gr.Button("More like this face", elem_id="more-button", min_width=0)
                            less_button = gr.Button("Less like this face", elem_id="less-button", min_width=0)
                        gr.HTML(
                            "<p>“More” starts from new noise and follows what CLIP sees in this face, in place of your "
                            "words. “Less” follows your words and leads away from what CLIP sees in it.</p>"
                        )
                        strip = component("face/strip")
                    with gr.Tab("CLIP"):
                        sees = component("face/sees")
        with gr.Tab("How it works"):
            how.build(current)
            honest = gr.HTML("", elem_id="badge")
    component("keep/pair")
    code = component("keep/qr")
    # on its way to the visitor's disk
    file = gr.JSON(None, visible=False)

    # --- wiring; a `js` without a function runs in the browser alone ---
    hidden = unseen(current)
    draws = {**NETWORKS, **hidden}
    controls = [words, picks, negative, count, new_seed, seed, steps, guidance, sampler, picture, strength, edits]
    controls += [best, paint]
    # what a record fills
    settings = [words, picks, negative, new_seed, seed, steps, guidance, sampler, edits]
    demo.load(offer_choice, None, best, queue=False, **hidden)
    opened = demo.load(greet, None, [honest, player, line, current, *settings], queue=False, **hidden)
    # what a draft holds
    kept = [words, picks, negative, count, new_seed, seed, steps, guidance, sampler, edits, strength, best]
    drafted = opened.success(None, [line, *kept], kept, js="(...values) => window.facet.openDraft(...values)")
    drafted.success(None, line, None, js=GO)
    for control in kept:
        event = control.input if control in (picks, edits) else control.change
        event(None, kept, None, js="(...values) => { window.facet.keepDraft(values); return []; }")
    keep.draft(None, None, kept, js="() => window.facet.returning")

    # The animated run. Stop, or a change in live mode, ends it within one step.
    # gradio begins the next listener of a click when the one before has ended: what must be at once is in the first.
    waits = gr.Timer(1.0, active=False)
    generate_button.click(
        None,
        None,
        [line, stop_button, waits],
        js="""() => {
        const same = {__type__: 'update'};
        if (!window.facet.start()) return [same, same, same];
        return [{text: 'Starting', kind: ''}, window.facet.stoppable(), {...same, active: true}];
    }""",
    )
    run = generate_button.click(animate, controls, [player, line, seed, current], trigger_mode="once", **draws)
    stop = "window.facet.stoppable()"
    run.success(None, None, stop_button, js=f"() => {{ window.facet.done(); return {stop}; }}")
    # gradio calls a stopped run a failure too, and does so after its last message.
    run.failure(None, line, [line, stop_button], js=f"line => [window.facet.ended(line), {stop}]")
    stop_button.click(
        None, None, None, cancels=[run], queue=False, js="() => { window.facet.stopping = 'stopped'; return []; }"
    )

    # Those who wait are told their place once a second; those for whom there was no room, why.
    waits.tick(waiting.teller(demo), None, line, queue=False, **hidden)
    for ended in (run.success, run.failure):
        ended(None, None, waits, js="() => ({__type__: 'update', active: false})")
    run.failure(waiting.refuser(demo), None, line, queue=False, **hidden)

    # Live mode: one redraw at a time, of the latest controls only.
    live_run = player.redraw(redraw, controls, [player, line, current], trigger_mode="always_last", **draws)
    player.lost(None, None, [line, stop_button], js=f"() => [window.facet.lost(), {stop}]")
    player.end_run(None, None, None, cancels=[run], queue=False)
    player.end_live(None, None, None, cancels=[live_run], queue=False)
    live.input(
        None,
        live,
        new_seed,
        js="""on => {
        window.facet.live = on;
        if (on) window.facet.changed();
        return on ? false : {__type__: 'update'};
    }""",
    )
    new_seed.input(
        None,
        new_seed,
        live,
        js="""on => {
        if (on) window.facet.live = false;
        return on ? false : {__type__: 'update'};
    }""",
    )
    # there is nothing to choose among where the seed stays, and of several faces all are shown
    for control in (count, new_seed):
        control.change(
            None,
            [count, new_seed],
            best,
            js="(count, fresh) => ({__type__: 'update', interactive: fresh && count === 1})",
        )
    # who types a seed wants that one
    seed.input(None, None, new_seed, js="() => false")
    # a textbox's `input` misses what is pasted
    for event in (
        words.change,
        negative.change,
        *(control.input for control in (seed, steps, guidance, sampler, strength)),
    ):
        event(None, None, None, js="() => { window.facet.changed(); return []; }")
    people.choose(None, None, [words, edits], js="() => ['', {}]").success(
        None, None, None, js="() => { window.facet.drawIdea(); return []; }"
    )
    understood.ask(read, [words, picks], understood, trigger_mode="always_last", **LIGHT, **hidden)

    # The face on screen: enlarge what was opened, take over its seed, keep it, bring settings back. Events that bring
    # data of their own are never "always_last": gradio would repeat the data of the one before.
    player.open(enlarge, None, [player, line, current], trigger_mode="multiple", **draws)
    player.influence(influence, None, [player, line], trigger_mode="once", **draws)
    player.reuse(
        None,
        None,
        [seed, new_seed],
        js="""() => {
        window.facet.say('The seed is kept: the same face, until you change something.');
        return [window.facet.seed, false];
    }""",
    )
    saved = keep.export(export, None, [file, line], trigger_mode="multiple", **draws)
    saved.success(
        None,
        file,
        file,
        js="file => { if (file) window.facet.download(window.facet.file(file.data), file.name); return null; }",
    )
    saved.failure(
        None, None, line, js="() => ({text: 'The file could not be made. Try again in a moment.', kind: 'error'})"
    )
    keep.qr(qr.draw, None, [code, line], trigger_mode="multiple", **LIGHT, **hidden)
    restored = keep.restore(restore, None, [line, *settings], queue=False, trigger_mode="multiple", **hidden)
    restored.success(None, line, None, js=GO)

    # One thing changed: each says at once that it works, shows where its faces will be, and can be stopped.
    explorations = {
        strip_button.click: (explore.strip, [current, attribute]),
        sweep_button.click: (explore.sweep, [current]),
        walk_button.click: (explore.walk, [current, to_prompt, to_seed]),
        ideas_button.click: (explore.ideas, controls),
        keep.alike: (explore.alike, [current]),
    }
    exploring = []
    for event, (make, of) in explorations.items():
        event(None, None, [line, stop_button], js=f"() => window.facet.explore('{make.__name__}')")
        on_screen = "(was, ...rest) => [window.facet.current(was), ...rest]" if of[0] is current else None
        made = event(make, of, [strip, line], js=on_screen, **draws)
        made.success(None, None, stop_button, js=f"() => window.facet.explored('{make.__name__}')[1]")
        made.failure(None, None, [line, stop_button], js=f"() => window.facet.explored('{make.__name__}')")
        exploring.append(made)
    stop_button.click(None, None, None, cancels=exploring, queue=False)
    for button, less in ((more_button, "false"), (less_button, "true")):
        button.click(None, None, None, js=f"() => {{ window.facet.alikeFace({less}); return []; }}")

    # What CLIP sees.
    looked = sees.look(describe, [words, picks], [sees, line], trigger_mode="multiple", **draws)
    looked.then(None, None, None, js="() => { window.facet.looked(); return []; }")

    api.build()

demo.queue(**QUEUE)
serve.prepare(demo)
lend(demo, NETWORKS["concurrency_id"])
warming = threading.Thread(target=warm_up, daemon=True)
warming.start()

if __name__ == "__main__":
    # an end as by Ctrl-C
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        # Gradio's own waiting does not end the streams of open pages.
        demo.launch(**LAUNCH, server_name=ADDRESS, prevent_thread_lock=True)
        # the address that gradio has printed, for who reads it through a pipe
        sys.stdout.flush()
        serve.bound_connections(demo)
        # seconds; then what still comes in is cut off
        demo.server.config.timeout_graceful_shutdown = 2
        while not demo.server.should_exit:
            time.sleep(0.1)
    except OSError as error:
        # no port is free, or none may be listened on
        print(f"facet: {error}", flush=True)
        store.empty()
        folder.remove()
        os._exit(1)
    except KeyboardInterrupt:
        demo.close()
        store.empty()
        folder.remove()
        # the interpreter's own end aborts where a thread is still drawing
        os._exit(0)
