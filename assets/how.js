// One figure of "How it works". It asks for its picture whenever it is in sight; the server answers only where what it shows
// (data-of) is out of date: see `figure` in ui/how/page.py.
let inSight = false, waiting = 0;

function look() {
  waiting ||= setTimeout(() => {
    waiting = 0;
    if (inSight) trigger("look", {shown: element.querySelector("[data-of]")?.dataset.of || ""});
  }, 50);
}
new IntersectionObserver(entries => { inSight = entries.at(-1).isIntersecting; look(); }, {rootMargin: "150px"}).observe(element);
document.addEventListener("how-look", look);  // a slider of the tab was moved

// "Watch it learn" plays in the browser alone.
let playing = 0;

function showTile(learn, index) {
  const images = JSON.parse(learn.dataset.images), columns = +learn.dataset.columns, sheet = learn.querySelector(".sheet");
  sheet.style.setProperty("--x", index % columns);
  sheet.style.setProperty("--y", Math.floor(index / columns));
  learn.querySelector("output").textContent = images[index].toLocaleString("en");
  learn.querySelector("input").value = index;
}

function stop(learn) {
  clearInterval(playing);
  playing = 0;
  learn.querySelector("button").textContent = "Play";
}

element.addEventListener("input", event => {
  const learn = event.target.closest(".learn");
  if (!learn) return;
  stop(learn);
  showTile(learn, +event.target.value);
});
element.addEventListener("click", event => {
  const learn = event.target.closest("button")?.closest(".learn");
  if (!learn) return;
  if (playing) return stop(learn);
  const slider = learn.querySelector("input"), last = +slider.max;
  if (+slider.value === last) showTile(learn, 0);
  event.target.textContent = "Pause";
  playing = setInterval(() => {
    showTile(learn, +slider.value + 1);
    if (+slider.value === last) stop(learn);
  }, 350);
});
