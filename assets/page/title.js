// The page's name, the way past the face for those who walk by Tab, the list of keys, and the face on the whole screen.
const facet = window.facet,
  part = selector => element.querySelector(selector),
  dialog = part("dialog");
const prompt = () => document.querySelector("#prompt textarea");

// from the other page: it takes some frames until this one is seen
async function toFace() {
  const seen = () => document.querySelector("#columns").offsetParent;
  if (!seen()) facet.openTab("Make a face");
  for (let frames = 0; frames < 60 && !seen(); frames++) await new Promise(requestAnimationFrame);
}

async function present() {
  if (document.fullscreenElement) return document.exitFullscreen();
  if (facet.painting) return facet.say("Draw the painted part first, or leave it: then the face can be presented.");
  await toFace();
  try {
    await document.querySelector("#player").requestFullscreen();
  } catch {
    facet.say("This browser does not show a part of a page on the whole screen.");
  }
}

// the prompt is not on the whole screen
async function write() {
  if (document.fullscreenElement) await document.exitFullscreen();
  await toFace();
  prompt()?.focus();
}

part(".skip").addEventListener("click", event => {
  event.preventDefault();
  write();
});
part(".keys").addEventListener("click", () => dialog.showModal());
part(".present").addEventListener("click", present);
dialog.addEventListener("click", event => {
  if (event.target === dialog) dialog.close();
});

// Single letters can be switched off: a voice that is typed out would press them (WCAG 2.1.4).
const letters = part(".letters");
try {
  letters.checked = localStorage.getItem("facet.letters") !== "off";
} catch {
  /* not allowed: they are on */
}
letters.addEventListener("change", () => {
  try {
    localStorage.setItem("facet.letters", letters.checked ? "on" : "off");
  } catch {
    /* for this time alone */
  }
});
document.addEventListener("keydown", event => {
  if (!letters.checked) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || document.querySelector("dialog[open]"))
    return;
  if (
    event.target.closest?.(
      "input:not([type=range], [type=checkbox], [type=radio]), textarea, select, [contenteditable]",
    )
  )
    return;
  const act = {"?": () => dialog.showModal(), "/": write, f: present, q: () => facet.code()}[event.key];
  if (!act) return;
  event.preventDefault();
  act();
});
