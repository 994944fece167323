// Saving and sharing the face on screen, and the gallery of this browser. Files are made by the server when asked for.
const facet = window.facet, part = selector => element.querySelector(selector);
const STORE = "facet.gallery", MOST = 60, OWN = ["", "picture", "frame", "variation"];  // kinds of faces that are remembered
const REQUEST = 6e6;  // characters of frames in one request; the server refuses bodies of more than 8 MB

const record = () => facet.face?.record;
function summary({prompt, negative_prompt, seed, steps, guidance, sampler}) {
  const words = (prompt ? `"${prompt}"` : "No prompt") + (negative_prompt ? `, not "${negative_prompt}"` : "");
  return `${words}, seed ${seed}, ${steps} steps of ${sampler}, guidance ${guidance}`;
}

// --- saving --------------------------------------------------------------------------------------------------------------

function ready() {
  const face = facet.face;
  const from = face?.kind === "picture" ? "; the picture it started from is not" : "";
  part(".shown").textContent = !face ? "" : !face.record ? "This face came from another one: it has no settings of its own."
    : `${part(".settings").checked ? "Inside: " : "Left out: "}${summary(face.record)}${from}.`;
  for (const button of element.querySelectorAll("[data-what]")) button.disabled = !face
    || ["webp", "gif", "strip"].includes(button.dataset.what) && face.frames.length < 2 || button.dataset.what === "link" && (!face.record || from);
}

element.querySelector(".keep").addEventListener("click", event => {
  const what = event.target.closest("[data-what]")?.dataset.what, face = facet.face;
  if (!what || !face) return;
  if (what === "link") return link();
  facet.say("Preparing the file");
  facet.save({what, ...face, by: facet.by(), image: what === "frame" ? face.frames[face.step - 1] : face.image, settings: part(".settings").checked,
    frames: ["webp", "gif", "strip", "zip"].includes(what) ? face.frames : []});
});
facet.save = payload => trigger("export", {...payload, frames: thinned(payload.frames)});

// Evenly spread frames, the first and the last among them: no more than one request may hold.
function thinned(frames) {
  const size = frames.reduce((sum, frame) => sum + frame.length, 0), most = Math.max(2, Math.floor(REQUEST * frames.length / size));
  return most < frames.length ? Array.from({length: most}, (_, i) => frames[Math.round(i * (frames.length - 1) / (most - 1))]) : frames;
}
part(".settings").addEventListener("change", ready);

async function link() {
  const address = new URL(location.href);
  address.search = new URLSearchParams(Object.entries(record()).filter(([name, value]) => name === "prompt" || value !== ""));
  history.replaceState(null, "", address);
  const field = part(".link");
  field.value = address.href;
  try {
    await navigator.clipboard.writeText(address.href);
    facet.say("The link is copied. It holds all settings.");
  } catch {  // no permission, or no secure connection
    field.hidden = false;
    field.focus();
    field.select();
    facet.say("Copy the link from the field under the picture.");
  }
}

// --- bringing settings back ---------------------------------------------------------------------------------------------

function bring(record, from) {
  facet.quietUntil = performance.now() + 1500;  // live mode does not draw over a face that comes with its settings
  trigger("restore", {record, from});
}

async function restore(file) {
  const texts = await facet.textsOf(file);
  if (!Object.keys(texts).length) return facet.say("This picture holds no settings.", "error");
  facet.quietUntil = performance.now() + 1500;
  const {facet: own, parameters, ...others} = texts;  // only names of what is not ours leave the browser
  trigger("restore", {texts: {facet: own, parameters}, others: Object.keys(others), from: "png"});
}
part(".open input").addEventListener("change", event => {
  if (event.target.files[0]) restore(event.target.files[0]);
  event.target.value = "";
});
document.addEventListener("dragover", event => { if (event.dataTransfer?.types.includes("Files")) event.preventDefault(); });
document.addEventListener("drop", event => {
  if (!event.dataTransfer?.files.length || event.target.closest("input, .drop")) return;
  event.preventDefault();
  restore(event.dataTransfer.files[0]);
});

// Faces like one, shown under Explore (whose own parts exist only once it was opened).
facet.alike = image => {
  [...document.querySelectorAll("#tools [role=tab]")].find(tab => tab.textContent.trim() === "Explore")?.click();
  trigger("alike", {image});
};

// --- the gallery, in this browser alone ----------------------------------------------------------------------------------

function stored() { try { return JSON.parse(localStorage.getItem(STORE)) || []; } catch { return []; } }
function store(faces) { try { localStorage.setItem(STORE, JSON.stringify(faces)); } catch { /* full, or not allowed: then not */ } }

function gallery() {
  const faces = facet.gallery = stored();
  part(".gallery").hidden = !faces.length;
  part(".faces").innerHTML = faces.map(({image, record}, index) => {
    const told = facet.escape(record ? summary(record) : "no settings");
    return `<button type="button" data-index="${index}" aria-label="Face ${index + 1}: ${told}" title="${told}"><img src="${image}" alt=""></button>`;
  }).join("");
}
part(".faces").addEventListener("click", event => {
  const button = event.target.closest("button"), face = button && facet.gallery[button.dataset.index];
  if (!face) return;
  facet.showFace(face.image, face.record, "gallery");
  if (face.record) bring(face.record, "gallery");
});
part(".forget").addEventListener("click", () => { store([]); gallery(); });

facet.hear("face", face => {
  ready();
  if (!face.last || !face.finished || face.count > 1 || !OWN.includes(face.kind)) return;
  const faces = stored();
  if (faces.some(({image}) => image === face.image)) return;
  store([{image: face.image, record: face.record}, ...faces].slice(0, MOST));
  gallery();
});
ready();
gallery();
