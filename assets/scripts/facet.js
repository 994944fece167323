// What the page's components share: who tells whom what, and a few tools. Runs before any of them (see `head` in
// app.py). Events: "begun" and "over" of a run, "face" {image, record, step, frames, kind} is on screen now; "said"
// {present, absent} is read in the typed words.
window.facet = Object.assign(new EventTarget(), {
  face: null,
  running: false,
  // a run of Generate has not brought its face yet
  busy: false,
  live: false,
  painting: false,
  quietUntil: 0,
  timers: {},

  tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, {detail}));
  },
  hear(name, callback) {
    this.addEventListener(name, event => callback(event.detail));
  },
  later(name, ms, callback) {
    clearTimeout(this.timers[name]);
    this.timers[name] = setTimeout(callback, ms);
  },
  // an address that means another computer elsewhere
  local: () => /^(localhost|127\.|\[::1\])/.test(location.hostname),
  calm: () => matchMedia("(prefers-reduced-motion: reduce)").matches,
  escape: text => String(text).replace(/[&<>"']/g, sign => `&#${sign.charCodeAt(0)};`),

  // A box, the words or a setting changed.
  changed() {
    this.reread();
    if (this.live && !this.painting && performance.now() > this.quietUntil)
      this.later("redraw", 120, () => this.redraw?.());
  },

  reread() {
    this.later("understand", 250, () => this.understand?.());
  },
  say(text, kind = "") {
    this.tell("line", {text, kind});
  },

  load(address) {
    return new Promise((done, failed) => {
      const image = new Image();
      image.onload = () => done(image);
      image.onerror = () => failed(new Error("This is not an image that can be read: use a PNG, JPEG or WebP file."));
      image.src = address;
    });
  },

  // A square picture of noise, as a PNG.
  noise(side) {
    const canvas = document.createElement("canvas"),
      context = canvas.getContext("2d");
    canvas.width = canvas.height = side;
    const pixels = context.createImageData(side, side);
    for (let i = 0; i < pixels.data.length; i++)
      pixels.data[i] = i % 4 === 3 ? 255 : 128 + 80 * (Math.random() + Math.random() + Math.random() - 1.5);
    context.putImageData(pixels, 0, 0);
    return canvas.toDataURL();
  },

  // The cell `index` of a square sheet of `count` pictures, as a PNG.
  async crop(address, index, count) {
    const columns = Math.round(Math.sqrt(count)),
      image = await this.load(address);
    const size = image.naturalWidth / columns,
      canvas = document.createElement("canvas");
    canvas.width = canvas.height = size;
    canvas
      .getContext("2d")
      .drawImage(image, (index % columns) * size, Math.floor(index / columns) * size, size, size, 0, 0, size, size);
    return canvas.toDataURL("image/png");
  },

  // The address of a file that a message holds as base64; good for a minute.
  file(data) {
    const address = URL.createObjectURL(new Blob([Uint8Array.from(atob(data), letter => letter.charCodeAt(0))]));
    setTimeout(() => URL.revokeObjectURL(address), 60000);
    return address;
  },

  download(address, name) {
    const link = document.createElement("a");
    [link.href, link.download] = [address, name];
    document.body.append(link);
    link.click();
    link.remove();
  },
});
