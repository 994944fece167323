// Attributes to tick: wanted (the checkbox), not wanted (the "not" beside it), or left open. The value is {present,
// absent}.
const facet = window.facet,
  picker = element.querySelector(".picker"),
  why = picker.querySelector(".why");
const items = new Map([...picker.querySelectorAll(".attribute")].map(item => [item.dataset.name, item]));
const wanted = name => items.get(name).querySelector("input"),
  unwanted = name => items.get(name).querySelector("button");
const label = name => items.get(name).dataset.label;

function values() {
  const names = [...items.keys()];
  return {
    present: names.filter(name => wanted(name).checked),
    absent: names.filter(name => unwanted(name).ariaPressed === "true"),
  };
}

// "present", "absent" or ""
function set(name, state) {
  wanted(name).checked = state === "present";
  unwanted(name).ariaPressed = String(state === "absent");
}

function fill({present = [], absent = []} = {}) {
  for (const name of items.keys())
    set(name, present.includes(name) ? "present" : absent.includes(name) ? "absent" : "");
  dim();
}

// What contradicts a wanted attribute is dimmed and says with what; ticking it all the same takes the other's place.
function rivals(name) {
  return props.conflicts.filter(pair => pair.includes(name)).map(pair => pair.find(other => other !== name));
}

function dim() {
  const present = values().present;
  for (const [name, item] of items) {
    const rival = rivals(name).find(other => present.includes(other));
    item.classList.toggle("rival", Boolean(rival));
    item.title = rival ? `${label(name)} and ${label(rival)} exclude each other` : "";
  }
  picker.querySelector(".clear").disabled = !present.length && !values().absent.length;
}

function changed(text = "") {
  why.textContent = text;
  dim();
  props.value = values();
  facet.own = null;
  trigger("input");
  facet.changed();
}

picker.addEventListener("change", event => {
  const name = event.target.closest(".attribute")?.dataset.name;
  if (!name) return;
  let told = "";
  if (event.target.checked) {
    unwanted(name).ariaPressed = "false";
    const gone = rivals(name).filter(other => wanted(other).checked);
    gone.forEach(other => {
      wanted(other).checked = false;
    });
    if (gone.length) told = `${label(name)} took the place of ${gone.map(label).join(" and ")}: no face has both.`;
  }
  changed(told);
});

picker.addEventListener("click", event => {
  const button = event.target.closest("button"),
    name = button?.closest(".attribute")?.dataset.name;
  if (name) {
    set(name, button.ariaPressed === "true" ? "" : "absent");
    changed();
  } else if (button?.classList.contains("clear")) {
    fill();
    changed();
  }
});

facet.hear("idea", name => {
  fill(name === "surprise" ? surprise() : props.presets[name]);
  changed();
});

// A person nobody asked for: a few attributes, at random, that go together.
function surprise() {
  const random = list => list[Math.floor(Math.random() * list.length)];
  const chosen = {present: [], absent: []};
  (Math.random() < 0.5 ? chosen.present : chosen.absent).push("Male");
  const usual = [...items.keys()].filter(
    name =>
      !["Male", "Blurry", "Attractive", "No_Beard"].includes(name) &&
      (chosen.present.includes("Male") ? !props.feminine.includes(name) : !props.masculine.includes(name)),
  );
  for (let tries = 0; chosen.present.length < 4 && tries < 50; tries++) {
    const name = random(usual);
    if (!chosen.present.includes(name) && !rivals(name).some(other => chosen.present.includes(other)))
      chosen.present.push(name);
  }
  return chosen;
}

// Search as you type, also by other words for the same thing, and by what has only something near it here.
const search = picker.querySelector("input[type=search]"),
  nothing = picker.querySelector(".nothing");
search.addEventListener("input", () => {
  const query = search.value.trim().toLowerCase();
  const named = [...items.values()].filter(item => item.dataset.words.includes(query));
  const words = query.split(/[^\p{L}\p{M}\p{N}]+/u).filter(word => word.length > 2);
  const close = item => words.some(word => item.dataset.near.includes(word));
  const all = [...items.values()],
    exact = item => item.dataset.near.split(" | ").includes(query);
  const ways = [
    () => named,
    () => all.filter(exact),
    () => all.filter(item => item.dataset.near.includes(query)),
    () => all.filter(close),
  ];
  const shown = ways.reduce((found, way) => (found.length ? found : way()), []);
  for (const item of items.values()) item.hidden = Boolean(query) && !shown.includes(item);
  const found = shown.length;
  picker.querySelectorAll("fieldset").forEach(group => {
    group.hidden = !group.querySelector(".attribute:not([hidden])");
  });
  nothing.hidden = !query || named.length > 0;
  nothing.textContent = nothing.hidden
    ? ""
    : `No attribute is called "${search.value.trim()}". ${found ? "Nearest:" : "Nothing here comes near it."}`;
});
search.addEventListener("keydown", event => {
  if (event.key === "Escape" && search.value) {
    search.value = "";
    search.dispatchEvent(new Event("input"));
    event.stopPropagation();
  }
});

facet.hear("press", name => {
  set(name, "present");
  rivals(name).forEach(other => {
    wanted(other).checked = false;
  });
  changed(`${label(name)} is ticked.`);
});

// What the typed words say already is marked.
facet.hear("said", ({present, absent}) => {
  for (const [name, item] of items) {
    const said = present.includes(name) ? "wanted" : absent.includes(name) ? "unwanted" : "";
    item.dataset.said = said;
    item.querySelector(".said").textContent = said ? ` (${said} in your words)` : "";
  }
});

watch("value", () => {
  why.textContent = "";
  fill(props.value || {});
  facet.reread();
});
fill(props.value || {});
