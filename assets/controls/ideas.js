// People to begin with: one takes the place of what was typed and ticked, and is drawn at once.
const facet = window.facet;
let before = null;

element.querySelector("[data-preset=surprise] .face").style.background = `url(${facet.noise(28)}) center / cover`;
element.addEventListener("click", event => {
  const name = event.target.closest("button")?.dataset.preset;
  if (!name) return;
  before = facet.typed();
  facet.tell("idea", name);
  trigger("choose");
});

// The words are empty and the boxes ticked now. A run that is under way ends first; one that was stopped begins no
// other.
facet.drawIdea = () => {
  const draw = () => {
    facet.addEventListener("begun", () => facet.offerDraft(before), {once: true});
    document.querySelector("#generate").click();
  };
  if (!facet.running) return draw();
  facet.addEventListener(
    "over",
    () => {
      if (!facet.stopping) setTimeout(draw);
    },
    {once: true},
  );
};
