// Open orders: what waits, with cancel and edit.

import { patch, remove } from "../api.js";
import { byId, el, keyedList, setText } from "../dom.js";
import { fromUnits, moment, money, price, quantity, toUnits } from "../format.js";
import { takeOrder } from "./private.js";
import { on, select, state } from "./state.js";
import { stepOnArrows } from "./steps.js";

const TYPES = { limit: "limit", market: "market", stop: "stop", stop_limit: "stop-limit", bounded: "bounded" };

// The order that is being edited.
let edited = null;

export function startOrders() {
  on("orders", show);
  byId("cancel-all").addEventListener("click", cancelAll);
  byId("orders").addEventListener("keydown", onKey);
  show();
}

function show() {
  const orders = [...state.orders.values()].sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
  byId("no-orders").hidden = orders.length > 0;
  byId("cancel-all").hidden = orders.length === 0;
  setText(byId("order-count"), orders.length ? `(${orders.length})` : "");
  keyedList(byId("orders"), orders, {
    keyOf: (order) => `${order.order_id}${order.order_id === edited ? " edit" : ""}`,
    create: (order) => (order.order_id === edited ? editRow(order) : orderRow(order)),
    update: (row, order) => order.order_id !== edited && fillRow(row, order),
  });
}

function orderRow(order) {
  const side = order.side === "buy" ? "Buy" : "Sell";
  const stock = el("button", { type: "button", class: "link", on: { click: () => select(order.stock_id) } }, order.stock_id);
  const change = el("button", { type: "button", class: "button small", on: { click: () => edit(order.order_id) } }, "Edit");
  const cancel = el("button", { type: "button", class: "button small", on: { click: () => cancelOne(order) } }, "Cancel");
  const why = el("a", { class: "button small", href: `/orders/${order.order_id}/` }, "Why");
  for (const [button, verb] of [[change, "Edit"], [cancel, "Cancel"], [why, "Why:"]]) {
    button.setAttribute("aria-label", `${verb} ${side} ${order.quantity} ${order.stock_id}`);
  }
  // A bounded order has two prices, and a stop none: only a single price can be changed.
  change.hidden = order.price === null;
  return el(
    "tr",
    { dataset: { orderId: order.order_id } },
    el("td", { class: "text muted" }, moment(order.created_at)),
    el("td", { class: "text" }, stock),
    el("td", { class: "text" }, el("span", { class: order.side }, side), ` ${termsOf(order)}`),
    el("td"), el("td"), el("td"), el("td"),
    el("td", { class: "actions" }, change, " ", cancel, " ", why),
  );
}

function fillRow(row, order) {
  const [, , , priceCell, quantityCell, filledCell, heldCell] = row.cells;
  setText(priceCell, priceText(order));
  setText(quantityCell, quantity(order.quantity));
  setText(filledCell, quantity(order.traded_quantity));
  setText(heldCell, order.side === "buy" ? money(order.reserved) : `${quantity(order.reserved)} sh`);
}

function termsOf(order) {
  const words = [order.display_quantity ? "iceberg" : TYPES[order.type]];
  if (order.time_in_force !== "gtc") words.push(order.time_in_force.toUpperCase());
  if (order.post_only) words.push("post-only");
  return words.join(" ");
}

function priceText(order) {
  const decimals = state.stocks.get(order.stock_id)?.decimals ?? 2;
  if (order.lower_bound !== null) return `${price(order.lower_bound, decimals)}–${price(order.upper_bound, decimals)}`;
  const stop = order.stop_price === null ? "" : `stop ${price(order.stop_price, decimals)}`;
  const limit = order.price === null ? "" : price(order.price, decimals);
  return [stop, limit].filter(Boolean).join(" · ");
}

function edit(orderId) {
  edited = orderId;
  show();
  byId("orders").querySelector("[name=price]").select();
}

function leaveEdit() {
  const left = edited;
  edited = null;
  fail("");
  show();
  byId("orders").querySelector(`[data-order-id="${left}"] button.button`)?.focus();
}

function editRow(order) {
  const decimals = state.stocks.get(order.stock_id)?.decimals ?? 2;
  const priceInput = el("input", { name: "price", inputmode: "decimal", "aria-label": "New price", value: fromUnits(toUnits(order.price), decimals) });
  const sizeInput = el("input", { name: "quantity", inputmode: "numeric", "aria-label": "New total quantity", value: order.quantity });
  stepOnArrows(priceInput, () => state.stocks.get(order.stock_id)?.increment);
  const save = () => change(order, priceInput.value, sizeInput.value);
  return el(
    "tr",
    { class: "editing", dataset: { orderId: order.order_id } },
    el("td", { class: "text muted" }, moment(order.created_at)),
    el("td", { class: "text" }, order.stock_id),
    el("td", { class: "text" }, el("span", { class: order.side }, order.side === "buy" ? "Buy" : "Sell"), ` ${termsOf(order)}`),
    el("td", {}, priceInput),
    el("td", {}, sizeInput),
    el("td", {}, quantity(order.traded_quantity)),
    el("td"),
    el(
      "td",
      { class: "actions" },
      el("button", { type: "button", class: "button small primary", on: { click: save } }, "Save"),
      " ",
      el("button", { type: "button", class: "button small", on: { click: leaveEdit } }, "Leave"),
    ),
  );
}

function onKey(event) {
  if (!event.target.closest(".editing") || event.target.tagName !== "INPUT") return;
  if (event.key === "Enter") event.target.closest("tr").querySelector(".primary").click();
  else if (event.key === "Escape") {
    event.stopPropagation();
    leaveEdit();
  }
}

async function change(order, priceText_, sizeText) {
  const wanted = {};
  if (toUnits(priceText_) !== toUnits(order.price)) wanted.price = priceText_.trim();
  if (sizeText.trim() !== String(order.quantity)) wanted.quantity = sizeText.trim();
  if (Object.keys(wanted).length && !(await tried(() => patch(`orders/${order.order_id}/`, wanted)))) return;
  leaveEdit();
}

const cancelOne = (order) => tried(() => remove(`orders/${order.order_id}/`));
// The stream tells which ones.
const cancelAll = () => tried(() => remove("orders/"));

/** Do it, keep the order that is answered, and say what was refused. */
async function tried(request) {
  fail("");
  try {
    const answer = await request();
    if (answer.order_id) takeOrder(answer);
    return true;
  } catch (error) {
    fail(error.message);
    return false;
  }
}

const fail = (text) => setText(byId("order-error"), text);
