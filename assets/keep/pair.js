// Two faces side by side, on a phone one above the other, with one timeline for both, and the settings in which they
// differ.
const facet = window.facet,
  dialog = element.querySelector("dialog"),
  part = selector => dialog.querySelector(selector);
const range = part("input"),
  go = part(".go"),
  MS = 160;
const NAMES = {
  prompt: "Prompt",
  negative_prompt: "Negative prompt",
  seed: "Seed",
  steps: "Steps",
  guidance: "Guidance",
  sampler: "Sampler",
  edits: "Changes",
  to_prompt: "Walk to",
  to_seed: "Walk to seed",
  place: "Place on the walk",
};
let pair = [],
  timer = 0;

function place(at) {
  range.value = at;
  const told = pair.map(({image, frames}, index) => {
    const last = frames.length - 1,
      frame = frames[Math.round((at / range.max) * last)];
    const text = frame
      ? `Step ${frame.step} of ${frames[last].step}, noise level ${frame.noise_level.toFixed(2)}`
      : "Kept without its steps";
    dialog.querySelectorAll("img")[index].src = frame?.denoised || image;
    dialog.querySelectorAll("img")[index].alt = `${index ? "The other face" : "The face on screen"}. ${text}`;
    dialog.querySelectorAll("figcaption")[index].textContent = text;
    return text;
  });
  range.setAttribute("aria-valuetext", told.join("; "));
}

function stop() {
  clearInterval(timer);
  timer = 0;
  go.textContent = "Play";
}

function play() {
  stop();
  if (range.value === range.max) place(0);
  timer = setInterval(() => {
    place(Number(range.value) + 1);
    if (range.value === range.max) stop();
  }, MS);
  go.textContent = "Pause";
}

function differences([one, other]) {
  if (!one || !other) return "<p>One of the two came from another face: it has no settings of its own.</p>";
  const text = value => (value === undefined || value === "" ? "none" : facet.escape(value));
  const rows = Object.entries(NAMES)
    .filter(([name]) => text(one[name]) !== text(other[name]))
    .map(
      ([name, label]) =>
        `<tr><th scope="row">${label}</th><td>${text(one[name])}</td><td>${text(other[name])}</td></tr>`,
    )
    .join("");
  return rows
    ? `<table><caption>In what their settings differ</caption><tbody>${rows}</tbody></table>`
    : "<p>Their settings are the same.</p>";
}

// Each: {image, record, frames: [{step, noise_level, denoised}]}
facet.pair = (...two) => {
  stop();
  pair = two;
  const steps = Math.max(...pair.map(({frames}) => frames.length));
  range.max = Math.max(1, steps - 1);
  range.disabled = go.disabled = steps < 2;
  part(".differs").innerHTML = differences(pair.map(({record}) => record));
  place(range.max);
  dialog.showModal();
  range.focus();
};
go.addEventListener("click", () => (timer ? stop() : play()));
range.addEventListener("input", () => {
  stop();
  place(Number(range.value));
});
range.addEventListener("keydown", event => {
  if (event.key !== " ") return;
  event.preventDefault();
  timer ? stop() : play();
});
dialog.addEventListener("close", stop);
dialog.addEventListener("click", event => {
  if (event.target === dialog) dialog.close();
});
