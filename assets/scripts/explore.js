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

  // It was stopped or failed, which gradio does not tell apart -> what the status line says.
  explored() {
    this.exploring = false;
    this.tell("explored");
    return this.stopping === "stopped"
      ? {text: "Stopped.", kind: ""}
      : {text: "This did not work. Try again in a moment.", kind: "error"};
  },
});
