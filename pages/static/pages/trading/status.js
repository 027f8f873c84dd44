// The status bar: is the page connected, how old is the feed, where are we, and was anything missed?

import { byId, setText } from "../dom.js";
import { age, quantity } from "../format.js";
import { losses } from "../stream.js";
import { serverNow } from "../clock.js";

const TICK_MS = 500;
const WORST_FIRST = ["over", "offline", "connecting"];
const WORDS = { live: "live", connecting: "connecting", offline: "reconnecting", over: "closed: load the page again" };

const states = new Map();
let fedAt = null;

export function startStatus() {
  setInterval(tick, TICK_MS);
}

/** A listener for the state of one part's stream. */
export const stateOf = (part) => (state) => {
  states.set(part, state);
  const all = [...states.values()];
  const worst = WORST_FIRST.find((one) => all.includes(one)) ?? "live";
  const place = byId("connection");
  place.dataset.state = worst;
  setText(place, WORDS[worst]);
};

/** The time, ISO, of the newest tick of the stock that is shown; null when another stock is. */
export function fed(at) {
  fedAt = at === null ? null : Math.max(fedAt ?? 0, Date.parse(at));
}

export function showSequence(sequence) {
  setText(byId("sequence"), quantity(sequence));
}

function tick() {
  setText(byId("feed-age"), fedAt === null ? "–" : age(serverNow() - fedAt));
  setText(byId("gaps"), quantity(losses.gaps));
  setText(byId("healed"), quantity(losses.healed));
}
