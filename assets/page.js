() => {
  // Ctrl+Enter (or Cmd+Enter) anywhere in the prompt presses Generate.
  document.addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.closest("#prompt, #negative")) {
      event.preventDefault();
      document.querySelector("#generate").click();
    }
  });
}
