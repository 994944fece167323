// What a visitor has typed and set, kept in this tab: it comes back when the page loads again, and after something took
// its place. The values are those of `kept` in app.py: words, boxes, negative prompt, faces, new seed, seed, steps,
// guidance, sampler, edits.
Object.assign(window.facet, {
  // settled: the page has got its first values, so changes are the visitor's from now on
  draft: null,
  settled: false,
  draftOf: () => location.search.replace(/[?&]tab=how$/, ""),

  keepDraft(values) {
    if (!this.settled) return;
    this.draft = values;
    try {
      sessionStorage.setItem("facet.draft", JSON.stringify({address: this.draftOf(), values}));
    } catch {
      /* full, or not allowed */
    }
  },

  // When the page has opened: the draft of this tab and address, or `count` times "as it is".
  openDraft(count) {
    this.settled = true;
    try {
      const {address, values} = JSON.parse(sessionStorage.getItem("facet.draft")) || {};
      if (address === this.draftOf() && values?.length === count) return (this.draft = values);
    } catch {
      /* there is none */
    }
    return Array(count).fill({__type__: "update"});
  },

  // Something is about to take the place of what was typed: offer it back.
  offerDraft(before = this.draft) {
    const [words, picks] = before || [];
    if (words || picks?.present?.length || picks?.absent?.length)
      this.offer("Back to my words", () => this.bringDraft(before));
  },
});
