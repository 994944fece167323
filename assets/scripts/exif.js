// What EXIF says inside a JPEG, PNG or WebP (EXIF 2.32, section 4): which way up the picture is held, and the comment
// in which web UIs keep their settings. Damaged EXIF says nothing.
Object.assign(window.facet, {
  // bytes: Uint8Array of a file -> {turn: 1 to 8, comment: text}
  exifOf(bytes) {
    const said = {turn: 1, comment: ""};
    try {
      const block = this.exifBlock(bytes);
      if (block) readExif(block, said);
    } catch (problem) {
      // an address beyond the end
      if (!(problem instanceof RangeError)) throw problem;
    }
    return said;

    function readExif(block, said) {
      const view = new DataView(block.buffer, block.byteOffset, block.byteLength),
        order = view.getUint16(0),
        little = order === 0x4949;
      if (!little && order !== 0x4d4d) return;
      const folders = [view.getUint32(4, little)];
      for (let number = 0; number < Math.min(folders.length, 2); number++) {
        const start = folders[number],
          count = view.getUint16(start, little);
        for (let at = start + 2; at < start + 2 + 12 * count; at += 12) {
          const tag = view.getUint16(at, little),
            kind = view.getUint16(at + 2, little),
            size = view.getUint32(at + 4, little);
          if (tag === 0x0112 && size === 1 && (kind === 3 || kind === 4)) {
            const turn = kind === 3 ? view.getUint16(at + 8, little) : view.getUint32(at + 8, little);
            if (turn >= 1 && turn <= 8) said.turn = turn;
          } else if (tag === 0x8769) folders.push(view.getUint32(at + 8, little));
          // bytes, as a standard of their own kind or, from some programs, plain ones
          else if (tag === 0x9286 && (kind === 7 || kind === 1 || kind === 2) && size > 8) {
            const from = view.getUint32(at + 8, little);
            said.comment = commentIn(block.subarray(from, from + size));
          }
        }
      }
    }

    // Eight bytes name the characters that follow. The order of UTF-16's bytes is nowhere said: in letters of Latin,
    // every other byte is zero.
    function commentIn(bytes) {
      const named = new TextDecoder("latin1").decode(bytes.subarray(0, 8)),
        known = /^(UNICODE|ASCII|JIS|\0)/.test(named);
      const text = known ? bytes.subarray(8) : bytes,
        zeros = [0, 0];
      text.forEach((byte, index) => {
        if (!byte) zeros[index % 2]++;
      });
      const wide = named.startsWith("UNICODE") && Math.max(...zeros) > text.length / 10;
      return new TextDecoder(!wide ? "utf-8" : zeros[0] > zeros[1] ? "utf-16be" : "utf-16le")
        .decode(text)
        .replace(/\0+$/, "");
    }
  },

  // The block that begins with the order of its bytes (TIFF 6.0), or undefined.
  exifBlock(bytes) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const ascii = (from, to) => String.fromCharCode(...bytes.subarray(from, to));
    const behindMark = block => {
      while (String.fromCharCode(...block.subarray(0, 6)) === "Exif\0\0") block = block.subarray(6);
      return block;
    };
    if (bytes.length < 16) return undefined;
    if (view.getUint32(0) === 0x89504e47) {
      for (const {kind, start, end} of this.chunksOf(view))
        if (kind === "eXIf") return behindMark(bytes.subarray(start, end));
    } else if (view.getUint16(0) === 0xffd8) {
      for (
        let at = 2;
        at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda;
        at += 2 + view.getUint16(at + 2)
      ) {
        if (bytes[at + 1] === 0xe1 && ascii(at + 4, at + 10) === "Exif\0\0")
          return behindMark(bytes.subarray(at + 4, at + 2 + view.getUint16(at + 2)));
      }
    } else if (ascii(0, 4) === "RIFF" && ascii(8, 12) === "WEBP") {
      for (let at = 12; at + 8 <= bytes.length;) {
        const size = view.getUint32(at + 4, true);
        if (ascii(at, at + 4) === "EXIF") return behindMark(bytes.subarray(at + 8, at + 8 + size));
        at += 8 + size + (size % 2);
      }
    }
    return undefined;
  },

  // A WebP of two pixels side by side that EXIF stands on end: some browsers turn it, some do not.
  TURNED:
    "data:image/webp;base64,UklGRk4AAABXRUJQVlA4WAoAAAAIAAAAAQAAAAAAVlA4TA4AAAAvAQAAAAcQEf0PRET/A0VYSUYaAAAA" +
    "TU0AKgAAAAgAAQESAAMAAAABAAYAAAAAAAA=",

  // The turn that the browser leaves to be done on a picture of this file.
  async turnLeft(bytes) {
    const {turn} = this.exifOf(bytes);
    if (turn === 1 || String.fromCharCode(...bytes.subarray(0, 4)) !== "RIFF") return 1;
    return (await this.load(this.TURNED)).naturalWidth === 1 ? 1 : turn;
  },

  // Lets what is drawn into the middle square of a canvas of `size` pixels stand upright.
  uprighted(context, turn, size) {
    const [a, b, c, d] = {
      2: [-1, 0, 0, 1],
      3: [-1, 0, 0, -1],
      4: [1, 0, 0, -1],
      5: [0, 1, 1, 0],
      6: [0, 1, -1, 0],
      7: [0, -1, -1, 0],
      8: [0, -1, 1, 0],
    }[turn] || [1, 0, 0, 1];
    const half = size / 2;
    context.setTransform(a, b, c, d, half - half * (a + c), half - half * (b + d));
  },
});
