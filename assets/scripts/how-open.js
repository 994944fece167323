// Links into "How it works": ?tab=how#guidance opens its section, wherever the link stands. Back leads from that tab to
// the face again, and not away from the page. Runs before the page is there.
window.facetOpening = false;
{
  const patient = (find, then, tries = 200) => {
    const found = find();
    if (found) then(found);
    else if (tries) setTimeout(patient, 100, find, then, tries - 1);
  };
  const HOW = "How it works",
    FACE = "Make a face",
    wanted = () => (new URLSearchParams(location.search).get("tab") === "how" ? HOW : FACE);
  const tabOf = name =>
    [...document.querySelectorAll('button[role="tab"]')].find(tab => tab.textContent.trim() === name);
  // what is in sight is known again
  const settled = then => requestAnimationFrame(() => requestAnimationFrame(then));
  const release = () => {
    window.facetOpening = false;
    document.dispatchEvent(new Event("how-look"));
  };
  const open = name => {
    // there may be no such section
    if (name) setTimeout(release, 5000);
    // figures wait: on the way there the page is short and all of them are in sight
    window.facetOpening = Boolean(name);
    patient(
      () => tabOf(HOW),
      tab => {
        if (tab.getAttribute("aria-selected") !== "true") tab.click();
        if (name)
          patient(
            () => document.getElementById(`how-${name}-heading`),
            heading => {
              // at once: what is passed by is not computed
              heading.scrollIntoView();
              heading.querySelector("a").focus({preventScroll: true});
              settled(release);
            },
          );
      },
    );
  };
  document.addEventListener("click", event => {
    const link = event.target.closest('a[href^="?tab=how#"]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const address = link.getAttribute("href");
    history.replaceState(history.state, "", address);
    open(address.split("#")[1]);
  });
  document.addEventListener("click", event => {
    const name = event.target.closest('button[role="tab"]')?.textContent.trim(),
      address = new URL(location.href);
    if (![HOW, FACE].includes(name) || name === wanted()) return;
    name === HOW ? address.searchParams.set("tab", "how") : address.searchParams.delete("tab");
    address.hash = "";
    history.pushState(null, "", address);
  });
  addEventListener("popstate", () => (wanted() === HOW ? open(location.hash.slice(1)) : tabOf(FACE)?.click()));
  if (wanted() === HOW) open(location.hash.slice(1));
}
