// The face: plays the steps that the server streams, lets them be scrubbed afterwards without it, and compares
// enlargements. `props.value` is one message of ui/runs.py: some steps of a run ({run, frames, ...}), or what follows
// it ({run, large, ...}).
const facet = window.facet;
// A message comes every 66 ms; a screen can follow 32 of its frames. Of a long run's message the last frame is shown:
// painting them all takes time from the network (LONG in ui/frames.py).
const MESSAGE_MS = 66,
  most = () => (run.total > 60 || document.hidden ? 1 : 32);
// kinds of faces that are there at once
const AT_ONCE = ["live", "opening", "gallery", "strip", "variation"];
const player = element.querySelector(".player"),
  part = selector => player.querySelector(selector);
const [stage, picture, at] = [part(".stage"), part(".picture"), part(".at")];
const compare = facet.comparison(
  player,
  () => {
    touched = true;
  },
  explain,
);
const dot = facet.curve(player, props.schedule || []);
const inset = facet.inset(player, name => {
  touched = true;
  setView(name);
});

// what is on screen, see scripts/run.js
let run = null;
// the batch that `run` was opened from
let all = null;
let [view, step] = ["denoised", 0];
// the visitor chose what to see: do not choose for them
let touched = false;
let [waiting, pacing, playing] = [[], 0, 0];
// ids of runs whose late messages no longer count
const over = new Set();

// --- one frame -------------------------------------------------------------------------------------------------------

function show(number) {
  const frame = run?.frames[number - 1];
  if (!frame) return;
  step = number;
  const kind = view === "large" ? "denoised" : view;
  picture.src = frame[kind] || frame.denoised;
  picture.hidden = view === "large";
  inset(run, frame, view);
  picture.alt = `${facet.EXPLAIN[kind]} Step ${frame.step} of ${run.total}. ${facet.described(run)}`;
  at.value = number;
  at.setAttribute("aria-valuetext", `Step ${frame.step} of ${run.total}, noise level ${frame.noise_level.toFixed(2)}`);
  part(".step").textContent = `Step ${frame.step} of ${run.total}`;
  part(".noise").textContent = `Noise level ${frame.noise_level.toFixed(2)}`;
  dot(frame.noise_level);
  part(".take").hidden =
    view === "large" || facet.running || run.count > 1 || (Boolean(run.large) && number === run.frames.length);
  player.dataset.step = number;
  label();
  announceFace();
}

// What the other components take for "the face": the finished one, or the frame that was scrubbed to.
function announceFace() {
  facet.later("face", 80, () => {
    // a finished face counts while its run still brings the crisp one
    if (!run?.frames.length || (facet.running && !run.image)) return;
    facet.face = facet.faceOf(run, step, view);
    facet.tell("face", facet.face);
  });
}

// --- views -----------------------------------------------------------------------------------------------------------

function setView(name) {
  if (name === "large" && !run?.large) return;
  view = name;
  player.dataset.view = name;
  player
    .querySelectorAll(".kinds button")
    .forEach(button => button.setAttribute("aria-pressed", button.dataset.view === name));
  part(".large").hidden = part(".enlargements").hidden = name !== "large";
  explain();
  if (name === "large") {
    pause();
    step = run.frames.length || step;
  }
  if (run?.frames.length) show(step || run.frames.length);
  else picture.hidden = name === "large" || !run;
  cells();
}

function explain() {
  const kind = view === "large" && compare.shown() === "crisp" ? "crisp" : view,
    many = run?.image && run.count > 1 ? " Open one to see it large." : "";
  part(".explain").textContent = run ? facet.EXPLAIN[kind] + many : "";
}

// --- playing ---------------------------------------------------------------------------------------------------------

function pause() {
  clearTimeout(playing);
  playing = 0;
  label();
}

function play() {
  if (!run?.frames.length) return;
  if (view === "large") setView("denoised");
  if (step >= run.frames.length) show(1);
  const each = Math.min(160, Math.max(25, 2500 / run.frames.length)),
    skip = Math.max(1, Math.round(run.frames.length / 100));
  const next = () => {
    if (step >= run.frames.length) return pause();
    show(Math.min(step + skip, run.frames.length));
    playing = setTimeout(next, each);
  };
  clearTimeout(playing);
  playing = setTimeout(next, each);
  label();
}

function seek(number) {
  if (!run?.frames.length) return;
  touched = true;
  pause();
  if (view === "large") setView("denoised");
  show(Math.min(Math.max(number, 1), run.frames.length));
}

function toggle() {
  touched = true;
  playing ? pause() : play();
}

function label() {
  const button = part(".play");
  button.classList.toggle("playing", Boolean(playing));
  button.setAttribute("aria-label", playing ? "Pause" : run && step >= run.frames.length ? "Replay" : "Play");
}

// --- what the server sends -------------------------------------------------------------------------------------------

function begin(message) {
  if (run) over.add(run.id);
  clearTimeout(pacing);
  pause();
  compare.still();
  [waiting, pacing, all, touched] = [[], 0, null, false];
  run = facet.runOf(message);
  ready();
  if (message.kind !== "opening" && message.kind !== "live") stage.scrollIntoView({block: "nearest"});
}

// Buttons, marks and texts that belong to `run` as a whole.
function ready() {
  at.max = Math.max(2, run.image ? run.frames.length : run.total);
  for (const control of [at, part(".play"), part(".before"), part(".after")]) control.disabled = !run.total;
  part(".kinds [data-view=large]").disabled = !run.large;
  part(".kinds [data-view=noisy]").disabled = !run.total;
  const none = (part(".kinds [data-view=influence]").disabled = !facet.tellsInfluence(run));
  part(".empty").hidden = true;
  part(".back").hidden = !all;
  const seed = part(".seed");
  seed.hidden = !run.record;
  seed.textContent = run.record ? `Reuse seed ${run.record.seed}` : "";
  part(".decided").hidden = !run.decided?.length;
  part(".decided").innerHTML = facet.firstSeen(run);
  part(".marks").innerHTML = facet.marks(run);
  setView((view === "large" && !run.large) || (view === "influence" && none) ? "denoised" : view);
}

function pace() {
  pacing = 0;
  if (!waiting.length) return;
  const shown = waiting.splice(0, Math.ceil(waiting.length / most())).pop();
  if (!touched) show(shown);
  if (waiting.length) pacing = setTimeout(pace, MESSAGE_MS / (waiting.length + 1));
}

function receive(message) {
  if (!message || over.has(message.run)) return;
  // Generate was pressed meanwhile
  if (message.kind === "live" && facet.running && facet.stopping !== "redrawn") return;
  if (message.run !== run?.id) {
    // an enlargement of what is no longer on screen
    if (!message.frames) return;
    begin(message);
  }
  if (message.frames) {
    run.total = message.total;
    run.frames.push(...message.frames);
    if (["opening", "gallery"].includes(message.kind) && run.frames.length > 1 && !facet.calm()) {
      show(1);
      play();
    } else if (AT_ONCE.includes(message.kind)) {
      show(run.frames.length);
    } else {
      waiting.push(...message.frames.map(frame => run.frames.indexOf(frame) + 1));
      if (!pacing) pace();
    }
  }
  if (message.decided) run.decided = message.decided;
  if (message.influence) {
    // of a long run the gallery keeps some frames
    run.frames.forEach(frame => (frame.influence = message.influence[frame.step - 1]));
    show(step);
  }
  if (message.image) finish(message);
  else if (message.large && run.large) {
    Object.assign(run.large, message.large);
    compare.use(run);
  }
}

async function finish(message) {
  const mine = run;
  [run.image, facet.busy] = [message.image, facet.busy && run.id === older];
  run.large = message.large || run.large;
  run.seeds = message.seeds || run.seeds;
  if (run.large) compare.use(run);
  ready();
  if (!run.large) {
    if (message.kind === "live" && run.count === 1)
      facet.later("enlarge", 600, () => run === mine && enlarge(run.image));
    return announceFace();
  }
  part(".srresnet").alt = `The finished face at 512 by 512 pixels. ${facet.described(run)}`;
  await part(".srresnet")
    .decode()
    .catch(() => {});
  // Let the steps play to their end first.
  await new Promise(done => {
    const check = () => ((waiting.length || playing) && run === mine ? setTimeout(check, 30) : done());
    check();
  });
  if (run !== mine) return;
  if (!touched) {
    setView("large");
    if (facet.calm() || run.kind === "live") compare.set(0);
    else compare.wipe();
  }
  announceFace();
}

// --- a batch: the frames are square sheets of faces ------------------------------------------------------------------

function cells() {
  const box = part(".cells");
  box.hidden = !run || run.count === 1 || !run.image;
  if (box.hidden || box.dataset.run === run.id) return;
  box.dataset.run = run.id;
  box.style.setProperty("--columns", Math.round(Math.sqrt(run.count)));
  box.innerHTML = facet.openers(run);
}

async function open(index) {
  const sheet = run,
    one = await facet.oneOf(sheet, index);
  if (run !== sheet) return;
  [all, run, touched, step] = [{...sheet, index}, one, false, one.frames.length];
  setView("denoised");
  ready();
  stage.focus({preventScroll: true});
  enlarge(run.image);
}

// The server keeps the record, from which Explore starts; that of a face from a picture does not make it again.
function enlarge(image) {
  trigger("open", {run: run.id, image, record: run.of === "picture" ? null : run.record, mask: run.painting?.mask});
}

// --- the visitor -----------------------------------------------------------------------------------------------------

part(".play").addEventListener("click", toggle);
part(".before").addEventListener("click", () => seek(step - 1));
part(".after").addEventListener("click", () => seek(step + 1));
at.addEventListener("input", () => seek(Number(at.value)));
part(".kinds").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button || button.disabled) return;
  touched = true;
  compare.still();
  setView(button.dataset.view);
  // It is drawn when it is first looked at.
  if (view === "influence" && !run.frames[0].influence)
    trigger("influence", {run: run.id, record: run.record, count: run.count});
});
part(".cells").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) open(Number(button.dataset.index));
});
part(".back").addEventListener("click", () => {
  [run, all, step, view] = [all, null, all.frames.length, "denoised"];
  ready();
  part(".cells").children[run.index].focus();
});
part(".decided").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (button) seek(1 + run.frames.findIndex(frame => frame.step >= button.dataset.step));
});
facet.keepSeed = () => {
  if (!run?.record) return;
  facet.seed = run.record.seed;
  trigger("reuse");
};
part(".seed").addEventListener("click", facet.keepSeed);
part(".take").addEventListener("click", () => {
  const frame = run.frames[step - 1];
  run = {
    ...run,
    id: `${run.id}-at-${step}`,
    image: frame.denoised,
    kind: "frame",
    of: "frame",
    painting: null,
    record: null,
    large: null,
  };
  touched = false;
  ready();
  trigger("open", {run: run.id, image: frame.denoised, step});
});

facet.scrub(player, {
  frames: () => run?.frames.length || 0,
  step: () => step,
  large: () => view === "large",
  seek,
  toggle,
  compare,
});

// --- what others may ask ---------------------------------------------------------------------------------------------

facet.redraw = () => {
  if (facet.running) facet.stopping = "redrawn";
  trigger("end_run");
  trigger("redraw");
};
// The run that was on screen before; whether Generate was pressed while a finished one still brought its crisp form.
let [older, again] = ["", false];
// Generate was pressed; the run came to its end; it was stopped or failed, and `line` is what the status line says
// then. gradio calls a stopped run a failure, twice even, and may call it a success before.
// false: not now. The page asks for one run at a time
facet.start = () => {
  if (facet.running) {
    again = Boolean(run?.image) && run.id !== older;
    return false;
  }
  [facet.running, facet.busy, facet.stopping, older] = [true, true, "", run?.id];
  facet.offer("", null);
  part(".take").hidden = true;
  trigger("end_live");
  facet.tell("begun");
  return true;
};
facet.done = () => {
  facet.running = facet.busy = false;
  facet.tell("over");
  announceFace();
  if (again && !facet.stopping) setTimeout(() => document.querySelector("#generate").click());
  again = false;
};
facet.ended = line => {
  again = false;
  const why = facet.stopping,
    unfinished = run && run.id !== older && !run.image && run.frames.length;
  facet.running = facet.busy = false;
  facet.tell("over");
  clearTimeout(pacing);
  [waiting, pacing] = [[], 0];
  if (unfinished) {
    at.max = Math.max(2, run.frames.length);
    show(run.frames.length);
  }
  if (why === "redrawn") return line;
  if (why === "lost") return facet.lost();
  if (why !== "stopped") return {text: "This did not work. Try again in a moment.", kind: "error"};
  return {text: unfinished ? `Stopped at step ${run.frames.at(-1).step} of ${run.total}.` : "Stopped.", kind: ""};
};
facet.hear("lost", () => {
  if (facet.running) trigger("lost");
});
// by which network the large picture is
facet.by = compare.shown;
// from the gallery, with its steps, or from a strip, without; about: {of, painting}
facet.showFace = (image, record, kind, steps, about) => {
  const alone = {total: 1, frames: [{step: 1, noise_level: 0, denoised: image, noisy: image}], decided: []};
  receive({run: `${kind}-${Math.random()}`, kind, record, image, ...about, ...(steps || alone)});
  touched = false;
  enlarge(image);
};
watch("value", () => receive(props.value));
compare.set(0);
setView("denoised");
receive(props.value);
// until the first face: what every face starts from
if (!run) {
  picture.src = facet.noise(64);
  picture.hidden = false;
}
