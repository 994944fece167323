// Links into "How it works": ?tab=how#guidance opens its section, wherever the link stands. Runs before the page is there.
window.facetOpening = false;
{
  const patient = (find, then, tries = 200) => {
    const found = find();
    if (found) then(found);
    else if (tries) setTimeout(patient, 100, find, then, tries - 1);
  };
  const settled = then => requestAnimationFrame(() => requestAnimationFrame(then));  // what is in sight is known again
  const release = () => { window.facetOpening = false; document.dispatchEvent(new Event("how-look")); };
  const open = name => {
    if (name) setTimeout(release, 5000);  // there may be no such section
    window.facetOpening = Boolean(name);  // figures wait: on the way there the page is short and all of them are in sight
    patient(() => [...document.querySelectorAll('button[role="tab"]')].find(tab => tab.textContent.trim() === "How it works"), tab => {
      if (tab.getAttribute("aria-selected") !== "true") tab.click();
      if (name) patient(() => document.getElementById(`how-${name}-heading`), heading => {
        heading.scrollIntoView();  // at once: what is passed by is not computed
        heading.querySelector("a").focus({preventScroll: true});
        settled(release);
      });
    });
  };
  document.addEventListener("click", event => {
    const link = event.target.closest('a[href^="?tab=how#"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const address = link.getAttribute("href");
    history.replaceState(history.state, "", address);
    open(address.split("#")[1]);
  });
  if (new URLSearchParams(location.search).get("tab") === "how") open(location.hash.slice(1));
}
