// What Explore starts: the line and the strip say so at once, and Stop ends it.
Object.assign(window.facet, {
  exploring: false,

  // -> status, Stop
  explore() {
    Object.assign(this, {exploring: true, stopping: this.running ? this.stopping : ""});
    this.offer("", null);
    this.tell("exploring");
    return [
      {text: "Drawing the faces", kind: ""},
      {__type__: "update", interactive: true},
    ];
  },

  // It has ended; line: what the status line says, where it was stopped or failed. gradio calls a stopped run a
  // failure.
  explored(line) {
    this.exploring = false;
    this.tell("explored");
    return this.stopping === "stopped"
      ? {text: "Stopped.", kind: ""}
      : {text: "This did not work. Try again in a moment.", kind: "error"};
  },
});
