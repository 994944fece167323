// The faces made in this browser, with their steps: opened again, deleted one by one, taken away and brought back as
// one ZIP.
const facet = window.facet,
  part = selector => element.querySelector(selector),
  box = part(".gallery");
const MOST = 500,
  MOST_STEPS = 64,
  FORMER = "facet.gallery";
// kinds of faces that are remembered
const OWN = ["", "picture", "painted", "frame", "variation", "strip"];
const FULL =
  "This browser's store is full: the face is on screen, but not in the gallery. " +
  "Delete some faces, or export them first.";
let faces = (facet.gallery = []);

async function show() {
  faces = facet.gallery = await facet.store.faces();
  box.hidden = !faces.length;
  const focused = document.activeElement,
    place = [...part(".faces").children].indexOf(focused);
  part(".count").textContent = faces.length === 1 ? "Your first face" : `Your ${faces.length} faces`;
  part(".faces").innerHTML = faces
    .map(({id, image, record}, index) => {
      const told = facet.escape(record ? facet.summary(record) : "no settings");
      return `<button type="button" class="open" data-id="${id}" aria-label="Face ${index + 1}: ${told}"
         title="${told}"><img src="${image}" alt="" loading="lazy"></button>`;
    })
    .join("");
  if (place < 0) return;
  // the focus stays on its face, or where that was
  const same = part(`.faces [data-id="${focused.dataset.id}"]`),
    near = [...part(".faces").children].slice(0, place + 1).at(-1);
  (same || near || document.querySelector("#generate")).focus({preventScroll: true});
}

// Keep new faces; those whose picture is there already are left out. Returns how many were kept.
async function keep(added) {
  const known = new Set(faces.map(({image}) => image)),
    fresh = added.filter(({image}) => !known.has(image) && known.add(image));
  if (faces.length + fresh.length > MOST)
    throw new Error(`The gallery holds up to ${MOST} faces: delete some, or export them first.`);
  const taken = new Set(faces.map(({id}) => id));
  // never in the place of another
  for (const one of fresh) {
    while (taken.has(one.id)) one.id += 1;
    taken.add(one.id);
  }
  try {
    await facet.store.add(fresh);
  } catch (error) {
    throw error.name === "QuotaExceededError" ? new Error(FULL) : error;
  }
  await show();
  return fresh.length;
}

async function remove(some, told) {
  const whole = await facet.store.whole(some);
  await facet.store.remove(some.map(({id}) => id));
  await show();
  facet.say(told);
  facet.offer(some.length === 1 ? "Bring it back" : "Bring them back", () =>
    keep(whole).then(() => facet.say("Brought back."), problem),
  );
}

function problem({message}) {
  facet.say(message, "error");
}

async function open(face) {
  if (!facet.mayShow()) return;
  const steps = await facet.store.steps(face.id);
  facet.showFace(face.image, face.record, "gallery", steps?.frames?.length > 1 ? steps : null, {
    of: face.kind,
    painting: face.painting,
  });
  if (face.record) facet.bring(face.record, "gallery");
}

// A child of the face on screen and another one: noise and words half-way between; a slider leads from one to the
// other.
function cross(other) {
  if (!facet.mayShow()) return;
  if (facet.face?.count > 1) return facet.say("Open one of the faces first: one is crossed with another.", "error");
  const mine = facet.face?.record,
    parents = [mine, other.record];
  if (parents.some(record => !record) || facet.startOf(facet.face) || facet.startOf({...other, of: other.kind}))
    return facet.say("One of the two was not drawn from words alone: choose faces that were.", "error");
  if (parents.some(record => record.place))
    return facet.say("One of the two was made by crossing: choose faces that were not.", "error");
  // face and slider
  document.querySelector("#edits").scrollIntoView({block: "end"});
  facet.bring({...mine, to_prompt: other.record.prompt, to_seed: other.record.seed, place: 0.5}, "cross");
}

// The face on screen and another one, step by step.
async function compare(other) {
  const face = facet.face;
  if (!face || face.count > 1) throw new Error("Open one of the faces on screen first: two are compared.");
  if (face.last && face.image === other.image) throw new Error("This is the face on screen: choose another one.");
  const steps = await facet.store.steps(other.id);
  facet.pair(
    {image: face.image, record: face.record, frames: face.steps.frames},
    {...other, frames: steps?.frames || []},
  );
}

// "Cross with…", "Compare with…" and "Delete…" wait for a face to be chosen.
let mode = "";
const HINTS = {
  cross: "Choose a face to cross with the one on screen.",
  compare: "Choose a face to compare with the one on screen.",
  delete: "Choose a face to delete.",
};

function setMode(name) {
  mode = mode === name ? "" : name;
  for (const other of Object.keys(HINTS)) part(`.${other}`).setAttribute("aria-pressed", mode === other);
  if (mode) facet.say(HINTS[mode]);
}

// --- one ZIP: the small pictures for people, gallery.json for this page ----------------------------------------------

const bytes = address => Uint8Array.from(atob(address.split(",")[1]), sign => sign.charCodeAt(0));

async function save() {
  const whole = await facet.store.whole(faces),
    files = whole.map(({image, record}, index) => [
      `face-${index + 1}${record ? `-seed-${record.seed}` : ""}.png`,
      bytes(image),
    ]);
  files.push(["gallery.json", new TextEncoder().encode(JSON.stringify({facet: 1, faces: whole}))]);
  const address = URL.createObjectURL(facet.zip.pack(files));
  facet.download(address, "facet-gallery.zip");
  setTimeout(() => URL.revokeObjectURL(address), 60000);
  facet.say(`Saved ${faces.length === 1 ? "one face" : `${faces.length} faces`} as facet-gallery.zip.`);
}

const {picture} = facet.checks;
const words = text => typeof text === "string" && text.length < 200;

// of a file, which may hold anything; null if it cannot be shown
function face({id, image, record, kind, painting, steps}) {
  // a time in milliseconds; beyond whole numbers none is the next one
  if (!picture(image) || !Number.isSafeInteger(id) || id < 1 || id > 1e15) return null;
  const frames = (Array.isArray(steps?.frames) ? steps.frames : [])
    .filter(frame => picture(frame?.denoised) && Number.isFinite(frame.noise_level) && Number.isInteger(frame.step))
    .slice(0, MOST_STEPS)
    .map(({step, noise_level, denoised, noisy, influence}) => ({
      step,
      noise_level,
      denoised,
      noisy: picture(noisy) ? noisy : denoised,
      ...(picture(influence) && {influence}),
    }));
  const decided = (Array.isArray(steps?.decided) ? steps.decided : []).filter(
    one => one && words(one.label) && (one.step === null || Number.isInteger(one.step)),
  );
  return {
    id,
    image,
    record: record && typeof record === "object" ? record : null,
    kind: words(kind) ? kind : "",
    ...(facet.checks.painting(painting) && {painting: facet.checks.painting(painting)}),
    steps: {total: Number.isInteger(steps?.total) ? steps.total : frames.length, frames, decided},
  };
}

async function load(file) {
  let found;
  try {
    found = JSON.parse(new TextDecoder().decode(await facet.zip.unpack(await file.arrayBuffer(), "gallery.json")));
  } catch {
    found = null;
  }
  if (found?.facet !== 1 || !Array.isArray(found.faces))
    throw new Error("This file is no gallery of this page: nothing was changed.");
  const usable = found.faces.map(one => one && face(one)).filter(Boolean);
  const kept = await keep(usable),
    left = found.faces.length - usable.length;
  facet.say(
    `${kept} of ${found.faces.length} faces were added.${left ? ` ${left} could not be read.` : ""}`,
    left ? "error" : "",
  );
}

// --- the visitor -----------------------------------------------------------------------------------------------------

part(".faces").addEventListener("click", event => {
  const button = event.target.closest("button"),
    found = button && faces.find(({id}) => id === Number(button.dataset.id));
  if (!found) return;
  const act = {
    delete: () => remove([found], "The face is deleted."),
    cross: () => cross(found),
    compare: () => compare(found),
  }[mode];
  Promise.resolve()
    .then(act || (() => open(found)))
    .catch(problem);
  if (mode) setMode(mode);
});
part(".faces").addEventListener("keydown", event => {
  const found = event.key === "Delete" && faces.find(({id}) => id === Number(event.target.dataset.id));
  if (found) remove([found], "The face is deleted.").catch(problem);
});
for (const name of Object.keys(HINTS)) part(`.${name}`).addEventListener("click", () => setMode(name));
part(".forget").addEventListener("click", () =>
  remove(faces, faces.length === 1 ? "The face is deleted." : `${faces.length} faces are deleted.`).catch(problem),
);
part(".export").addEventListener("click", () => save().catch(problem));
part(".import input").addEventListener("change", event => {
  if (event.target.files[0]) load(event.target.files[0]).catch(problem);
  event.target.value = "";
});
facet.importGallery = file => load(file).catch(problem);

facet.hear("face", face => {
  if (
    !face.last ||
    !face.finished ||
    face.count > 1 ||
    !OWN.includes(face.kind) ||
    faces.some(({image}) => image === face.image)
  )
    return;
  const {frames, total, decided} = face.steps;
  const most =
    frames.length <= MOST_STEPS
      ? frames
      : Array.from({length: MOST_STEPS}, (_, i) => frames[Math.round((i * (frames.length - 1)) / (MOST_STEPS - 1))]);
  // in the order they were made
  const id = Math.max(Date.now(), (faces[0]?.id || 0) + 1);
  keep([
    {
      id,
      image: face.image,
      record: face.record,
      kind: face.kind,
      ...(face.painting && {painting: face.painting}),
      steps: {total, frames: most, decided},
    },
  ]).catch(problem);
});

async function begin() {
  await show();
  // what an earlier version of this page kept
  try {
    const former = JSON.parse(localStorage.getItem(FORMER)) || [];
    if (former.length)
      await keep(
        former
          .reverse()
          .map((one, index) => face({...one, id: index + 1}))
          .filter(Boolean),
      );
    localStorage.removeItem(FORMER);
  } catch {
    /* not allowed, or no gallery */
  }
}
begin();
