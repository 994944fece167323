// A run of the page: {id, total, count, record, kind, of, painting, seeds, frames: [step 1, ...], image, large,
// decided}. And what is made of it without the player: other objects and markup.
Object.assign(window.facet, {
  // What is seen in each view.
  EXPLAIN: {
    denoised: "The face as predicted at this step.",
    noisy: "The noisy image after this step; the next one starts from it.",
    influence: "Bright: where the prompt changes this step's prediction most.",
    large: "Enlarged eight times. Drag across it to compare.",
    crisp: "The finest detail is invented. Drag across it to compare.",
  },

  // Whether another face may take the player: one that is being drawn would be lost.
  mayShow() {
    if (this.busy) this.say("A face is being drawn: stop it first.", "error");
    return !this.busy;
  },

  // What the first message of a run begins.
  runOf: message => ({
    id: message.run,
    total: message.total,
    count: message.count || 1,
    record: message.record,
    seeds: message.seeds || [],
    kind: message.kind || "",
    of: message.of || message.kind || "",
    painting: message.painting || (message.kind === "painted" ? window.facet.drawing : null),
    frames: [],
    image: null,
    large: null,
    decided: [],
  }),

  // What the other components take for "the face": the finished one, or the frame that was scrubbed to.
  faceOf(run, step, view) {
    const last = view === "large" || step === run.frames.length;
    return {
      id: run.id,
      image: (last && run.image) || run.frames[step - 1].denoised,
      record: run.record,
      step,
      last,
      count: run.count,
      seeds: run.seeds,
      finished: Boolean(run.large),
      kind: run.kind,
      of: run.of,
      painting: run.painting,
      whole: run.image || run.frames.at(-1).denoised,
      frames: run.frames.map(frame => frame[view] || frame.denoised),
      steps: {total: run.total, frames: run.frames, decided: run.decided},
    };
  },

  // Whether it can be seen where the prompt acts: the frames hold it, or the record makes them again. The student has
  // no guidance to show.
  tellsInfluence: ({frames, record, image, total, of}) =>
    Boolean(frames[0]?.influence) ||
    Boolean(record && image && total > 1 && record.sampler !== "student" && !["picture", "painted"].includes(of)),

  // One face of a batch, whose frames are square sheets of faces.
  async oneOf(sheet, index) {
    const cut = address => this.crop(address, index, sheet.count);
    const frames = await Promise.all(
      sheet.frames.map(async frame => ({
        step: frame.step,
        noise_level: frame.noise_level,
        denoised: await cut(frame.denoised),
        noisy: await cut(frame.noisy),
        influence: frame.influence && (await cut(frame.influence)),
      })),
    );
    return {
      ...sheet,
      id: `${sheet.id}-${index}`,
      count: 1,
      record: {...sheet.record, seed: sheet.seeds[index]},
      frames,
      image: await cut(sheet.image),
      large: null,
    };
  },

  described({record}) {
    if (!record) return "Drawn from another face.";
    return record.prompt ? `Prompt: ${record.prompt}` : "No prompt: any face.";
  },

  // Buttons that open the faces of a batch.
  openers: ({seeds}) =>
    seeds
      .map((seed, index) => [index, `Open face ${index + 1}, seed ${seed}`])
      .map(([index, told]) => `<button type="button" data-index="${index}" aria-label="${told}"></button>`)
      .join(""),

  // From which step on CLIP sees each attribute, as buttons that lead there.
  firstSeen({decided}) {
    if (!decided?.length) return "";
    const items = decided.map(({label, step}) =>
      step
        ? `<button type="button" data-step="${step}">${this.escape(label)} <b>step ${step}</b></button>`
        : `<span class="missed">${this.escape(label)} <b>never</b></span>`,
    );
    return `<span title="The step from which on CLIP sees it in the face">First seen:</span>${items.join("")}`;
  },

  // The same as marks along the slider of steps.
  marks: ({decided, total}) =>
    (decided || [])
      .filter(({step}) => step)
      .map(({step}) => `<i style="left: ${(100 * (step - 1)) / Math.max(1, total - 1)}%"></i>`)
      .join(""),
});
