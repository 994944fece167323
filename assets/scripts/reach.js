// On a narrow page Generate stays at the bottom: what gets the focus is not left under it.
document.addEventListener("focusin", ({target}) =>
  requestAnimationFrame(() => {
    const bar = document.querySelector("#actions");
    if (!bar || getComputedStyle(bar).position !== "fixed" || bar.contains(target) || !target.matches(":focus-visible"))
      return;
    const under = target.getBoundingClientRect().bottom + 8 - bar.getBoundingClientRect().top;
    if (under > 0 && document.activeElement === target) scrollBy(0, under);
  }),
);
