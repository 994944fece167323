// ZIP archives, stored as they are: pictures are packed already. APPNOTE.TXT of PKWARE, sections 4.3.7 to 4.3.16.
window.facet.zip = (() => {
  const table = Uint32Array.from({length: 256}, (_, n) => {
    for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
    return n;
  });
  const checksum = bytes => {
    let crc = -1;
    for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 255];
    return (crc ^ -1) >>> 0;
  };

  // the fields that both kinds of header share, in 16 and 32 bits
  function header(signature, name, bytes, more = []) {
    const view = new DataView(new ArrayBuffer(26)),
      version = signature === 0x02014b50 ? [20, 20] : [20];
    let at = 0;
    const put = (size, value) => {
      view[size === 2 ? "setUint16" : "setUint32"](at, value, true);
      at += size;
    };
    put(4, signature);
    version.forEach(value => put(2, value));
    // names in UTF-8, stored, no time, the first day of 1980
    [0x800, 0, 0, 0x21].forEach(value => put(2, value));
    [checksum(bytes), bytes.length].forEach(value => put(4, value));
    const rest = new DataView(new ArrayBuffer(8 + 2 * more.length + (more.length ? 4 : 0)));
    rest.setUint32(0, bytes.length, true);
    rest.setUint16(4, name.length, true);
    return [new Uint8Array(view.buffer, 0, at), rest];
  }

  // [[name, Uint8Array]] -> Blob
  function pack(files) {
    const parts = [],
      directory = [];
    let at = 0,
      size = 0;
    for (const [text, bytes] of files) {
      const name = new TextEncoder().encode(text);
      const [local, rest] = header(0x04034b50, name, bytes);
      parts.push(local, new Uint8Array(rest.buffer), name, bytes);
      // no comment, disk 0, no attributes, then the offset
      const [central, tail] = header(0x02014b50, name, bytes, [0, 0, 0, 0, 0]);
      tail.setUint32(18, at, true);
      directory.push(central, new Uint8Array(tail.buffer), name);
      size += central.length + tail.byteLength + name.length;
      at += local.length + rest.byteLength + name.length + bytes.length;
    }
    const end = new DataView(new ArrayBuffer(22));
    end.setUint32(0, 0x06054b50, true);
    end.setUint16(8, files.length, true);
    end.setUint16(10, files.length, true);
    end.setUint32(12, size, true);
    end.setUint32(16, at, true);
    return new Blob([...parts, ...directory, end.buffer], {type: "application/zip"});
  }

  // The file `wanted` of an archive, also one that another program packed anew; null if it is not there.
  async function unpack(buffer, wanted) {
    const view = new DataView(buffer),
      text = new TextDecoder();
    let end = view.byteLength - 22;
    while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end--;
    if (end < 0) return null;
    for (let at = view.getUint32(end + 16, true), left = view.getUint16(end + 10, true); left > 0; left--) {
      const [packed, name, extra, comment] = [20, 28, 30, 32].map((field, i) =>
        i ? view.getUint16(at + field, true) : view.getUint32(at + field, true),
      );
      if (text.decode(new Uint8Array(buffer, at + 46, name)) === wanted) {
        const local = view.getUint32(at + 42, true),
          start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
        const bytes = new Uint8Array(buffer, start, packed);
        if (view.getUint16(at + 10, true) === 0) return bytes;
        const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
        return new Uint8Array(await new Response(stream).arrayBuffer());
      }
      at += 46 + name + extra + comment;
    }
    return null;
  }
  return {pack, unpack};
})();
