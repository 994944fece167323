// Keys and fingers on the face.
// face: {frames() and step() of the run, large(): whether the enlargement is seen, seek(step), toggle(), compare}.
window.facet.scrub = (player, face) => {
  const stage = player.querySelector(".stage"),
    at = player.querySelector(".at");
  const {seek, toggle, compare} = face;
  let drag = null;

  const inSight = () => {
    const {top, bottom} = stage.getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  };

  // Keys work anywhere on the page where they mean nothing else, while the face is in sight.
  document.addEventListener("keydown", event => {
    const inside = player.contains(event.target),
      busy = event.target.closest?.("button, input, textarea, select, a, summary, [role=tab], [contenteditable]");
    if (!player.offsetParent || event.ctrlKey || event.metaKey || event.altKey || !face.frames()) return;
    if (
      !(
        (event.target === document.body && inSight()) ||
        (inside && !busy) ||
        (event.target === at && event.key === " ")
      )
    )
      return;
    const keys = {
      " ": toggle,
      ArrowLeft: () => seek(face.step() - 1),
      ArrowRight: () => seek(face.step() + 1),
      Home: () => seek(1),
      End: () => seek(face.frames()),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });

  // in % of the width
  function across(event) {
    const share = (event.clientX - stage.getBoundingClientRect().x) / stage.clientWidth;
    return Math.min(100, Math.max(0, Math.round(100 * share)));
  }

  // A tap plays, dragging across the picture scrubs; on the enlargement both move the divider. A finger that turns out
  // to scroll the page (the browser says "cancel" then) leaves everything as it was.
  // Without the first line the browser drags the picture itself away.
  stage.addEventListener("dragstart", event => event.preventDefault());
  stage.addEventListener("pointerdown", event => {
    if (event.target.closest("button") || !face.frames() || event.button) return;
    drag = {x: event.clientX, from: face.large() ? compare.value() : face.step(), moved: false};
    compare.still();
    stage.setPointerCapture(event.pointerId);
  });
  stage.addEventListener("pointermove", event => {
    // not a number where nothing is dragged
    const distance = event.clientX - drag?.x;
    if (!drag || !(drag.moved ||= Math.abs(distance) > 6)) return;
    if (face.large()) compare.drag(across(event));
    else seek(Math.round(drag.from + (distance / stage.clientWidth) * face.frames()));
  });
  stage.addEventListener("pointerup", event => {
    if (drag && !drag.moved) face.large() ? compare.drag(across(event)) : toggle();
    drag = null;
  });
  stage.addEventListener("pointercancel", () => {
    if (drag?.moved) face.large() ? compare.set(drag.from) : seek(drag.from);
    drag = null;
  });
};
