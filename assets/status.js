// The page's one line for progress: its <p> stays the same element, so that screen readers announce each new text.
const line = element.querySelector("p");
function show({text = "", kind = ""}) {
  line.textContent = text;
  line.className = kind;
}
watch("value", () => show(props.value || {}));
window.facet.hear("line", show);
show(props.value || {});
