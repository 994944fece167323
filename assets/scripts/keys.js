// Ctrl+Enter (or Cmd+Enter) presses Generate from anywhere, Escape presses Stop.
document.addEventListener(
  "keydown",
  event => {
    // closes the list of an input method (Safari: 229)
    if (event.isComposing || event.keyCode === 229) return;
    // which lies over the page, and which Escape closes
    if (document.querySelector("dialog[open]")) return;
    const wanted =
      event.key === "Enter" && (event.ctrlKey || event.metaKey) ? "#generate" : event.key === "Escape" ? "#stop" : "";
    const button = wanted && document.querySelector(wanted);
    if (!button || button.disabled || !button.offsetParent) return;
    event.preventDefault();
    button.click();
  },
  true,
);
