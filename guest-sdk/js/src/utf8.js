// QuickJS has neither TextEncoder nor TextDecoder.
export const utf8 = {
  encode(text) {
    const bytes = [];
    for (const one of text) {
      const c = one.codePointAt(0);
      if (c < 0x80) bytes.push(c);
      else if (c < 0x800) bytes.push(0xc0 | (c >> 6), 0x80 | (c & 63));
      else if (c < 0x10000) bytes.push(0xe0 | (c >> 12), 0x80 | ((c >> 6) & 63), 0x80 | (c & 63));
      else bytes.push(0xf0 | (c >> 18), 0x80 | ((c >> 12) & 63), 0x80 | ((c >> 6) & 63), 0x80 | (c & 63));
    }
    return new Uint8Array(bytes);
  },
  /** Of what is valid UTF-8; anything else is replaced. */
  decode(bytes) {
    let text = "";
    for (let at = 0; at < bytes.length;) {
      const first = bytes[at++];
      const more = first < 0x80 ? 0 : first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : -1;
      let c = more === 0 ? first : first & (0x3f >> more), good = more >= 0;
      for (let i = 0; i < more && good; i++) {
        if (((bytes[at] ?? 0) & 0xc0) !== 0x80) good = false;
        else c = (c << 6) | (bytes[at++] & 63);
      }
      const valid = good && c <= 0x10ffff && !(c >= 0xd800 && c < 0xe000) && c >= [0, 0x80, 0x800, 0x10000][more];
      text += valid ? String.fromCodePoint(c) : "\ufffd";
    }
    return text;
  },
};
