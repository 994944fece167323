// What the page's components share: who tells whom what, and a few tools. Runs before any of them (see `head` in app.py).
// Events: "face" {image, record, step, frames, kind} is on screen now; "said" {present, absent} is read in the typed words.
window.facet = Object.assign(new EventTarget(), {
  face: null, running: false, live: false, quietUntil: 0, timers: {},

  tell(name, detail) { this.dispatchEvent(new CustomEvent(name, {detail})); },
  hear(name, callback) { this.addEventListener(name, event => callback(event.detail)); },
  later(name, ms, callback) { clearTimeout(this.timers[name]); this.timers[name] = setTimeout(callback, ms); },
  calm: () => matchMedia("(prefers-reduced-motion: reduce)").matches,
  escape: text => String(text).replace(/[&<>"']/g, sign => `&#${sign.charCodeAt(0)};`),

  // A box, the words or a setting changed.
  changed() {
    this.reread();
    if (this.live && performance.now() > this.quietUntil) this.later("redraw", 120, () => this.redraw?.());
  },

  reread() { this.later("understand", 250, () => this.understand?.()); },
  say(text, kind = "") { this.tell("line", {text, kind}); },

  load(address) {
    return new Promise((done, failed) => {
      const image = new Image();
      image.onload = () => done(image);
      image.onerror = () => failed(new Error("This is not an image that can be read: use a PNG, JPEG or WebP file."));
      image.src = address;
    });
  },

  // The cell `index` of a square sheet of `count` pictures, as a PNG.
  async crop(address, index, count) {
    const columns = Math.round(Math.sqrt(count)), image = await this.load(address);
    const size = image.naturalWidth / columns, canvas = document.createElement("canvas");
    canvas.width = canvas.height = size;
    canvas.getContext("2d").drawImage(image, index % columns * size, Math.floor(index / columns) * size, size, size, 0, 0, size, size);
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

  // One line saying why a file cannot be used as a picture, or "". Only its bytes are looked at, so nothing is unpacked.
  problemOf(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), size = bytes.length;
    const ascii = (from, to) => String.fromCharCode(...bytes.slice(from, to)), has = (text, from, to) => ascii(from, to).includes(text);
    const unreadable = "This is not an image that can be read: use a PNG, JPEG or WebP file.", cut = "The picture is cut off: its end is missing.";
    const animated = "The picture is animated: use a single one.";
    if (size < 24) return unreadable;
    if (view.getUint32(0) === 0x89504e47) {
      if (!has("IEND", Math.max(0, size - 4096), size)) return cut;
      if (has("acTL", 8, Math.min(size, 4096))) return animated;
      return view.getUint32(16) * view.getUint32(20) > 40e6 ? "The picture has more than 40 megapixels: shrink it first." : "";
    }
    if (view.getUint16(0) === 0xffd8) {
      for (let at = size - 2; at > Math.max(2, size - 65536); at--) if (view.getUint16(at) === 0xffd9) return "";
      return cut;
    }
    if (ascii(0, 4) === "RIFF" && ascii(8, 12) === "WEBP") {
      if (view.getUint32(4, true) + 8 > size) return cut;
      return ascii(12, 16) === "VP8X" && bytes[20] & 2 ? animated : "";
    }
    return unreadable;
  },

  // The settings that a PNG saved by this page carries in its iTXt chunk "facet"; null if there are none.
  async settingsOf(file) {
    const bytes = await file.arrayBuffer(), view = new DataView(bytes), text = new TextDecoder();
    if (bytes.byteLength < 8 || view.getUint32(0) !== 0x89504e47) return null;
    for (let at = 8; at + 12 <= bytes.byteLength;) {
      const length = view.getUint32(at), kind = text.decode(bytes.slice(at + 4, at + 8));
      const data = new Uint8Array(bytes.slice(at + 8, at + 8 + length));
      if (kind === "iTXt" && text.decode(data.slice(0, 6)) === "facet\0") {
        const start = data.indexOf(0, data.indexOf(0, 8) + 1) + 1;  // behind keyword, two flags, language, translated keyword
        try { return JSON.parse(text.decode(data.slice(start))); } catch { return null; }
      }
      at += 12 + length;
    }
    return null;
  },
});
