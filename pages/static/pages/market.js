// The market at a glance. Text from the feed only ever becomes text, never markup.

import { Stream } from "./stream.js";

const LEVELS = 5;
const TAPE_LENGTH = 18;
// How far back, in sequence numbers, the tape looks when it starts.
const TAPE_LOOKBACK = 400;
const SPARK_LENGTH = 60;

const byId = (id) => document.getElementById(id);
const prices = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 4 });
const quantities = new Intl.NumberFormat("en");
const times = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

const rows = new Map();
let selected = null;

class StockRow {
  constructor(button) {
    this.id = button.dataset.stockId;
    this.name = button.dataset.name;
    this.button = button;
    this.priceElement = button.querySelector(".price");
    this.line = button.querySelector("polyline");
    this.history = [];
    if (this.priceElement.dataset.price) this.show(Number(this.priceElement.dataset.price));
    button.addEventListener("click", () => select(this.id));
  }

  show(price) {
    const before = this.history.at(-1);
    if (before !== undefined && price !== before) {
      this.priceElement.dataset.moved = price > before ? "up" : "down";
    }
    this.priceElement.textContent = prices.format(price);
    this.history.push(price);
    if (this.history.length > SPARK_LENGTH) this.history.shift();
    this.line.setAttribute("points", sparkline(this.history));
  }
}

/** The points of a line through the newest prices, the last one at the right edge. */
function sparkline(history) {
  const low = Math.min(...history);
  const span = Math.max(...history) - low;
  const x = (index) => 60 - (60 * (history.length - 1 - index)) / (SPARK_LENGTH - 1);
  const y = (price) => (span ? 18 - (16 * (price - low)) / span : 10);
  return history.map((price, index) => `${x(index).toFixed(1)},${y(price).toFixed(1)}`).join(" ");
}

class Book {
  constructor(stockId, onSequence) {
    this.onSequence = onSequence;
    fillLadder(byId("bids"), [], 1);
    fillLadder(byId("asks"), [], 1);
    byId("spread").textContent = "–";
    byId("book-sequence").textContent = "";
    this.stream = new Stream(`/ws/orderbook/?stock_id=${encodeURIComponent(stockId)}`, {
      onMessage: (message) => message.type === "orderbook" && this.show(message),
      onState: (state) => showState("book", state),
    });
  }

  show({ bids, asks, sequence }) {
    const most = Math.max(1, ...bids.map((level) => level.quantity), ...asks.map((level) => level.quantity));
    fillLadder(byId("bids"), bids, most, (price, quantity) => [quantity, price]);
    fillLadder(byId("asks"), asks, most, (price, quantity) => [price, quantity]);
    byId("spread").textContent =
      bids.length && asks.length ? `Spread ${prices.format(asks[0].price - bids[0].price)}` : "One side is empty";
    byId("book-sequence").textContent = `Sequence ${quantities.format(sequence)}`;
    this.onSequence(sequence);
  }
}

function fillLadder(body, levels, most, columns) {
  while (body.rows.length < LEVELS) {
    const row = body.insertRow();
    row.insertCell();
    row.insertCell();
  }
  [...body.rows].forEach((row, index) => {
    const level = levels[index];
    row.style.setProperty("--share", level ? `${(100 * level.quantity) / most}%` : "0%");
    const texts = level ? columns(prices.format(level.price), quantities.format(level.quantity)) : ["", ""];
    texts.forEach((text, column) => (row.cells[column].textContent = text));
  });
}

class Tape {
  constructor(stockId) {
    this.stockId = stockId;
    this.trades = [];
    // Where to begin; known with the first snapshot of the book.
    this.start = null;
    this.show();
    this.stream = new Stream(`/ws/trades/?stock_id=${encodeURIComponent(stockId)}`, {
      onOpen: () => this.resume(this.trades[0]?.sequence ?? this.start),
      onMessage: (message) => message.type === "trades" && this.add(message.trades),
      onState: (state) => showState("tape", state),
    });
  }

  /** Show the trades shortly before this sequence too. */
  lookBack(sequence) {
    if (this.start !== null) return;
    this.start = Math.max(0, sequence - TAPE_LOOKBACK);
    this.resume(this.start);
  }

  /** Ask for what came after `since`. Before the connection is open this does nothing: `onOpen` asks then. */
  resume(since) {
    if (since !== null) this.stream.send({ type: "resume", stock_id: this.stockId, since_sequence: since });
  }

  add(trades) {
    const known = new Set(this.trades.map((trade) => trade.sequence));
    this.trades.push(...trades.filter((trade) => !known.has(trade.sequence)));
    this.trades.sort((a, b) => b.sequence - a.sequence);
    this.trades.length = Math.min(this.trades.length, TAPE_LENGTH + 1);
    this.show();
  }

  show() {
    byId("no-trades").hidden = this.trades.length > 0;
    const shown = this.trades.slice(0, TAPE_LENGTH);
    byId("trades").replaceChildren(...shown.map((trade, index) => tradeRow(trade, this.trades[index + 1])));
  }
}

function tradeRow(trade, before) {
  const row = document.createElement("tr");
  const texts = [
    times.format(new Date(trade.execution_timestamp)),
    prices.format(trade.price),
    quantities.format(trade.quantity),
  ];
  texts.forEach((text) => (row.insertCell().textContent = text));
  if (before && trade.price !== before.price) row.cells[1].dataset.moved = trade.price > before.price ? "up" : "down";
  return row;
}

const states = new Map();

function showState(part, state) {
  states.set(part, state);
  const all = [...states.values()];
  const worst = ["offline", "connecting"].find((one) => all.includes(one)) ?? "live";
  const status = byId("status");
  status.dataset.state = worst;
  const text = worst === "offline" ? "reconnecting" : worst;
  if (status.textContent !== text) status.textContent = text;
}

function select(stockId) {
  if (selected?.stockId === stockId || !rows.has(stockId)) return;
  selected?.book.stream.close();
  selected?.tape.stream.close();
  for (const row of rows.values()) row.button.setAttribute("aria-pressed", String(row.id === stockId));
  const { id, name } = rows.get(stockId);
  byId("book-of").textContent = name === id ? id : `${id} · ${name}`;
  byId("tape-of").textContent = id;
  const tape = new Tape(stockId);
  selected = { stockId, tape, book: new Book(stockId, (sequence) => tape.lookBack(sequence)) };
  history.replaceState(null, "", `#${encodeURIComponent(stockId)}`);
}

for (const button of document.querySelectorAll(".stock")) rows.set(button.dataset.stockId, new StockRow(button));

new Stream("/ws/prices/", {
  onMessage: (message) => {
    if (message.type !== "prices") return;
    for (const { stock_id, price } of message.prices) rows.get(stock_id)?.show(price);
  },
  onState: (state) => showState("prices", state),
});

const wanted = [...rows.keys()].find((id) => `#${encodeURIComponent(id)}` === location.hash);
select(wanted ?? rows.keys().next().value);
