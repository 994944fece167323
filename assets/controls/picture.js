// A picture to start from. The value is a data URI of its middle square, at most 256 pixels wide, or null.
const facet = window.facet,
  part = selector => element.querySelector(selector),
  SIDE = 256;

function set(address) {
  props.value = address;
  part(".chosen").hidden = part(".remove").hidden = part(".alike").hidden = part(".paint").hidden = !address;
  if (address) part(".chosen").src = address;
  part(".choose span").textContent = address ? "Another picture" : "Choose a picture, or drop one here";
  trigger("input");
  facet.changed();
}

async function use(file) {
  part(".problem").textContent = "";
  try {
    set(await facet.square(file, SIDE));
  } catch (problem) {
    return (part(".problem").textContent = problem.message);
  }
  facet.say("Generate starts from this picture now.");
}

part("input").addEventListener("change", event => {
  if (event.target.files[0]) use(event.target.files[0]);
  event.target.value = "";
});
part(".remove").addEventListener("click", () => {
  set(null);
  facet.say("Generate starts from noise again.");
  part("input").focus();
});
part(".paint").addEventListener("click", () => facet.paint(props.value, true));
part(".alike").addEventListener("click", () => facet.alike(props.value));
const drop = part(".drop");
drop.addEventListener("dragover", event => {
  event.preventDefault();
  drop.classList.add("over");
});
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", event => {
  event.preventDefault();
  event.stopPropagation();
  drop.classList.remove("over");
  if (event.dataTransfer.files[0]) use(event.dataTransfer.files[0]);
});

facet.takeBrought = () => {
  if (!facet.brought) return;
  element.scrollIntoView({block: "center"});
  use(facet.brought);
  facet.brought = null;
};
facet.takeBrought();
