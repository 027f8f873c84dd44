// The server's clock, as far as it can be told from the times in its messages.

// How much later than the quickest message a message may be before the difference is taken for the clocks'.
const CREEP_MS = 2;

let offsetMs = null;

/** Learn from the time, ISO, at which the server sent a message that came just now. */
export function observe(sentAt) {
  const sample = Date.now() - Date.parse(sentAt);
  // The quickest message says most; the creep lets a clock that was set be found out.
  offsetMs = offsetMs === null ? sample : Math.min(sample, offsetMs + CREEP_MS);
}

/** Milliseconds since the epoch, by the server's clock. */
export const serverNow = () => Date.now() - (offsetMs ?? 0);
