// The two errors: the policy's own refusal, and the host's.

/** A refusal of the call, thrown by any hook. */
export class Denial extends Error {
  constructor(status, code, message, { retryAfterMs } = {}) {
    super(message);
    this.name = "Denial";
    if (!(status >= 400 && status <= 599)) throw new RangeError(`a denial's status is 400 to 599, not ${status}`);
    Object.assign(this, { status, code, retryAfterMs });
  }
  static badRequest(code, message) { return new Denial(400, code, message); }
  static forbidden(code, message) { return new Denial(403, code, message); }
  static tooMany(code, message, retryAfterMs) { return new Denial(429, code, message, { retryAfterMs }); }
}

/** What the host could not do, in its own words. */
export class HostError extends Error {
  constructor(message) { super(message); this.name = "HostError"; }
}

/** Calls the host; what it throws (a bare sentence, or one in a wrapper) becomes an Error. */
export function asked(ask) {
  try {
    return ask();
  } catch (error) {
    throw new HostError(typeof error === "string" ? error : String(error?.payload ?? error?.message ?? error));
  }
}
