// What CLIP sees in the face on screen. Asks the server only while this panel is in sight; see `look` in ui/sees.py.
const facet = window.facet,
  part = selector => element.querySelector(selector),
  MARKS = {yes: "wanted", no: "not wanted"};
const [ONE, MANY] = [
  part(".intro").textContent,
  "CLIP compares one face with words: open one of these to see what it finds.",
];
const LOOKING = "CLIP is looking at the face.";
let asked = null,
  // the face whose figures are shown
  told = "",
  // how many were asked for, how many came to an end, and which was answered last
  asking = 0,
  ended = 0,
  answered = 0,
  seen = false,
  others = [];

function rows(found) {
  return found
    .map(
      ({label, score, wanted = ""}) => `<div class="bar" role="listitem" data-wanted="${wanted}">
    <span>${wanted ? `<b>${facet.escape(label)}</b> <small>${MARKS[wanted]}</small>` : facet.escape(label)}</span>
    <span class="groove"><span class="fill" style="display: block; width: ${100 * score}%"></span></span
     ><span class="value">${score.toFixed(2)}</span></div>`,
    )
    .join("");
}

function look(force) {
  const face = facet.face;
  if (!seen || !face) return;
  if (face.count > 1) {
    [asked, told] = [null, ""];
    part(".intro").textContent = MANY;
    return show({});
  }
  if (!force && asked === face.image) return;
  asked = face.image;
  others = (facet.gallery || [])
    .map(({image}) => image)
    .filter(image => image !== face.image)
    .slice(0, 12);
  const labels = part(".ask input")
    .value.split(",")
    .map(label => label.trim())
    .filter(Boolean);
  part(".intro").textContent = LOOKING;
  // another face's
  if (told !== face.image) show({});
  trigger("look", {image: face.image, labels, others, mark: ++asking});
}

function show({bars = [], labels = [], alike = []}) {
  part(".bars").innerHTML = rows(bars);
  part(".own").hidden = !labels.length;
  part(".own").innerHTML = rows(labels);
  part(".others").hidden = !alike.length;
  part(".faces").innerHTML = alike
    .map(
      (value, index) => `<figure><img src="${others[index]}" alt="Another face you made">${value.toFixed(2)}</figure>`,
    )
    .join("");
}

// an answer may come when another face is on screen
watch("value", () => {
  const found = props.value || {};
  if (found.mark !== asking || !asked) return;
  [answered, told] = [asking, asked];
  part(".intro").textContent = ONE;
  show(found);
});
// Whether or not the server had an answer: without one the face may be asked for again.
facet.looked = () => {
  ended += 1;
  if (ended < asking || answered === asking || !asked) return;
  asked = null;
  part(".intro").textContent = ONE;
};
part(".ask").addEventListener("submit", event => {
  event.preventDefault();
  look(true);
});
facet.hear("face", () => facet.later("look", 300, () => look(false)));
new IntersectionObserver(([entry]) => {
  seen = entry.isIntersecting;
  look(false);
}).observe(element);
