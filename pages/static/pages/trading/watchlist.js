// The watchlist: every stock with its last price and what it moved since the day (UTC) began.

import { get } from "../api.js";
import { byId, el, setText } from "../dom.js";
import { amount, direction, percent, toUnits } from "../format.js";
import { addStock, changeOf, emit, on, select, state } from "./state.js";
import { Stream } from "../stream.js";

const buttons = new Map();
const asked = new Set();
let day = today();

export function startWatchlist(onState) {
  for (const button of document.querySelectorAll(".stock")) {
    const { stockId, name, status, price, open, increment, lot } = button.dataset;
    addStock({ stock_id: stockId, name, status, price, open, price_increment: increment, lot_size: lot });
    adopt(button, stockId);
  }
  on("select", ({ id }) => {
    for (const [stockId, button] of buttons) button.setAttribute("aria-pressed", String(stockId === id));
    buttons.get(id).scrollIntoView({ block: "nearest" });
  });
  on("price", show);
  byId("filter").addEventListener("input", filter);
  byId("filter").addEventListener("keydown", chooseFirst);
  new Stream("/ws/prices/", { onMessage: take, onState });
}

/** Select the stock `step` places further down the list. */
export function step(by) {
  const ids = shown();
  const index = ids.indexOf(state.selected?.id) + by;
  if (ids.length) select(ids[(index + ids.length) % ids.length]);
}

function adopt(button, stockId) {
  buttons.set(stockId, button);
  button.addEventListener("click", () => select(stockId));
  show(state.stocks.get(stockId));
}

function show(stock) {
  const button = buttons.get(stock.id);
  setText(button.querySelector(".stock-price"), amount(stock.price, stock.decimals));
  const change = button.querySelector(".stock-change");
  if (stock.status === "halted") {
    setText(change, "halted");
    change.className = "stock-change warn";
    return;
  }
  const moved = changeOf(stock);
  setText(change, moved === null ? "" : percent(moved, stock.open));
  change.className = `stock-change ${direction(moved ?? 0n)}`;
}

function take(message) {
  if (message.type !== "prices") return;
  if (day !== today()) beginDay();
  for (const { stock_id: id, price } of message.prices) {
    const stock = state.stocks.get(id);
    if (!stock) meet(id);
    else move(stock, toUnits(price));
  }
}

/** The day, in UTC, begins with the next price of each stock. */
function beginDay() {
  day = today();
  for (const stock of state.stocks.values()) {
    stock.open = null;
    emit("price", stock);
  }
}

function move(stock, price) {
  if (price === stock.price && stock.open !== null) return;
  stock.open ??= price;
  stock.price = price;
  emit("price", stock);
}

/** A stock that was listed after the page was loaded. */
async function meet(stockId) {
  if (asked.has(stockId)) return;
  asked.add(stockId);
  const answer = await get(`stocks/${encodeURIComponent(stockId)}/`).catch(() => null);
  if (!answer) {
    asked.delete(stockId);
    return;
  }
  addStock({ ...answer, open: answer.price });
  byId("no-stocks")?.remove();
  const button = el(
    "button",
    { type: "button", class: "stock", "aria-pressed": "false", dataset: { stockId, name: answer.name } },
    el("span", { class: "stock-id" }, stockId),
    el("span", { class: "stock-price" }),
    el("span", { class: "stock-name" }, answer.name),
    el("span", { class: "stock-change" }),
  );
  byId("stocks").append(el("li", {}, button));
  adopt(button, stockId);
  if (!state.selected) select(stockId);
}

function filter() {
  const wanted = byId("filter").value.trim().toLowerCase();
  for (const [stockId, button] of buttons) {
    button.parentElement.hidden = !`${stockId} ${button.dataset.name}`.toLowerCase().includes(wanted);
  }
}

function chooseFirst(event) {
  if (event.key !== "Enter") return;
  const [first] = shown();
  if (first) select(first);
}

const shown = () => [...buttons].filter(([, button]) => !button.parentElement.hidden).map(([stockId]) => stockId);

function today() {
  return Math.floor(Date.now() / 86_400_000);
}
