// The line above the chart: the stock's last price, its day, and what the outside market still trades.

import { get } from "../api.js";
import { byId, setText } from "../dom.js";
import { amount, direction, percent, price, quantity, signed } from "../format.js";
import { changeOf, emit, on, state } from "./state.js";
import { fed } from "./status.js";
import { Stream } from "../stream.js";

const REFRESH_MS = 2_000;

let timer = 0;
let ticks = null;

export function startHead(onState) {
  on("select", (stock) => {
    for (const id of ["day-high", "day-low", "day-volume", "outside"]) setText(byId(id), "–");
    showPrice(stock);
    refresh(stock);
    listen(stock, onState);
  });
  on("price", (stock) => stock === state.selected && showPrice(stock));
}

function listen(stock, onState) {
  ticks?.close();
  fed(null);
  const id = encodeURIComponent(stock.id);
  ticks = new Stream(`/ws/ticks/?stock_id=${id}`, { onMessage: (message) => takeTicks(message, stock), onState });
  get(`stocks/${id}/`).then((answer) => takeStock(answer, stock), () => {});
}

/** What may have changed of the stock since the page was loaded. */
function takeStock({ status, recent_data: [tick] }, stock) {
  stock.status = status;
  emit("price", stock);
  if (tick && stock === state.selected) fed(tick.timestamp);
}

function takeTicks(message, stock) {
  if (message.type !== "ticks") return;
  const tick = message.ticks.filter((one) => !one.is_late).at(-1);
  if (!tick) return;
  fed(tick.timestamp);
  showOutside({ ...tick, bid_quantity: tick.availability, ask_quantity: tick.availability }, stock);
}

function showPrice(stock) {
  byId("halted").hidden = stock.status !== "halted";
  setText(byId("last-price"), amount(stock.price, stock.decimals));
  const moved = changeOf(stock);
  const change = byId("last-change");
  setText(change, moved === null ? "" : `${signed(moved, stock.decimals)}  ${percent(moved, stock.open)}`);
  change.className = `change ${direction(moved ?? 0n)}`;
}

/** The day's figures, and what is left of the outside's quote, again and again while the stock is shown. */
async function refresh(stock) {
  clearTimeout(timer);
  const [days, book] = document.hidden ? [null, null] : await Promise.all([day(stock), quote(stock)]);
  if (stock !== state.selected) return;
  if (days?.results.length) {
    const [{ high, low, volume }] = days.results;
    setText(byId("day-high"), price(high, stock.decimals));
    setText(byId("day-low"), price(low, stock.decimals));
    setText(byId("day-volume"), quantity(volume));
  }
  if (book?.quote) showOutside(book.quote, stock);
  timer = setTimeout(() => refresh(stock), REFRESH_MS);
}

const day = ({ id }) =>
  get(`stocks/${encodeURIComponent(id)}/candles/`, { interval: "1d", page_size: 1 }).catch(() => null);
const quote = ({ id }) => get("orderbook/", { stock_id: id, depth: 1 }).catch(() => null);

function showOutside({ price: at, bid_quantity: buys, ask_quantity: sells }, stock) {
  setText(byId("outside"), `buys ${quantity(buys)}, sells ${quantity(sells)} at ${price(at, stock.decimals)}`);
}
