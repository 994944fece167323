// Saving and sharing the face on screen. Files are made by the server when asked for.
const facet = window.facet,
  part = selector => element.querySelector(selector);
// characters of frames in one request; the server refuses bodies of more than 8 MB
const REQUEST = 6e6;

function summary({prompt, negative_prompt, seed, steps, guidance, sampler, edits, to_prompt, to_seed, place}) {
  const way = place
    ? `, ${Math.round(100 * place)} % of the way to ${to_prompt ? `"${to_prompt}", ` : ""}seed ${to_seed ?? seed}`
    : "";
  const words = (prompt ? `"${prompt}"` : "No prompt") + (negative_prompt ? `, not "${negative_prompt}"` : "");
  const edited = edits ? `, edits ${edits}` : "";
  return `${words}, seed ${seed}, ${steps} steps of ${sampler}, guidance ${guidance}${edited}${way}`;
}
facet.summary = summary;

// What a face started from beside its noise: "painting", "picture" or "".
const startOf = (facet.startOf = ({of, painting}) => (painting ? "painting" : of === "picture" ? "picture" : ""));

// --- saving ----------------------------------------------------------------------------------------------------------

function ready() {
  const face = facet.face;
  const from =
    {picture: "; the picture it started from is not", painting: ", and the part that was painted over"}[
      face && startOf(face)
    ] || "";
  // settings alone do not make a painted face again, and only the picture of one face holds the painting
  const where = face && startOf(face) === "painting" ? ` in the ${face.count > 1 ? "" : "picture and the "}ZIP` : "";
  part(".shown").textContent = !face
    ? ""
    : !face.record
      ? "This face came from another one: it has no settings of its own."
      : `${part(".settings").checked ? `Inside${where}: ` : "Left out: "}${summary(face.record)}${from}.`;
  part("[data-what=png]").textContent = face?.count > 1 ? `Save all ${face.count} as one picture` : "Save picture";
  part(".each").hidden = !(face?.count > 1);
  for (const button of element.querySelectorAll("[data-what]"))
    button.disabled = !face || (["webp", "gif", "strip"].includes(button.dataset.what) && face.frames.length < 2);
}

element.querySelector(".keep").addEventListener("click", event => {
  const what = event.target.closest("[data-what]")?.dataset.what,
    face = facet.face;
  if (!what || !face) return;
  if (what === "link") return link();
  if (what === "qr") return facet.code();
  facet.say("Preparing the file");
  // by name: the face holds every step twice more, and the server bounds what a request carries
  const {record, step, count, seeds} = face;
  facet.save({
    what,
    record,
    step,
    count,
    seeds,
    mask: face.painting?.mask,
    by: facet.by(),
    image: what === "frame" ? face.frames[face.step - 1] : face.image,
    settings: part(".settings").checked,
    frames: ["webp", "gif", "strip", "zip"].includes(what) ? face.frames : [],
  });
});
facet.save = payload => trigger("export", {...payload, frames: thinned(payload.frames)});

// Evenly spread frames, the first and the last among them: no more than one request may hold.
function thinned(frames) {
  const size = frames.reduce((sum, frame) => sum + frame.length, 0),
    most = Math.max(2, Math.floor((REQUEST * frames.length) / size));
  return most < frames.length
    ? Array.from({length: most}, (_, i) => frames[Math.round((i * (frames.length - 1)) / (most - 1))])
    : frames;
}
part(".settings").addEventListener("change", ready);

// The address that draws the face on screen again; null, with a line that says why, where there is none.
function address() {
  const face = facet.face;
  if (!face?.record) facet.say("This face came from another one: no settings make it again, so no link can hold it.");
  else if (startOf(face) === "picture") facet.say("This face started from a picture, which no link can hold.");
  else if (startOf(face))
    facet.say("A part of this face was painted over, which no link can hold: a saved picture does.");
  else {
    const found = new URL(location.href);
    found.search = new URLSearchParams(
      Object.entries(face.record).filter(([name, value]) => name === "prompt" || value !== ""),
    );
    found.hash = "";
    return found.href;
  }
  return null;
}

facet.code = () => {
  const link = address();
  if (link && !facet.showCode(link)) trigger("qr", {link});
};

async function link() {
  const found = address(),
    face = facet.face;
  if (!found) return;
  history.replaceState(null, "", found);
  facet.moveDraft();
  const field = part(".link");
  field.value = found;
  try {
    await navigator.clipboard.writeText(found);
    facet.say(
      face.count > 1
        ? "The link is copied. It opens the first of these faces: open another one to copy its link."
        : facet.local()
          ? "The link is copied. It holds all settings, but only this computer can open it."
          : "The link is copied. It holds all settings.",
    );
  } catch {
    // no permission, or no secure connection
    field.hidden = false;
    field.focus();
    field.select();
    facet.say("Copy the link from the field under the picture.");
  }
}

// --- bringing settings back ------------------------------------------------------------------------------------------

function bring(record, from) {
  // live mode does not draw over a face that comes with its settings
  facet.quietUntil = performance.now() + 1500;
  facet.offerDraft();
  trigger("restore", {record, from});
}
facet.bring = bring;

facet.bringDraft = values => {
  facet.returning = values;
  trigger("draft");
};

async function restore(file) {
  if (/\.zip$/i.test(file.name)) return facet.importGallery(file);
  const bytes = await facet.bytesOf(file),
    texts = await facet.textsOf(bytes),
    problem = facet.problemOf(bytes);
  // only names of what is not ours leave the browser
  const {facet: own, "facet-painting": painted, parameters, UserComment, ...others} = texts;
  // cameras write a comment too: only one that the server reads counts (LAST_LINES in ui/metadata.py)
  const settings = own ?? parameters ?? (/(^|\n)Steps: *\d+ *[,|] /.test(UserComment) ? UserComment : undefined);
  if (settings === undefined && problem) return facet.say(problem, "error");
  // the face that comes with them
  if (painted && !facet.mayShow()) return;
  settings === undefined ? facet.offer("Start from it", () => startFrom(file)) : facet.offerDraft();
  if (!Object.keys(texts).length) return facet.say("This picture holds no settings.", "error");
  facet.quietUntil = performance.now() + 1500;
  trigger("restore", {texts: {facet: own, parameters, UserComment}, others: Object.keys(others), from: "png"});
  if (painted) showPainted(own, painted);
}

const openTab = (facet.openTab = name =>
  [...document.querySelectorAll("[role=tab]")].find(tab => tab.textContent.trim() === name)?.click());
const bringBack = file => restore(file).catch(({message}) => facet.say(message, "error"));

// A picture that was dropped on the page goes where pictures are chosen, a part that exists only once it was opened.
function startFrom(file) {
  facet.brought = file;
  openTab("Picture");
  facet.takeBrought?.();
}

// the face itself, since its settings alone do not make it
function showPainted(own, painted) {
  try {
    const record = JSON.parse(own),
      {image, mask} = JSON.parse(painted),
      painting = facet.checks.painting({mask});
    if (painting && facet.checks.picture(image)) facet.showFace(image, record, "painted", null, {painting});
  } catch {
    /* damaged: the server says what of the settings can be used */
  }
}
part(".open input").addEventListener("change", event => {
  if (event.target.files[0]) bringBack(event.target.files[0]);
  event.target.value = "";
});
document.addEventListener("dragover", event => {
  if (event.dataTransfer?.types.includes("Files")) event.preventDefault();
});
document.addEventListener("drop", event => {
  if (!event.dataTransfer?.files.length || event.target.closest("input, .drop")) return;
  event.preventDefault();
  // where it is told what became of the file
  if (!element.offsetParent) openTab("Make a face");
  bringBack(event.dataTransfer.files[0]);
});

// Faces more or less like one, shown under Explore (whose own parts exist only once it was opened).
facet.alike = (image, less = false) => {
  openTab("Explore");
  trigger("alike", {image, less});
};
facet.alikeFace = less => {
  if (facet.face?.count > 1) facet.say("Open one of the faces first: CLIP looks at one.", "error");
  else if (facet.face) facet.alike(facet.face.image, less);
};

facet.hear("face", ready);
ready();
