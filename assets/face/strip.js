// Faces side by side that differ in one thing, or the frames of a walk from one to another; see ui/explore.py.
const facet = window.facet,
  part = selector => element.querySelector(selector),
  range = part(".bar input");
let faces = [],
  at = 0,
  timer = 0,
  way = 1;

function reveal() {
  if (element.offsetParent)
    part(".strip").scrollIntoView({block: "nearest", behavior: facet.calm() ? "auto" : "smooth"});
}

function show({title = "", kind = "", faces: found = []}) {
  stop();
  part(".strip").classList.remove("busy");
  faces = found;
  part(".title").textContent = title;
  part(".walk").hidden = kind !== "walk";
  part(".faces").innerHTML =
    kind === "walk"
      ? ""
      : faces
          .map(
            ({image, caption}, index) =>
              `<button type="button" data-index="${index}" aria-label="Open: ${facet.escape(caption)}"><img
                  src="${image}" alt=""><span>${facet.escape(caption)}</span></button>`,
          )
          .join("");
  if (kind !== "walk") return;
  range.max = faces.length - 1;
  place(0);
  if (!facet.calm()) play();
}

function place(index) {
  at = index;
  range.value = at;
  range.setAttribute("aria-valuetext", `${Math.round((100 * at) / (faces.length - 1))} % of the way`);
  part(".frame").src = faces[at].image;
}

function stop() {
  clearInterval(timer);
  timer = 0;
  part(".go").textContent = "Play";
}

// there and back
function play() {
  stop();
  timer = setInterval(() => {
    if (!element.offsetParent) return stop();
    if (at + way < 0 || at + way >= faces.length) way = -way;
    place(at + way);
  }, 80);
  part(".go").textContent = "Pause";
}

function open(face) {
  if (!facet.mayShow()) return;
  // which draws it in full
  if (face.kind === "idea") return facet.bring(face.record, "idea");
  facet.showFace(face.image, face.record, face.kind || "strip", null, {painting: facet.checks.painting(props.value)});
  if (face.record) facet.bring(face.record, "strip");
}

part(".here").addEventListener("click", () => open(faces[at]));
part(".go").addEventListener("click", () => (timer ? stop() : play()));
range.addEventListener("input", () => {
  stop();
  place(Number(range.value));
});
part(".save").addEventListener("click", () => {
  const images = faces.map(({image}) => image);
  facet.say("Preparing the file");
  facet.save({what: "webp", image: images[0], frames: [...images, ...images.slice(1, -1).reverse()], record: null});
});
part(".faces").addEventListener("click", event => {
  const face = faces[event.target.closest("button")?.dataset.index];
  if (face) open(face);
});
facet.hear("exploring", () => {
  stop();
  part(".walk").hidden = true;
  part(".strip").classList.add("busy");
  part(".title").textContent = "The faces are being drawn.";
  part(".faces").innerHTML = '<span class="coming"></span>'.repeat(5);
  reveal();
});
// stopped: what was there before
facet.hear("explored", () => {
  if (part(".strip").classList.contains("busy")) show(props.value || {});
});
watch("value", () => {
  show(props.value || {});
  requestAnimationFrame(reveal);
});
if (facet.exploring.size) requestAnimationFrame(reveal);
show(props.value || {});
