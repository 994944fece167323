// Painting over a part of the face, which is then drawn anew. The value is what the next run starts from: {image,
// mask}, or null. The mask has a sign for each pixel of the 64 px face, row by row: 1 is drawn anew. See ui/paint.py.
const facet = window.facet,
  part = selector => element.querySelector(selector),
  SIDE = 64,
  STEPS_BACK = 50;
const canvas = part("canvas"),
  context = canvas.getContext("2d"),
  scale = canvas.width / SIDE;
const within = (x, y, rx, ry) => (column, row) => Math.hypot((column - x) / rx, (row - y) / ry) < 1;
const inFace = within(32, 41, 13.5, 18),
  inHead = within(32, 33, 27, 31);
const PARTS = {
  hair: (x, y) => inHead(x, y) && !inFace(x, y),
  eyes: within(32, 32, 17, 6),
  nose: within(32, 39, 6, 7),
  mouth: within(32, 47, 11, 6),
  // of a face as the network draws them
  left: x => x < SIDE / 2,
  right: x => x >= SIDE / 2,
  around: (x, y) => !inHead(x, y),
};
const cells = Object.fromEntries(
  Object.entries(PARTS).map(([name, holds]) => [
    name,
    Array.from({length: SIDE * SIDE}, (_, i) => i).filter(i => holds((i % SIDE) + 0.5, Math.floor(i / SIDE) + 0.5)),
  ]),
);

// base: `image`, loaded
let mask = new Uint8Array(SIDE * SIDE),
  past = [],
  image = "",
  base = null;
let size = 7,
  erasing = false,
  brush = {x: SIDE / 2, y: SIDE / 2, shown: false},
  stroke = null;
// Whether `image` is a picture of one's own; the face on screen when this opened; whether a run has its face.
let own = false,
  onScreen = null,
  drawn = true;

const text = () => mask.join("");
const isOpen = () => !part(".open").hidden;

// --- what is seen ----------------------------------------------------------------------------------------------------

const layer = document.createElement("canvas");
layer.width = layer.height = SIDE;

function draw() {
  context.clearRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = base && base.naturalWidth > SIDE;
  if (base) context.drawImage(base, 0, 0, canvas.width, canvas.height);
  const pixels = layer.getContext("2d").createImageData(SIDE, SIDE);
  // stripes, so that it is seen on any colour
  mask.forEach((on, i) => {
    if (on)
      pixels.data.set(((i % SIDE) + Math.floor(i / SIDE)) % 4 < 2 ? [13, 148, 136, 200] : [240, 253, 250, 130], 4 * i);
  });
  layer.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(layer, 0, 0, canvas.width, canvas.height);
  const edge = new Path2D();
  for (let y = 0; y < SIDE; y++)
    for (let x = 0; x < SIDE; x++) {
      const on = mask[y * SIDE + x];
      if (x && on !== mask[y * SIDE + x - 1]) edge.rect(x * scale, y * scale, 0, scale);
      if (y && on !== mask[(y - 1) * SIDE + x]) edge.rect(x * scale, y * scale, scale, 0);
    }
  outline(edge);
  if (!brush.shown) return;
  const ring = new Path2D();
  ring.arc(brush.x * scale, brush.y * scale, (size * scale) / 2, 0, 2 * Math.PI);
  outline(ring);
}

// dark and light, one of which is seen
function outline(path) {
  for (const [width, colour] of [
    [5, "#134e4a"],
    [2, "#fff"],
  ]) {
    [context.lineWidth, context.strokeStyle] = [width, colour];
    context.stroke(path);
  }
}

function show() {
  const share = mask.reduce((sum, on) => sum + on, 0) / mask.length;
  part(".undo").disabled = !past.length;
  part(".clear").disabled = !share;
  part(".draw").disabled = !share || share === 1;
  part(".told").textContent = !share
    ? "Paint over what should change, or choose a part."
    : share === 1
      ? "All of it is painted over: leave a part."
      : `${Math.max(1, Math.round(100 * share))} % is painted over. ` +
        "Say in the prompt what the whole face should look like.";
  for (const [name, found] of Object.entries(cells))
    part(`[data-part=${name}]`).setAttribute(
      "aria-pressed",
      found.every(i => mask[i]),
    );
  draw();
}

// --- painting --------------------------------------------------------------------------------------------------------

function remember() {
  past = [...past, mask.slice()].slice(-STEPS_BACK);
}

function dab(x, y, on) {
  for (let row = 0; row < SIDE; row++)
    for (let column = 0; column < SIDE; column++)
      if (Math.hypot(column + 0.5 - x, row + 0.5 - y) <= size / 2) mask[row * SIDE + column] = on;
}

function line(from, to, on) {
  const steps = Math.max(1, Math.ceil(Math.hypot(to.x - from.x, to.y - from.y)));
  for (let i = 0; i <= steps; i++)
    dab(from.x + ((to.x - from.x) * i) / steps, from.y + ((to.y - from.y) * i) / steps, on);
}

// a stroke has ended: it is what the next run draws
function changed() {
  show();
  set(isOpen() && !part(".draw").disabled ? {image, mask: text()} : null);
}

function set(value) {
  props.value = value;
  trigger("input");
}

function undo() {
  if (!past.length) return;
  mask = past.pop();
  changed();
}

const at = event => {
  const box = canvas.getBoundingClientRect();
  return {
    x: ((event.clientX - box.x) / box.width) * SIDE,
    y: ((event.clientY - box.y) / box.height) * SIDE,
    shown: event.pointerType !== "touch",
  };
};
canvas.addEventListener("pointerdown", event => {
  if (event.button) return;
  remember();
  stroke = brush = at(event);
  canvas.setPointerCapture(event.pointerId);
  dab(stroke.x, stroke.y, Number(!erasing));
  draw();
});
canvas.addEventListener("pointermove", event => {
  brush = at(event);
  if (stroke) line(stroke, brush, Number(!erasing));
  if (stroke) stroke = brush;
  draw();
});
for (const name of ["pointerup", "pointercancel"])
  canvas.addEventListener(name, () => {
    if (stroke) changed();
    stroke = null;
  });
for (const name of ["pointerleave", "blur"])
  canvas.addEventListener(name, () => {
    brush = {...brush, shown: false};
    draw();
  });
canvas.addEventListener("keydown", event => {
  const [dx, dy] = {ArrowLeft: [-2, 0], ArrowRight: [2, 0], ArrowUp: [0, -2], ArrowDown: [0, 2]}[event.key] || [0, 0];
  const paints = event.key === " ",
    erases = ["Delete", "Backspace"].includes(event.key),
    held = value => Math.min(SIDE, Math.max(0, value));
  if (event.ctrlKey || event.metaKey || event.altKey || !(dx || dy || paints || erases)) return;
  event.preventDefault();
  brush = {x: held(brush.x + dx), y: held(brush.y + dy), shown: true};
  if (!paints && !erases) return draw();
  remember();
  dab(brush.x, brush.y, Number(paints && !erasing));
  changed();
});
element.addEventListener("keydown", event => {
  if (!isOpen() || event.key !== "Escape" || facet.running) return;
  event.stopPropagation();
  close(true);
});
// before it undoes anything else
document.addEventListener(
  "keydown",
  event => {
    if (!isOpen() || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.key.toLowerCase() !== "z") return;
    if (event.target.closest?.("input:not([type=range], [type=checkbox], [type=radio]), textarea")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    undo();
  },
  true,
);

// --- opening and closing ---------------------------------------------------------------------------------------------

async function open(address, isOwn) {
  [image, base, own] = [address, await facet.load(address), isOwn];
  onScreen = facet.face?.id;
  facet.painting = true;
  part(".open").hidden = false;
  part(".begin").hidden = true;
  part(".former").hidden = own || !facet.face?.painting?.before || facet.face.painting.before === image;
  document.querySelector("#columns").classList.add("painting");
  changed();
  canvas.scrollIntoView({block: "nearest"});
  canvas.focus({preventScroll: true});
}

// the mask stays, for another try
function close(back) {
  if (!isOpen()) return;
  part(".open").hidden = true;
  part(".begin").hidden = false;
  facet.painting = false;
  document.querySelector("#columns").classList.remove("painting");
  if (!back) return;
  set(null);
  part(".begin").focus();
}

facet.mask = text;
facet.paint = (address, isOwn = false) => open(address, isOwn).catch(({message}) => facet.say(message, "error"));
part(".begin").addEventListener("click", () => {
  if (!facet.face || !drawn) return facet.say("There is no finished face yet: wait for one.", "error");
  if (facet.face.count > 1) return facet.say("Open one of the faces first: a part is painted over on one.", "error");
  const known = facet.face.painting?.mask;
  if (known && known !== text()) {
    remember();
    mask = Uint8Array.from(known, Number);
  }
  facet.paint(facet.face.image);
});
part(".former").addEventListener("click", () => facet.paint(facet.face.painting.before));
part(".close").addEventListener("click", () => close(true));
part(".draw").addEventListener("click", () => document.querySelector("#generate").click());
part(".undo").addEventListener("click", undo);
part(".clear").addEventListener("click", () => {
  remember();
  mask = new Uint8Array(SIDE * SIDE);
  changed();
});
part(".erase").addEventListener("click", () => {
  erasing = !erasing;
  part(".erase").setAttribute("aria-pressed", erasing);
});
element.addEventListener("click", event => {
  const {size: chosen, part: name} = event.target.closest("button")?.dataset || {};
  if (chosen) {
    size = Number(chosen);
    element
      .querySelectorAll("[data-size]")
      .forEach(button => button.setAttribute("aria-pressed", button.dataset.size === chosen));
    draw();
  }
  if (!name) return;
  remember();
  // a second click takes it away
  const on = Number(!cells[name].every(i => mask[i]));
  cells[name].forEach(i => {
    mask[i] = on;
  });
  changed();
});

// a run: its steps are shown where the face is
facet.hear("begun", () => {
  // what a painted face keeps: a picture of one's own is not kept
  if (isOpen()) facet.drawing = {mask: text(), ...(!own && {before: image})};
  drawn = false;
  close(false);
});
facet.hear("over", () => {
  drawn = true;
  if (!isOpen() && props.value) set(null);
});
facet.hear("face", face => {
  drawn = true;
  if (face.id !== onScreen) close(true);
});
