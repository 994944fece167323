// The page's one line for progress: its <p> stays the same element, so that screen readers announce each new text.
// Beside it stands what can be taken back, until it is taken back, something else is offered, or a new run begins.
const facet = window.facet,
  box = element.querySelector(".status"),
  line = element.querySelector("p"),
  button = element.querySelector("button");
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
  const over = !inSight || Boolean(document.fullscreenElement);
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
  button.textContent = label;
  button.hidden = !callback;
};
button.addEventListener("click", () => {
  const back = act;
  facet.offer("", null);
  back?.();
});
watch("value", () => show(props.value || {}));
facet.hear("line", show);
show(props.value || {});
