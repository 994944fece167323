// What a visitor has typed and set, kept in this tab: it comes back when the page loads again, and after something took
// its place. The values are those of `kept` in app.py: words, boxes, negative prompt, faces, new seed, seed, steps,
// guidance, sampler, edits, how much of a picture may change, the best of several seeds.

// Those of them that say which face: all but how many are drawn, and the seed.
const FACE = [0, 1, 2, 6, 7, 8, 9];
const differs = (one, other) => FACE.some(index => JSON.stringify(one?.[index]) !== JSON.stringify(other?.[index]));

Object.assign(window.facet, {
  // settled: the page has got its first values, so changes are the visitor's from now on
  draft: null,
  settled: false,
  // a link has opened, and other words than its own
  typedSince: false,
  // the draft of the run that was begun last
  drawnBy: null,
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
      const touched = differs(values, now);
      if (address === this.draftOf() && values?.length === now.length && (touched || !line?.go)) {
        this.typedSince = touched;
        return (this.draft = values);
      }
    } catch {
      /* there is none */
    }
    return now.map(() => ({__type__: "update"}));
  },

  // The page's address is that of the face on screen now, which goes with it. So does what was typed since.
  moveDraft() {
    if (this.draft && differs(this.draft, this.drawnBy)) this.keepDraft(this.draft);
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
// what is typed now, or drawn, is what counts from here on; of boxes see picker.js
document.addEventListener("input", event => {
  if (event.target.closest("#prompt, #negative")) window.facet.own = null;
});
window.facet.hear("begun", () => {
  [window.facet.own, window.facet.drawnBy] = [null, window.facet.draft];
});
window.facet.hear("face", ({finished, kind}) => {
  if (finished && kind === "live") window.facet.drawnBy = window.facet.draft;
});
