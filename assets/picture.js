// A picture to start from. The value is a data URI of its middle square, at most 256 pixels wide, or null.
const facet = window.facet, part = selector => element.querySelector(selector), SIDE = 256, LARGEST = 40e6;

function set(address) {
  props.value = address;
  part(".chosen").hidden = part(".remove").hidden = part(".alike").hidden = !address;
  if (address) part(".chosen").src = address;
  part(".choose span").textContent = address ? "Another picture" : "Choose a picture, or drop one here";
  trigger("input");
  facet.changed();
}

async function use(file) {
  part(".problem").textContent = "";
  try {
    const problem = facet.problemOf(new Uint8Array(await file.arrayBuffer()));
    if (problem) throw new Error(problem);
    const address = URL.createObjectURL(file);
    try {
      const image = await facet.load(address), [width, height] = [image.naturalWidth, image.naturalHeight];
      if (width * height > LARGEST) throw new Error("The picture has more than 40 megapixels: shrink it first.");
      const side = Math.min(width, height), size = Math.min(side, SIDE), canvas = document.createElement("canvas");
      canvas.width = canvas.height = size;
      const context = canvas.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.drawImage(image, (width - side) / 2, (height - side) / 2, side, side, 0, 0, size, size);
      set(canvas.toDataURL("image/png"));
    } finally { URL.revokeObjectURL(address); }
  } catch (problem) { part(".problem").textContent = problem.message; }
}

part("input").addEventListener("change", event => {
  if (event.target.files[0]) use(event.target.files[0]);
  event.target.value = "";
});
part(".remove").addEventListener("click", () => { set(null); part("input").focus(); });
part(".alike").addEventListener("click", () => facet.alike(props.value));
const drop = part(".drop");
drop.addEventListener("dragover", event => { event.preventDefault(); drop.classList.add("over"); });
drop.addEventListener("dragleave", () => drop.classList.remove("over"));
drop.addEventListener("drop", event => {
  event.preventDefault();
  event.stopPropagation();
  drop.classList.remove("over");
  if (event.dataTransfer.files[0]) use(event.dataTransfer.files[0]);
});
