// SHA-256 (FIPS 180-4) of a text's UTF-8; QuickJS brings none.
const K = new Int32Array(64), START = new Int32Array(8);
// The constants are the fractions of roots of the first primes.
for (let candidate = 2, found = 0; found < 64; candidate++) {
  let prime = true;
  for (let by = 2; by * by <= candidate; by++) if (candidate % by === 0) { prime = false; break; }
  if (!prime) continue;
  const bits = (root) => ((root % 1) * 4_294_967_296) | 0;
  if (found < 8) START[found] = bits(candidate ** (1 / 2));
  K[found++] = bits(candidate ** (1 / 3));
}
const W = new Int32Array(64);

export function sha256(text) {
  const bytes = unescape(encodeURIComponent(text));
  const length = bytes.length, blocks = (length + 72) >> 6;
  const state = START.slice();
  for (let block = 0; block < blocks; block++) {
    const base = block * 64;
    if (base + 64 <= length) {
      for (let t = 0, at = base; t < 16; t++, at += 4) {
        W[t] = (bytes.charCodeAt(at) << 24) | (bytes.charCodeAt(at + 1) << 16) | (bytes.charCodeAt(at + 2) << 8) | bytes.charCodeAt(at + 3);
      }
    } else {
      for (let t = 0; t < 16; t++) {
        let word = 0;
        for (let at = base + t * 4; at < base + t * 4 + 4; at++) word = (word << 8) | (at < length ? bytes.charCodeAt(at) : at === length ? 0x80 : 0);
        W[t] = word;
      }
      if (block === blocks - 1) { W[14] = Math.floor(length / 536_870_912); W[15] = length << 3; }
    }
    compress(state);
  }
  return Array.from(state, (word) => (word >>> 0).toString(16).padStart(8, "0")).join("");
}

function compress(state) {
  for (let t = 16; t < 64; t++) {
    const x = W[t - 15], y = W[t - 2];
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    W[t] = (W[t - 16] + s0 + W[t - 7] + s1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let t = 0; t < 64; t++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const one = (h + s1 + ((e & f) ^ (~e & g)) + K[t] + W[t]) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g; g = f; f = e; e = (d + one) | 0; d = c; c = b; b = a; a = (one + two) | 0;
  }
  state[0] += a; state[1] += b; state[2] += c; state[3] += d; state[4] += e; state[5] += f; state[6] += g; state[7] += h;
}
