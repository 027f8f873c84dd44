// The depth ladder: asks above, bids below, a bar for each level, and a click that takes its price.

import { byId, el, setAttribute, setText } from "../dom.js";
import { amount, percent, quantity, toUnits } from "../format.js";
import { emit, on, state } from "./state.js";
import { Stream } from "../stream.js";
import { observe } from "../clock.js";

const DEPTH = 40;
const FEWEST = 3;

const sides = { asks: byId("asks"), bids: byId("bids") };
let stream = null;
let book = null;
let shownLevels = 8;
// The row that Tab leads to, counted from the best ask (-1) up and from the best bid (1) down.
let current = 1;

export function startLadder({ onState, onSequence }) {
  on("select", (stock) => open(stock, onState, onSequence));
  on("orders", show);
  for (const body of Object.values(sides)) {
    body.addEventListener("click", (event) => pick(event.target.closest("tr")));
    body.addEventListener("keydown", walk);
  }
  new ResizeObserver(fit).observe(byId("ladder-area"));
}

/** Put the focus on the level that it was on last. */
export function focusLadder() {
  (buttonAt(current) ?? buttonAt(1) ?? buttonAt(-1))?.focus();
}

function open(stock, onState, onSequence) {
  stream?.close();
  book = null;
  show();
  setText(byId("book-of"), stock.id);
  setText(byId("book-sequence"), "");
  stream = new Stream(`/ws/orderbook/?stock_id=${encodeURIComponent(stock.id)}&depth=${DEPTH}`, {
    onState,
    onMessage(message) {
      if (message.type !== "orderbook") return;
      observe(message.timestamp);
      book = { bids: message.bids.map(level), asks: message.asks.map(level) };
      setText(byId("book-sequence"), `#${quantity(message.sequence)}`);
      show();
      onSequence(message.sequence);
    },
  });
}

const level = ({ price, quantity: size }) => ({ price: toUnits(price), size });

/** As many levels as there is room for. */
function fit() {
  const area = byId("ladder-area");
  const rowHeight = Math.max(16, byId("spread").parentElement.offsetHeight);
  const levels = Math.max(FEWEST, Math.floor((area.clientHeight / rowHeight - 2) / 2));
  if (levels === shownLevels) return;
  shownLevels = Math.min(levels, DEPTH);
  show();
}

function show() {
  const bids = (book?.bids ?? []).slice(0, shownLevels);
  const asks = (book?.asks ?? []).slice(0, shownLevels);
  const mine = ownQuantities();
  const most = Math.max(1, ...[...bids, ...asks].map(({ size }) => size));
  fill("bids", bids, most, mine);
  fill("asks", asks, most, mine);
  showSpread(bids[0], asks[0]);
}

function showSpread(bid, ask) {
  if (!bid || !ask) {
    setText(byId("spread"), book ? "one side is empty" : "–");
    return;
  }
  const spread = ask.price - bid.price;
  const share = percent(spread, (ask.price + bid.price) / 2n).replace("+", "");
  setText(byId("spread"), `Spread ${amount(spread, state.selected.decimals)}  ${share}`);
}

/** Fill one side. Its rows are there for good, the best level nearest the spread. */
function fill(side, levels, most, mine) {
  const body = sides[side];
  while (body.rows.length > shownLevels) body.deleteRow(-1);
  while (body.rows.length < shownLevels) body.append(levelRow());
  let total = 0;
  for (let index = 0; index < shownLevels; index += 1) {
    const row = body.rows[side === "asks" ? shownLevels - 1 - index : index];
    const one = levels[index];
    total += one?.size ?? 0;
    row.dataset.place = side === "asks" ? -1 - index : 1 + index;
    fillRow(row, one, { side, most, total, own: one ? mine.get(`${side} ${one.price}`) : 0 });
  }
}

function levelRow() {
  const button = el("button", { type: "button", class: "level", tabindex: "-1" });
  return el("tr", {}, el("td", {}, button), el("td"), el("td"), el("td", { class: "mine" }));
}

function fillRow(row, one, { side, most, total, own }) {
  const [priceCell, sizeCell, totalCell, mineCell] = row.cells;
  const button = priceCell.firstElementChild;
  row.dataset.price = one ? one.price : "";
  row.style.setProperty("--share", one ? (one.size / most).toFixed(3) : "0");
  button.disabled = !one;
  button.tabIndex = Number(row.dataset.place) === current ? 0 : -1;
  setText(button, one ? amount(one.price, state.selected.decimals) : "");
  setText(sizeCell, one ? quantity(one.size) : "");
  setText(totalCell, one ? quantity(total) : "");
  setText(mineCell, own ? quantity(own) : "");
  const kind = side === "asks" ? "Ask" : "Bid";
  setAttribute(button, "aria-label", one && `${kind} ${button.textContent}, ${quantity(one.size)} shares${own ? `, ${quantity(own)} mine` : ""}`);
}

/** What the user has waiting, by side and price. */
function ownQuantities() {
  const found = new Map();
  for (const order of state.orders.values()) {
    if (order.stock_id !== state.selected?.id || order.price === null || !waits(order)) continue;
    const key = `${order.side === "buy" ? "bids" : "asks"} ${toUnits(order.price)}`;
    found.set(key, (found.get(key) ?? 0) + order.remaining_quantity);
  }
  return found;
}

// A stop-limit order is not in the book before it was triggered; which its fields do not tell, the book does.
const waits = (order) => order.type === "limit" || order.type === "stop_limit";

function pick(row) {
  if (!row?.dataset.price) return;
  current = Number(row.dataset.place);
  emit("pick", BigInt(row.dataset.price));
}

const STEPS = { ArrowUp: -1, ArrowDown: 1 };

function walk(event) {
  const by = STEPS[event.key];
  if (!by) return;
  event.preventDefault();
  let place = Number(event.target.closest("tr").dataset.place) + by;
  if (place === 0) place += by;
  const button = buttonAt(place);
  if (!button) return;
  buttonAt(current)?.setAttribute("tabindex", "-1");
  current = place;
  button.tabIndex = 0;
  button.focus();
}

function buttonAt(place) {
  const rows = [...sides.asks.rows, ...sides.bids.rows];
  return rows.find((row) => Number(row.dataset.place) === place && row.dataset.price)?.querySelector("button");
}
