// The page's one line for progress: its <p> stays the same element, so that screen readers announce each new text.
// Beside it stands what can be taken back, until it is taken back, something else is offered, or a new run begins.
const facet = window.facet,
  box = element.querySelector(".status"),
  line = element.querySelector("p"),
  button = element.querySelector("button"),
  // while something fills the screen, nothing outside of it can be pressed
  inside = button.cloneNode();
inside.className = "offered";
let act = null,
  inSight = true;

function show({text = "", kind = ""}) {
  line.textContent = text;
  line.className = kind;
  box.classList.add("new");
  facet.later("told", 8000, () => box.classList.remove("new"));
}

// Where the line is out of sight, under a long page or behind a face on the whole screen, what is new in it lies over
// the page.
function place() {
  const whole = document.fullscreenElement;
  if (whole) whole.append(inside);
  else inside.remove();
  const over = !inSight || Boolean(whole);
  if (over !== Boolean(box.popover)) element.style.minHeight = over ? `${box.offsetHeight}px` : "";
  // and again, above what fills the screen now
  box.popover = null;
  if (!over) return;
  box.popover = "manual";
  box.showPopover();
}
new IntersectionObserver(entries => {
  inSight = entries.at(-1).isIntersecting;
  place();
}).observe(element);
document.addEventListener("fullscreenchange", place);

facet.offer = (label, callback) => {
  act = callback;
  for (const one of [button, inside]) {
    one.textContent = label;
    one.hidden = !callback;
  }
};
function press(event) {
  const back = act;
  facet.offer("", null);
  // the button is gone; after a click nothing needs the focus
  const next = document.fullscreenElement ? ".stage" : "#generate";
  if (!event.detail) document.querySelector(next).focus({preventScroll: true});
  back?.();
}
for (const one of [button, inside]) one.addEventListener("click", press);
watch("value", () => show(props.value || {}));
facet.hear("line", show);
show(props.value || {});
