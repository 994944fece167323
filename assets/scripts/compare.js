// Two enlargements of one face with a divider between them: pixels or bicubic left of it, SRResNet or its crisp form
// right of it.
window.facet.comparison = (player, touch, changed) => {
  const part = selector => player.querySelector(selector),
    split = part(".split");
  let run = null,
    left = "pixels",
    right = "crisp",
    wiping = 0;

  // The crisp one comes a moment after the other, and may not be there at all.
  function shown() {
    return run?.large?.[right] ? right : "srresnet";
  }

  function set(value) {
    split.value = value;
    part(".plain").style.clipPath = `inset(0 ${100 - value}% 0 0)`;
    part(".divider").style.left = `${value}%`;
    part(".divider").hidden = value <= 0 || value >= 100;
    const name = shown() === "crisp" ? "crisp SRResNet" : "SRResNet";
    split.setAttribute("aria-valuetext", value > 0 ? `${value} % ${left}, the rest ${name}` : `All ${name}`);
    part(".enlargements")
      .querySelectorAll("button")
      .forEach(button => button.setAttribute("aria-pressed", button.dataset.by === (value > 0 ? left : shown())));
  }

  function fill() {
    part(".plain").src = left === "pixels" ? run.image : run.large.bicubic;
    part(".plain").classList.toggle("pixelated", left === "pixels");
    part(".srresnet").src = run.large[shown()];
    part("[data-by=crisp]").hidden = !run.large.crisp;
    set(Number(split.value));
    changed();
  }

  function use(shownRun) {
    if (run !== shownRun) left = "pixels";
    run = shownRun;
    fill();
  }

  function still() {
    cancelAnimationFrame(wiping);
    wiping = 0;
  }

  // The enlargement wipes over the pixels, once.
  function wipe() {
    const start = performance.now();
    const move = now => {
      const share = Math.min(1, (now - start) / 900);
      set(Math.round(100 * (1 - share * share * (3 - 2 * share))));
      wiping = share < 1 ? requestAnimationFrame(move) : 0;
    };
    still();
    wiping = requestAnimationFrame(move);
  }

  function drag(value) {
    touch();
    still();
    set(value);
  }

  function choose(by) {
    touch();
    still();
    if (by === "pixels" || by === "bicubic") {
      left = by;
      fill();
      return set(Number(split.value) || 50);
    }
    right = by;
    set(0);
    fill();
  }

  split.addEventListener("input", () => drag(Number(split.value)));
  part(".enlargements").addEventListener("click", event => {
    const by = event.target.closest("button")?.dataset.by;
    if (by) choose(by);
  });
  return {shown, set, use, still, wipe, drag, value: () => Number(split.value)};
};
