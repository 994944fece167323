// What gets the focus is not left under what stays in sight: on a narrow page Generate at the bottom, on "How it works"
// the sections and their slider at the top.
{
  const AT_TOP = ["#how-bar", "#how-time"];
  const isAfter = (one, other) => one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING;

  // by how much to scroll
  const covered = target => {
    const {top, bottom} = target.getBoundingClientRect(),
      bar = document.querySelector("#actions");
    if (bar?.offsetHeight && getComputedStyle(bar).position === "fixed" && !bar.contains(target)) {
      const under = bottom + 8 - bar.getBoundingClientRect().top;
      if (under > 0) return under;
    }
    const bars = AT_TOP.map(name => document.querySelector(name)).filter(
      one => one?.offsetParent && isAfter(one, target) && !one.contains(target),
    );
    return Math.min(0, ...bars.map(one => top - 8 - one.getBoundingClientRect().bottom));
  };

  document.addEventListener("focusin", ({target}) =>
    requestAnimationFrame(() => {
      if (document.activeElement === target && target.matches(":focus-visible")) scrollBy(0, covered(target));
    }),
  );
}
