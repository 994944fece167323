// What Explore starts: the line and the strip say so at once, and Stop ends it.
Object.assign(window.facet, {
  // by name, what of it runs
  exploring: new Set(),

  // The record of the face on screen, which the server knows only once it has enlarged it; null where none makes it
  // again. was: the server's.
  current(was) {
    const {face} = this;
    if (!face) return was;
    if (!face.record || this.startOf(face) === "picture") return null;
    if (face.count > 1) return {...face.record, count: face.count};
    if (!face.painting) return face.record;
    return {...face.record, painting: {image: face.whole, mask: face.painting.mask}};
  },

  // -> status, Stop
  explore(name) {
    this.exploring.add(name);
    this.stopping = this.running ? this.stopping : "";
    this.offer("", null);
    this.tell("exploring");
    return [{text: "Drawing the faces", kind: ""}, this.stoppable()];
  },

  // -> Stop, which can be pressed while anything runs
  stoppable() {
    return {__type__: "update", interactive: this.running || this.exploring.size > 0};
  },

  // It has ended -> status if it was stopped or failed, which gradio does not tell apart; Stop.
  explored(name) {
    this.exploring.delete(name);
    this.tell("explored");
    const line =
      this.stopping === "stopped"
        ? {text: "Stopped.", kind: ""}
        : {text: "This did not work. Try again in a moment.", kind: "error"};
    return [line, this.stoppable()];
  },
});
