// What people's files hold, looked at in the browser: whether one is a picture, its middle square, the texts inside it.
Object.assign(window.facet, {
  // as model/files/decode.py has it
  MOST_PIXELS: 65e6,
  // characters of one text that is read
  LONGEST_TEXT: 200000,
  // of a picture's file
  MOST_BYTES: 100e6,

  // of what a file may hold
  checks: {
    picture: text =>
      typeof text === "string" && text.length < 4e6 && /^data:image\/(png|jpeg|webp);base64,[\w+/=]+$/.test(text),
    // {mask, before}, see paint.js; null for what is none
    painting(value) {
      if (typeof value?.mask !== "string" || !/^[01]{4096}$/.test(value.mask)) return null;
      return {mask: value.mask, ...(this.picture(value.before) && {before: value.before})};
    },
  },

  // Throws where it is a folder, or no longer there, or larger than any picture.
  async bytesOf(file) {
    if (file.size > this.MOST_BYTES)
      throw new Error(`The file has more than ${this.MOST_BYTES / 1e6} MB: pictures are smaller.`);
    try {
      return new Uint8Array(await file.arrayBuffer());
    } catch {
      throw new Error("This cannot be read: use a PNG, JPEG or WebP file.");
    }
  },

  // A picture's middle square as it is seen, at most `side` pixels wide, over white, upright, the first frame: a PNG's
  // data URI.
  async square(file, side) {
    const bytes = await this.bytesOf(file),
      problem = this.problemOf(bytes);
    if (problem) throw new Error(problem);
    const address = URL.createObjectURL(file),
      turn = await this.turnLeft(bytes);
    try {
      const image = await this.load(address),
        [width, height] = [image.naturalWidth, image.naturalHeight];
      if (width * height > this.MOST_PIXELS) throw new Error(this.tooLarge());
      const shorter = Math.min(width, height),
        size = Math.min(shorter, side),
        canvas = document.createElement("canvas");
      canvas.width = canvas.height = size;
      const context = canvas.getContext("2d");
      context.fillStyle = "white";
      context.fillRect(0, 0, size, size);
      context.imageSmoothingQuality = "high";
      this.uprighted(context, turn, size);
      context.drawImage(image, (width - shorter) / 2, (height - shorter) / 2, shorter, shorter, 0, 0, size, size);
      return canvas.toDataURL("image/png");
    } finally {
      URL.revokeObjectURL(address);
    }
  },

  tooLarge() {
    return `The picture has more than ${this.MOST_PIXELS / 1e6} megapixels: shrink it first.`;
  },

  // One line saying why a file cannot be used as a picture, or "". Only its bytes are looked at, so nothing is
  // unpacked.
  problemOf(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
      size = bytes.length;
    const ascii = (from, to) => String.fromCharCode(...bytes.slice(from, to));
    const unreadable = "This is not an image that can be read: use a PNG, JPEG or WebP file.",
      cut = "The picture is cut off: its end is missing.";
    if (size < 24) return unreadable;
    if (view.getUint32(0) === 0x89504e47) {
      if (view.getUint32(16) * view.getUint32(20) > this.MOST_PIXELS) return this.tooLarge();
      for (const {kind} of this.chunksOf(view)) if (kind === "IEND") return "";
      return cut;
    }
    if (view.getUint16(0) === 0xffd8) return jpegEnds(bytes, view) ? "" : cut;
    if (ascii(0, 4) === "RIFF" && ascii(8, 12) === "WEBP") return view.getUint32(4, true) + 8 > size ? cut : "";
    if (ascii(4, 8) === "ftyp") {
      if (/^(hei|hev|mif|msf)/.test(ascii(8, 12))) return "This is a HEIC picture of a phone: save it as JPEG first.";
      return ascii(8, 12) === "avif"
        ? "This is an AVIF picture: save it as PNG or JPEG first."
        : "This is a film: use a single picture of it.";
    }
    return ascii(0, 4) === "GIF8" ? "This is a GIF: save one picture of it as PNG first." : unreadable;

    // From segment to segment (ITU-T T.81, annex B), so that a small picture inside EXIF, or a film behind, is not
    // taken for the end.
    function jpegEnds(bytes, view) {
      for (let at = 2; at + 4 <= bytes.length;) {
        // compressed data
        if (bytes[at] !== 0xff) {
          at++;
          continue;
        }
        const marker = bytes[at + 1];
        if (marker === 0xd9) return true;
        const alone = marker === 0 || marker === 1 || marker === 0xff || (marker >= 0xd0 && marker <= 0xd8);
        at += alone ? (marker === 0xff ? 1 : 2) : 2 + view.getUint16(at + 2);
      }
      return bytes.length > 4 && view.getUint16(bytes.length - 2) === 0xffd9;
    }
  },

  // The chunks of a PNG: {kind, start, end} of their data; a last one may be cut off.
  *chunksOf(view) {
    for (let at = 8; at + 12 <= view.byteLength;) {
      const length = view.getUint32(at),
        kind = String.fromCharCode(...[4, 5, 6, 7].map(i => view.getUint8(at + i)));
      yield {kind, start: at + 8, end: Math.min(at + 8 + length, view.byteLength)};
      if (kind === "IEND") return;
      at += 12 + length;
    }
  },

  // The texts that a PNG carries (PNG specification, section 11.3.3), packed or not: name -> text, the first of each
  // name; and EXIF's comment.
  async textsOf(bytes) {
    const view = new DataView(bytes.buffer),
      found = {},
      {comment} = this.exifOf(bytes);
    if (comment.trim() && comment.length <= this.LONGEST_TEXT) found.UserComment = comment;
    if (bytes.length < 8 || view.getUint32(0) !== 0x89504e47) return found;
    for (const {kind, start, end} of this.chunksOf(view)) {
      if (!["tEXt", "zTXt", "iTXt"].includes(kind)) continue;
      const data = bytes.subarray(start, end),
        behind = from => {
          const at = data.indexOf(0, from);
          return at < 0 ? data.length : at + 1;
        };
      const named = behind(0),
        name = new TextDecoder("latin1").decode(data.subarray(0, Math.max(0, named - 1)));
      const packed = kind === "zTXt" || (kind === "iTXt" && data[named] === 1);
      // behind flags, language, translation
      const from = kind === "tEXt" ? named : kind === "zTXt" ? named + 1 : behind(behind(named + 2));
      if (!name || name in found) continue;
      try {
        const text = packed ? await this.unpacked(data.subarray(from)) : data.subarray(from);
        if (text.length <= this.LONGEST_TEXT) found[name] = decoded(text);
      } catch {
        /* damaged: this text says nothing */
      }
    }
    return found;

    function decoded(text) {
      try {
        return new TextDecoder("utf-8", {fatal: true}).decode(text);
      } catch {
        return new TextDecoder("latin1").decode(text);
      }
    }
  },

  // zlib's bytes, unpacked; at most a little more than LONGEST_TEXT of them.
  async unpacked(data) {
    const reader = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate")).getReader(),
      parts = [];
    for (let size = 0; size <= this.LONGEST_TEXT;) {
      const {done, value} = await reader.read();
      if (done) break;
      parts.push(value);
      size += value.length;
    }
    reader.cancel().catch(() => {});
    return new Uint8Array(await new Blob(parts).arrayBuffer());
  },
});
