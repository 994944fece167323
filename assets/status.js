// The page's one live region: its <p> stays the same element, so that screen readers announce each new text.
const line = element.querySelector("p");
function show() {
  const {text = "", kind = ""} = props.value || {};
  line.textContent = text;
  line.className = kind;
}
watch("value", show);
show();
