// The link to the face on screen as a QR code, over the page and over the whole screen; drawn by ui/share/qr.py.
const facet = window.facet,
  dialog = element.querySelector("dialog");
function show() {
  const {link, image} = props.value || {};
  if (!image) return;
  dialog.querySelector("img").src = image;
  const many = facet.face?.count > 1 ? "It opens the first of these faces: open another one for its code." : "";
  dialog.querySelector(".address").textContent = link;
  dialog.querySelector(".note").textContent = facet.local()
    ? "Only this computer knows this address: a phone cannot open it."
    : many;
  dialog.querySelector(".note").hidden = !facet.local() && !many;
  if (!dialog.open) dialog.showModal();
}
// Whether the code of this link is here already; then it is shown.
facet.showCode = link => {
  const here = props.value?.link === link;
  if (here) show();
  return here;
};
dialog.addEventListener("click", event => {
  if (event.target === dialog) dialog.close();
});
watch("value", show);
