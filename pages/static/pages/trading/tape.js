// The tape: every trade of the stock that is shown, newest first, without a gap.

import { byId, el, keyedList } from "../dom.js";
import { price, quantity, time } from "../format.js";
import { on, state } from "./state.js";
import { TradeStream } from "../stream.js";

const LENGTH = 60;
// How far back, in sequence numbers, the tape looks when it starts.
const LOOKBACK = 400;

let stream = null;
let trades = [];

export function startTape() {
  on("select", () => {
    stream?.close();
    stream = null;
    trades = [];
    show();
  });
}

/** Begin shortly before this sequence, unless the tape of the stock runs already. */
export function runTape(sequence, onState) {
  stream ??= new TradeStream(state.selected.id, Math.max(0, sequence - LOOKBACK), { onTrades: add, onState });
}

function add(news) {
  trades.unshift(...news.reverse());
  // One more than is shown: it says where the last one shown came from.
  trades.length = Math.min(trades.length, LENGTH + 1);
  show();
}

function show() {
  byId("no-trades").hidden = trades.length > 0;
  const shown = trades.slice(0, LENGTH).map((trade, index) => ({ ...trade, before: trades[index + 1]?.price }));
  keyedList(byId("trades"), shown, { keyOf: (trade) => trade.sequence, create: tradeRow, update: fillRow });
}

const tradeRow = () => el("tr", {}, el("td", { class: "text muted" }), el("td"), el("td"));

function fillRow(row, trade) {
  const [timeCell, priceCell, quantityCell] = row.cells;
  if (!timeCell.textContent) timeCell.textContent = time(trade.execution_timestamp);
  priceCell.textContent = price(trade.price, state.selected.decimals);
  priceCell.className = trade.before === undefined || trade.price === trade.before ? "" : trade.price > trade.before ? "up" : "down";
  quantityCell.textContent = quantity(trade.quantity);
}
