// One figure of "How it works". It asks for its picture whenever it is in sight; the server answers only where what it
// shows (data-of) is out of date: see `figure` in ui/how/page.py. What plays in the browser alone is below.
const facet = window.facet;
let inSight = false,
  waiting = 0;

// what is scrolled past quickly is not asked for
function look(delay = 50) {
  waiting ||= setTimeout(() => {
    waiting = 0;
    if (inSight && !window.facetOpening) trigger("look", {shown: element.querySelector("[data-of]")?.dataset.of || ""});
  }, delay);
}
new IntersectionObserver(
  entries => {
    inSight = entries.at(-1).isIntersecting;
    look();
  },
  {rootMargin: "150px"},
).observe(element);
// the server had no answer
element.addEventListener("click", event => {
  if (event.target.closest(".problem button")) look(0);
});
// a slider of the tab was moved
document.addEventListener("how-look", () => look(0));
facet?.hear("face", face => {
  if (face?.finished) look();
});

const all = selector => element.querySelectorAll(selector),
  one = selector => element.querySelector(selector);

// --- what a slider of the figure itself moves ------------------------------------------------------------------------

const shows = {
  "learn-at"(index) {
    const learn = one(".learn"),
      images = JSON.parse(learn.dataset.images),
      columns = +learn.dataset.columns,
      sheet = one(".sheet");
    sheet.style.setProperty("--x", index % columns);
    sheet.style.setProperty("--y", Math.floor(index / columns));
    one("output").textContent = images[index].toLocaleString("en");
  },
  "samplers-at"(index) {
    one("label output").textContent = JSON.parse(one(".samplers").dataset.steps)[index];
    for (const figure of all("figure[data-distances]")) {
      figure.querySelector(".cell").style.setProperty("--column", index);
      figure.querySelector("output").textContent = JSON.parse(figure.dataset.distances)[index].toFixed(4);
    }
  },
  "film-teacher": index => film("teacher", index),
  "film-student": index => film("student", index),
  "glance-at"(step) {
    const [x, predicted] = step
      ? JSON.parse(one(".glance").dataset.steps)[step - 1]
      : [one('[data-part="noise"] image').getAttribute("href")];
    for (const image of all('[data-part="x"] image')) image.setAttribute("href", x);
    for (const image of all('[data-part="predicted"] image')) image.setAttribute("href", predicted || x);
    one("output").textContent = step;
  },
};

function film(name, index) {
  const part = one(`.film[data-path="${name}"]`);
  part.style.setProperty("--column", index);
  part.querySelector("output").textContent = index + 1;
  for (const circle of all(`circle.${name}`)) circle.classList.toggle("now", +circle.dataset.at === index);
}

element.addEventListener("input", event => {
  if (!shows[event.target.id]) return;
  stop();
  shows[event.target.id](+event.target.value);
});

// --- Play ------------------------------------------------------------------------------------------------------------

let playing = 0;

function stop() {
  clearInterval(playing);
  playing = 0;
  for (const part of all(".now[data-part]")) part.classList.remove("now");
  if (one("button")) one("button").textContent = "Play";
}

function light(name) {
  for (const part of all("[data-part]")) part.classList.toggle("now", part.dataset.part === name);
}

element.addEventListener("click", event => {
  if (!event.target.closest("button") || event.target.closest(".problem")) return;
  if (playing) return stop();
  const slider = one("input[type=range]"),
    last = +slider.max,
    glance = slider.id === "glance-at";
  let next = +slider.value === last ? 0 : +slider.value,
    before = glance ? ["words", "tokens", "vector", "noise"] : [];
  let part = 0,
    after = glance ? ["srresnet", "large"] : [];
  event.target.textContent = "Pause";
  const show = value => {
    slider.value = value;
    shows[slider.id](value);
  };
  show(next);
  playing = setInterval(
    () => {
      if (before.length) return light(before.shift());
      if (next < last) {
        if (glance && part < 2) return light(["unet", "predicted"][part++]);
        part = 0;
        show(++next);
        if (glance) light("x");
      } else if (after.length) light(after.shift());
      if (next >= last && !after.length) {
        clearInterval(playing);
        playing = setTimeout(stop, glance ? 600 : 0);
      }
    },
    slider.id === "glance-at" ? 120 : 350,
  );
});

// The drawing at the top follows a run on the first tab.
if (element.id === "how-glance")
  facet?.hear("face", face => {
    if (!facet.running || !face?.image || !one('[data-part="x"]')) return;
    for (const image of all('[data-part="x"] image')) image.setAttribute("href", face.image);
    light(face.step % 2 ? "unet" : "x");
  });

// --- attention: the place that the visitor points at -----------------------------------------------------------------

const root = element.closest("#how");

// in [0, 1)
function point(x, y) {
  [facet.pointX, facet.pointY] = [x, y].map(value => Math.min(0.999, Math.max(0, value)));
  for (const side of [8, 16]) {
    root.style.setProperty(`--col${side}`, Math.floor(facet.pointX * side));
    root.style.setProperty(`--row${side}`, Math.floor(facet.pointY * side));
  }
  const attend = one(".attend[data-strongest]"),
    side = +attend.dataset.side;
  const [column, row] = [facet.pointX, facet.pointY].map(value => Math.floor(value * side));
  const strongest = JSON.parse(attend.dataset.strongest)[row * side + column];
  const text =
    `Row ${row + 1}, column ${column + 1} of ${side}: looks most at row ` +
    `${Math.floor(strongest / side) + 1}, column ${(strongest % side) + 1}.`;
  // a new text is read aloud, also the same one
  if (one("#point-said").textContent !== text) one("#point-said").textContent = text;
}

for (const kind of ["pointermove", "pointerdown"])
  element.addEventListener(kind, event => {
    const place = event.target.closest(".point");
    if (!place) return;
    const box = place.getBoundingClientRect();
    point((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  });
element.addEventListener("keydown", event => {
  const move = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
  if (!move || !event.target.closest(".point")) return;
  event.preventDefault();
  const side = +one(".attend").dataset.side;
  point((facet.pointX ?? 0.34) + move[0] / side, (facet.pointY ?? 0.4) + move[1] / side);
});
