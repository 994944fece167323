// What a visitor has typed and set, kept in this tab: it comes back when the page loads again, and after something took
// its place. The values are those of `kept` in app.py: words, boxes, negative prompt, faces, new seed, seed, steps,
// guidance, sampler, edits, how much of a picture may change, the best of several seeds.
// those of them that say which face: all but how many are drawn, and the seed
const FACE = [0, 1, 2, 6, 7, 8, 9];

Object.assign(window.facet, {
  // settled: the page has got its first values, so changes are the visitor's from now on
  draft: null,
  settled: false,
  // a link has opened, and other words than its own
  typedSince: false,
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

  // When the page has opened with these values: the draft of this tab and address, or each "as it is", which is also
  // what a link to a face wants whose words and settings were not touched since.
  openDraft(line, ...now) {
    this.settled = true;
    try {
      const {address, values} = JSON.parse(sessionStorage.getItem("facet.draft")) || {};
      const touched = FACE.some(index => JSON.stringify(values?.[index]) !== JSON.stringify(now[index]));
      if (address === this.draftOf() && values?.length === now.length && (touched || !line?.go)) {
        this.typedSince = touched;
        return (this.draft = values);
      }
    } catch {
      /* there is none */
    }
    return now.map(() => ({__type__: "update"}));
  },

  // What a link or an opened face asks for beside its settings. A link's face is drawn, but not what was typed since.
  go(line) {
    if (line?.go && !this.typedSince) document.querySelector("#generate").click();
    if (line?.redraw) this.redraw();
    this.typedSince = false;
  },

  // Something is about to take the place of what was typed: offer it back.
  offerDraft(before = this.typed()) {
    const [words, picks] = before || [];
    if (!words && !picks?.present?.length && !picks?.absent?.length) return;
    this.own = before;
    this.offer("Back to my words", () => {
      this.own = null;
      this.bringDraft(before);
    });
  },

  // What the visitor's own words were before one face after the other was opened; null once they are in use again.
  own: null,
  typed() {
    return this.own || this.draft;
  },
});
// what is typed or ticked now, or drawn, is what counts from here on
const forget = () => (window.facet.own = null);
document.addEventListener("input", event => {
  if (event.target.closest("#right")) forget();
});
window.facet.hear("begun", forget);
