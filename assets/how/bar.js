// The line of sections: marks the one that is read.
const links = [...element.querySelectorAll("a")];
const headings = () => links.map(link => document.getElementById(`how-${link.hash.slice(1)}-heading`));
let waiting = 0;

function mark() {
  waiting = 0;
  const passed = headings().filter(heading => heading && heading.getBoundingClientRect().top < innerHeight / 3).length;
  links.forEach((link, index) => {
    const here = index === passed - 1;
    if (here === link.hasAttribute("aria-current")) return;
    here ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
    if (here) link.closest("ol").scrollTo({left: link.offsetLeft - 80});
  });
}
addEventListener(
  "scroll",
  () => {
    waiting ||= requestAnimationFrame(mark);
  },
  {passive: true, capture: true},
);
mark();
