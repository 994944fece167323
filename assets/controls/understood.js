// What is read in the prompt that words and boxes make together; see `read` in ui/words.py.
const facet = window.facet,
  part = selector => element.querySelector(selector);
const TOLD = {followed: "drawn", near: "only something near it is drawn", unknown: "cannot be drawn"};

// a concept is read from the tables alone, without a probability
const certainty = sure => (sure ? `${Math.round(100 * sure)} % sure` : "");

function show({
  prompt = "",
  parts = [],
  chips = [],
  unknown = [],
  near = [],
  instead = [],
  drawn = "",
  cut = "",
  warning = "",
  said = {present: [], absent: []},
}) {
  part(".chips").innerHTML = chips
    .map(({label, kind, sure}) => `<span class="chip ${kind}" title="${certainty(sure)}">${facet.escape(label)}</span>`)
    .join("");
  requestAnimationFrame(scrolled);
  const buttons = instead
    .map(({name, label}) => `<button type="button" data-name="${name}">${facet.escape(label)}</button>`)
    .join("");
  part(".unknown").innerHTML = unknown.length
    ? `Cannot be drawn: ${unknown.map(word => `<b>${facet.escape(word)}</b>`).join(", ")}.` +
      (buttons ? ` Nearest: ${buttons}` : "")
    : "";
  part(".near").textContent = near.length ? `Drawn only roughly: ${near.join(", ")}.` : "";
  part(".warning").textContent = [warning, cut].filter(Boolean).join(" ");
  part(".reads").innerHTML = prompt
    ? "Prompt: " +
      parts
        .map(({text, kind}) =>
          kind ? `<span class="${kind}" title="${TOLD[kind]}">${facet.escape(text)}</span>` : facet.escape(text),
        )
        .join("")
    : "No words, no boxes: any face may come.";
  part(".drawn").textContent = drawn ? `Read as: ${drawn}` : "";
  facet.tell("said", said);
}

// on a phone they may be wider than the screen: then keys scroll them too
function scrolled() {
  const list = part(".chips");
  list.tabIndex = list.scrollWidth > list.clientWidth ? 0 : -1;
}
new ResizeObserver(scrolled).observe(part(".chips"));

element.addEventListener("click", event => {
  const name = event.target.closest("button")?.dataset.name;
  if (!name) return;
  facet.tell("press", name);
  // the button goes with the answer; after a finger, a keyboard would come up
  if (!event.detail) document.querySelector("#prompt textarea").focus();
});

facet.understand = () => trigger("ask");
// Until the first words are read nothing is said of them.
watch("value", () => show(props.value || {}));
if (props.value) show(props.value);
