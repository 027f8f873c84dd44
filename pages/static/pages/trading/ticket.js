// The order ticket: which fields an order has, what it would cost and hold, and placing it.

import { clearErrors, post, showErrors, uniqueKey } from "../api.js";
import { byId, setText } from "../dom.js";
import { fromUnits, price, quantity, toUnits } from "../format.js";
import { startPreview, previewSoon } from "./preview.js";
import { takeOrder } from "./private.js";
import { on, revealPanel, state, userId } from "./state.js";
import { stepOnArrows } from "./steps.js";

// The fields of each type beside side, type and quantity; and what the API calls it.
const FIELDS = {
  limit: ["price", "time_in_force", "post_only", "more"],
  market: ["more"],
  stop: ["stop_price", "more"],
  stop_limit: ["stop_price", "price", "time_in_force", "more"],
  iceberg: ["price", "display_quantity", "time_in_force", "post_only", "more"],
  bounded: ["lower_bound", "upper_bound"],
};
const API_TYPES = { iceberg: "limit" };
const PRICES = ["price", "stop_price", "lower_bound", "upper_bound"];
// Bounded orders have a path of their own, where the quantity is called so.
const ERROR_NAMES = { total: "quantity" };

const form = byId("ticket");
const fields = form.elements;

let isSending = false;
// The order that got no answer, and its client_order_id: sent again, it is placed once.
let unanswered = null;

export function startTicket() {
  for (const name of PRICES) {
    stepOnArrows(fields[name], () => state.selected?.increment, {
      decimals: () => state.selected?.decimals ?? 0,
      start: () => state.selected?.price ?? 0n,
    });
  }
  for (const name of ["quantity", "display_quantity"]) {
    stepOnArrows(fields[name], () => BigInt(state.selected?.lot ?? 1) * 10_000n);
  }
  form.addEventListener("input", changed);
  form.addEventListener("submit", submit);
  form.querySelector(".parts").addEventListener("click", fillPart);
  on("select", () => empty());
  on("pick", takePrice);
  startPreview(request);
  changed();
}

/** Turn the ticket to a side, and begin with the quantity. */
export function begin(side) {
  revealPanel("trade");
  fields.side.value = side;
  changed();
  fields.quantity.select();
  fields.quantity.focus();
}

/** Empty the ticket; type and side stay. */
export function empty() {
  for (const name of ["quantity", "display_quantity", ...PRICES]) fields[name].value = "";
  clearErrors(form);
  setText(byId("result"), "");
  changed();
}

function takePrice(picked) {
  revealPanel("trade");
  if (!FIELDS[fields.type.value].includes("price")) fields.type.value = "limit";
  fields.price.value = fromUnits(picked, state.selected.decimals);
  changed();
  fields.quantity.focus();
}

function changed() {
  const type = fields.type.value;
  for (const field of form.querySelectorAll("[data-field]")) {
    const name = field.dataset.field;
    field.hidden = name === "expires_at" ? !isTimed() : !FIELDS[type].includes(name);
  }
  form.dataset.side = fields.side.value;
  showSubmit();
  previewSoon();
}

const isTimed = () => FIELDS[fields.type.value].includes("time_in_force") && fields.time_in_force.value === "gtd";

function showSubmit() {
  const button = byId("submit");
  if (!button) return;
  const side = fields.side.value === "buy" ? "Buy" : "Sell";
  const shares = fields.quantity.value.trim();
  setText(button, [side, shares, state.selected?.id].filter(Boolean).join(" "));
  button.disabled = isSending || !state.selected;
}

/** The order of the ticket: `{path, body}` for the API. */
function request() {
  const type = fields.type.value;
  const text = (name) => fields[name].value.trim();
  if (type === "bounded") {
    const body = { stock_id: state.selected.id, total: text("quantity") };
    return { path: `users/me/${fields.side.value}/`, body: { ...body, lower_bound: text("lower_bound"), upper_bound: text("upper_bound") } };
  }
  const body = {
    stock_id: state.selected.id,
    side: fields.side.value,
    type: API_TYPES[type] ?? type,
    quantity: text("quantity"),
    self_trade_prevention: fields.self_trade_prevention.value,
  };
  for (const name of FIELDS[type]) if (PRICES.includes(name) || name === "display_quantity") body[name] = text(name);
  if (FIELDS[type].includes("time_in_force")) body.time_in_force = fields.time_in_force.value;
  if (FIELDS[type].includes("post_only")) body.post_only = fields.post_only.checked;
  if (isTimed()) body.expires_at = utc(fields.expires_at.value);
  return { path: "orders/", body };
}

/** What a person entered as local time, for the API; as it is when it is no time. */
function utc(local) {
  const at = new Date(local);
  return Number.isNaN(at.getTime()) ? local : at.toISOString();
}

async function submit(event) {
  event.preventDefault();
  if (isSending || !userId || !state.selected) return;
  const { path, body } = request();
  const wanted = JSON.stringify([path, body]);
  if (unanswered?.wanted !== wanted) unanswered = { wanted, id: uniqueKey() };
  clearErrors(form);
  setText(byId("result"), "");
  isSending = true;
  showSubmit();
  try {
    const answer = await post(path, { ...body, client_order_id: unanswered.id });
    unanswered = null;
    placed(answer.order ?? answer);
  } catch (error) {
    if (error.status !== 0) unanswered = null;
    showErrors(form, error.errors ?? [{ attr: null, detail: error.message }], ERROR_NAMES)?.focus();
  } finally {
    isSending = false;
    changed();
  }
}

function placed(order) {
  takeOrder(order);
  fields.quantity.value = "";
  setText(byId("result"), outcome(order));
}

const REASONS = {
  fok: "not all of it could trade at once",
  ioc: "no more could trade at once",
  no_liquidity: "no more was to be had within its price limit",
  post_only: "it would have traded at once",
  self_trade: "it met an order of yours",
};

/** What became of an order, in a sentence. */
function outcome(order) {
  const verb = order.side === "buy" ? "Bought" : "Sold";
  const done = order.traded_quantity
    ? `${verb} ${quantity(order.traded_quantity)} ${order.stock_id} at ${price(order.average_traded_price)}. `
    : "";
  const rest = quantity(order.remaining_quantity);
  if (order.is_active) return `${done}${order.traded_quantity ? `${rest} wait.` : `Order waits: ${order.side} ${rest} ${order.stock_id}.`}`;
  if (order.status === "FILLED") return done.trim();
  const end = order.status === "REJECTED" ? "Rejected" : order.traded_quantity ? "The rest ended" : "Ended untraded";
  return `${done}${end}: ${REASONS[order.reason] ?? order.reason.replaceAll("_", " ")}.`;
}

/** A share of what is available as the quantity: of cash at the price for a buy, of shares for a sell. */
function fillPart(event) {
  const part = event.target.dataset.part;
  const stock = state.selected;
  if (!part || !stock) return;
  const most = fields.side.value === "buy" ? affordable(stock) : sellable(stock);
  const lots = (most * BigInt(part)) / 100n / BigInt(stock.lot);
  fields.quantity.value = String(lots * BigInt(stock.lot));
  changed();
}

function affordable(stock) {
  const body = request().body;
  const typed = body.price ?? body.upper_bound ?? body.stop_price;
  const each = (typed && toUnits(typed)) || stock.price;
  return state.account && each > 0n ? state.account.available / each : 0n;
}

function sellable(stock) {
  const holding = state.holdings.get(stock.id);
  return BigInt(holding ? holding.total_count - holding.reserved_count : 0);
}
