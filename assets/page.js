() => {
  // Ctrl+Enter (or Cmd+Enter) in a prompt presses Generate.
  document.addEventListener("keydown", event => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.closest("#prompt, #negative")) {
      event.preventDefault();
      document.querySelector("#generate").click();
    }
  });
  // gradio's fieldsets have no legend: let the heading that it draws name the group.
  document.querySelectorAll("fieldset.attributes").forEach((group, index) => {
    const heading = group.querySelector("[data-testid=block-info]");
    heading.id = "group-" + index;
    heading.setAttribute("role", "heading");
    heading.setAttribute("aria-level", "3");
    group.setAttribute("aria-labelledby", heading.id);
  });
}
