// What the order of the ticket would cost and hold, as the market itself says in a dry run.

import { post } from "../api.js";
import { byId, setText } from "../dom.js";
import { amount, quantity, toUnits } from "../format.js";
import { on, state, userId } from "./state.js";

const QUIET_MS = 200;
const WHOLE = /^\d{1,9}$/;

let requestOf = null;
let timer = 0;
let newest = 0;

/** `request()` is the order of the ticket, `{path, body}`. */
export function startPreview(request) {
  requestOf = request;
  on("account", previewSoon);
}

/** Show the cost anew when the ticket has come to rest. */
export function previewSoon() {
  clearTimeout(timer);
  timer = setTimeout(preview, QUIET_MS);
}

async function preview() {
  const order = state.selected ? asOrder(requestOf()) : null;
  newest += 1;
  const mine = newest;
  if (!order) return show(null, "");
  if (!userId) return show({ order, limit: order.limit, held: null }, "");
  if (order.isBounded) {
    const held = order.side === "buy" ? order.limit * order.shares : order.shares;
    return show({ order, limit: order.limit, held }, "Trades with the feed only. A fee may come to what is held.");
  }
  let answer;
  try {
    answer = await post("orders/", order.body, { query: { dry_run: true } });
  } catch (error) {
    if (mine === newest) show(null, error.message);
    return undefined;
  }
  if (mine !== newest) return undefined;
  if (!answer.accepted) return show(null, answer.errors.map((error) => error.detail).join(" "));
  const held = order.side === "buy" ? toUnits(answer.reserved) : BigInt(answer.reserved);
  return show({ order, limit: toUnits(answer.limit_price), held }, noteOf(order));
}

/** The order with its numbers read; null while something is missing. Prices are units. */
function asOrder({ path, body }) {
  const size = body.quantity ?? body.total;
  if (!WHOLE.test(size)) return null;
  const prices = ["price", "stop_price", "lower_bound", "upper_bound"].filter((name) => name in body);
  if (prices.some((name) => toUnits(body[name]) === null)) return null;
  if (body.display_quantity === "" || (body.time_in_force === "gtd" && !body.expires_at)) return null;
  const side = body.side ?? (path.endsWith("/buy/") ? "buy" : "sell");
  const isBounded = "total" in body;
  const limit = toUnits(isBounded ? body[side === "buy" ? "upper_bound" : "lower_bound"] : (body.price ?? body.stop_price ?? null));
  return { body, side, isBounded, shares: BigInt(size), limit: limit ?? state.selected.price };
}

function noteOf({ body, side }) {
  if (body.type !== "market" && body.type !== "stop") return "";
  return side === "buy" ? "Held up to the edge of the collar; what is not spent is free again at once." : "";
}

function show(found, note) {
  setText(byId("preview-note"), note);
  const isBuy = (found?.order.side ?? "buy") === "buy";
  setText(byId("value-label"), isBuy ? "Value, at most" : "Value, at least");
  const value = found?.limit ? found.limit * found.order.shares : null;
  const held = found?.held ?? null;
  setText(byId("preview-value"), amount(value));
  setText(byId("preview-fee"), isBuy && held !== null && !found.order.isBounded ? amount(held - value) : "–");
  setText(byId("preview-held"), held === null ? "–" : isBuy ? amount(held) : `${quantity(held)} shares`);
  setText(byId("preview-after"), after(isBuy, held));
}

/** What is available once this is held. */
function after(isBuy, held) {
  if (held === null) return "–";
  if (isBuy) return state.account ? amount(state.account.available - held) : "–";
  const holding = state.holdings.get(state.selected.id);
  return holding ? `${quantity(BigInt(holding.total_count - holding.reserved_count) - held)} shares` : "–";
}
