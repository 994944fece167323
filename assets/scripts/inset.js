// A small picture in the corner of the face: what the network is given at this step, beside what it sees in it, or the
// other way round.
window.facet.inset = (player, turn) => {
  const OTHER = {denoised: "noisy", noisy: "denoised"},
    NAMES = {noisy: "Noisy", denoised: "Clean"};
  const button = player.querySelector(".inset");
  button.addEventListener("click", () => turn(button.dataset.kind));
  return (run, frame, view) => {
    const kind = OTHER[view];
    // without noise both are the same
    button.hidden = !kind || run.count > 1 || !frame[kind] || frame.noise_level < 0.005;
    if (button.hidden) return;
    button.dataset.kind = kind;
    button.querySelector("img").src = frame[kind];
    button.querySelector("span").textContent = NAMES[kind];
  };
};
