// The page's one line for progress: its <p> stays the same element, so that screen readers announce each new text.
// Beside it stands what can be taken back, until it is taken back, something else is offered, or a new run begins.
const facet = window.facet,
  line = element.querySelector("p"),
  button = element.querySelector("button");
let act = null;

function show({text = "", kind = ""}) {
  line.textContent = text;
  line.className = kind;
}

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
