// The server cannot be reached: gradio keeps silent then, and loads the page again once it can.
Object.assign(window.facet, {
  LOST: {
    text: "The server cannot be reached. The page comes back when it can; your words and settings are kept.",
    kind: "error",
  },

  // a run has lost its server -> status
  lost() {
    Object.assign(this, {running: false, busy: false, stopping: "lost"});
    this.exploring.clear();
    return this.LOST;
  },
});

const fetched = window.fetch;
window.fetch = async (...request) => {
  try {
    return await fetched(...request);
  } catch (problem) {
    // of the network, not of who called it off
    if (problem.name === "TypeError") {
      if (!window.facet.running) window.facet.tell("line", window.facet.LOST);
      window.facet.tell("lost");
    }
    throw problem;
  }
};
