// Attributes pushed and pulled, and the place on a walk. The value is what a record holds of them: {edits, to_prompt,
// to_seed, place}, see Settings.changes in model/settings.py. The face follows by the quick run of live mode; every
// change can be undone.
const facet = window.facet,
  part = selector => element.querySelector(selector),
  MOST = 3,
  EDITS = 12;
const labels = new Map(props.attributes),
  recent = [];
let past = [],
  future = [],
  now = {};

const pairs = ({edits = ""}) =>
  edits
    .split(",")
    .filter(Boolean)
    .map(one => one.split(":"))
    .map(([name, strength]) => [name, Number(strength)]);
const told = strength => `${strength > 0 ? "+" : ""}${strength}`;
const row = (
  key,
  label,
  [min, max, step, value],
  text,
) => `<div class="slider" data-key="${key}"><span>${facet.escape(label)}</span>
  <input type="range" min="${min}" max="${max}" step="${step}" value="${value}"
      aria-label="${facet.escape(label)}"><output aria-live="off">${text}</output>
  <button type="button" aria-label="Remove ${facet.escape(label)}">×</button></div>`;

function options() {
  const option = name => `<option value="${name}">${facet.escape(labels.get(name))}</option>`,
    used = new Set(pairs(now).map(([name]) => name));
  const some = names =>
    names
      .filter(name => !used.has(name))
      .map(option)
      .join("");
  part("select").innerHTML = `<option value="">Change only one thing</option>
    ${recent.length ? `<optgroup label="Recent">${some(recent)}</optgroup>` : ""}
    <optgroup label="All attributes">${some([...labels.keys()])}</optgroup>`;
  part("select").disabled = used.size >= EDITS;
}

function show() {
  const focused = [...part(".sliders").children].findIndex(slider => slider.contains(document.activeElement));
  const edits = pairs(now),
    walk = now.to_prompt !== undefined || now.to_seed !== undefined,
    ends = [now.to_prompt && `"${now.to_prompt}"`, now.to_seed !== undefined && `seed ${now.to_seed}`];
  part(".sliders").innerHTML =
    edits
      .map(([name, strength]) => row(name, labels.get(name) || name, [-MOST, MOST, 0.1, strength], told(strength)))
      .join("") +
    (walk
      ? row(
          "place",
          `To ${ends.filter(Boolean).join(", ")}`,
          [0, 1, 0.01, now.place || 0],
          `${Math.round(100 * (now.place || 0))} %`,
        )
      : "");
  part(".hint").hidden = !edits.length && !walk;
  part(".undo").disabled = !past.length;
  part(".redo").disabled = !future.length;
  options();
  // the slider that had the focus is another element now, or gone
  if (focused >= 0)
    ([...element.querySelectorAll(".slider input")].slice(0, focused + 1).at(-1) || part("select")).focus();
}

function tell() {
  props.value = now;
  trigger("input");
  // the same noise, or the face would be another
  if (facet.draft?.[4] !== false) facet.keepSeed?.();
  // else it would take the place of the face that is painted over
  if (!facet.painting) facet.later("redraw", 150, () => facet.redraw?.());
}

function change(next) {
  past.push(now);
  [future, now] = [[], next];
  show();
  tell();
}

function travel(from, to) {
  if (!from.length) return;
  to.push(now);
  now = from.pop();
  show();
  tell();
}

function without(key) {
  if (key === "place") {
    const {to_prompt, to_seed, place, ...rest} = now;
    return rest;
  }
  return {
    ...now,
    edits: pairs(now)
      .filter(([name]) => name !== key)
      .map(pair => pair.join(":"))
      .join(","),
  };
}

function placed(key, value) {
  if (key === "place") return {...now, place: value};
  return {
    ...now,
    edits: pairs(now)
      .map(([name, strength]) => [name, name === key ? value : strength].join(":"))
      .join(","),
  };
}

// A closed list changes with every arrow and letter (on a Mac, where arrows open it, with letters alone): then Enter
// takes what is shown.
const CHANGES = /Mac/.test(navigator.platform) ? /^\S$/ : /^(Arrow|Page|Home|End|\S$)/;
let byKeys = false;
function add() {
  const name = part("select").value;
  if (!name) return;
  recent.splice(0, recent.length, ...[name, ...recent.filter(other => other !== name)].slice(0, 5));
  change({...now, edits: [...pairs(now).map(pair => pair.join(":")), `${name}:1`].join(",")});
  [...part(".sliders").querySelectorAll("input")].find(input => input.closest(".slider").dataset.key === name)?.focus();
}
part("select").addEventListener("change", () => {
  if (!byKeys) add();
});
part("select").addEventListener("keydown", event => {
  if (event.key === "Enter" && byKeys && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    add();
  }
  byKeys = CHANGES.test(event.key) && !event.altKey;
});
for (const kind of ["pointerdown", "blur"])
  part("select").addEventListener(kind, () => {
    if (byKeys) part("select").value = "";
    byKeys = false;
  });
let dragging = false;
// the slider stays the same element while it is dragged
part(".sliders").addEventListener("input", event => {
  const key = event.target.closest(".slider").dataset.key,
    value = Number(event.target.value);
  // one drag is one step back
  if (!dragging) past.push(now);
  dragging = true;
  [future, now] = [[], placed(key, value)];
  event.target.nextElementSibling.textContent = key === "place" ? `${Math.round(100 * value)} %` : told(value);
  part(".undo").disabled = false;
  part(".redo").disabled = true;
  tell();
});
part(".sliders").addEventListener("change", () => {
  dragging = false;
});
part(".sliders").addEventListener("click", event => {
  if (event.target.closest("button")) change(without(event.target.closest(".slider").dataset.key));
});
part(".undo").addEventListener("click", () => travel(past, future));
part(".redo").addEventListener("click", () => travel(future, past));
document.addEventListener("keydown", event => {
  if (!(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== "z" || !element.offsetParent) return;
  if (event.target.closest?.("input:not([type=range], [type=checkbox], [type=radio]), textarea, [contenteditable]"))
    return;
  event.preventDefault();
  event.shiftKey ? travel(future, past) : travel(past, future);
});

// a record, or a draft, brought its own
watch("value", () => {
  if (JSON.stringify(props.value || {}) === JSON.stringify(now)) return;
  past.push(now);
  [future, now] = [[], props.value || {}];
  show();
});
now = props.value || {};
show();
