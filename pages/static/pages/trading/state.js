// What the panels of the trading page share: the stocks, which one is shown, and what the user has.

import { byId } from "../dom.js";
import { decimalsOf, toUnits } from "../format.js";

export const userId = document.body.dataset.userId;

export const state = {
  /** Stocks by id: `{id, name, status, increment, decimals, lot, price, open}`; prices in units or null. */
  stocks: new Map(),
  selected: null,
  /** Open orders by order_id, as the API shows them. */
  orders: new Map(),
  /** `{balance, reserved, available, unsettled}` in units, null before it is known. */
  account: null,
  /** Holdings by stock_id, as the API shows them. */
  holdings: new Map(),
};

const events = new EventTarget();

/** Tell the panels: "select" (a stock), "price" (a stock), "orders", "account" (cash and holdings), "fill",
 *  "pick" (a price of the book, in units). */
export const emit = (name, detail) => events.dispatchEvent(new CustomEvent(name, { detail }));
export const on = (name, listener) => events.addEventListener(name, (event) => listener(event.detail));

/** A stock from the API's or the page's fields. */
export function addStock({ stock_id, name, status, price, open, price_increment, lot_size }) {
  const stock = {
    id: stock_id,
    name,
    status,
    increment: toUnits(price_increment),
    decimals: decimalsOf(price_increment),
    lot: Number(lot_size),
    price: price === null || price === "" ? null : toUnits(price),
    open: open === null || open === "" ? null : toUnits(open),
  };
  state.stocks.set(stock.id, stock);
  return stock;
}

/** What a stock moved today, in units; null when it is not known. */
export const changeOf = ({ price, open }) => (price === null || open === null ? null : price - open);

/** Show this stock on the whole page. */
export function select(stockId) {
  const stock = state.stocks.get(stockId);
  if (!stock || stock === state.selected) return;
  state.selected = stock;
  history.replaceState(null, "", `#${encodeURIComponent(stockId)}`);
  document.title = `${stockId} · Bourse`;
  emit("select", stock);
}

const isPhone = matchMedia("(max-width: 59.99rem)");
const main = byId("main");

/** On a narrow screen, show one of the panels: "stocks", "chart", "book", "trade" or "account". */
export function showPanel(name) {
  main.dataset.tab = name;
  for (const tab of byId("phone-tabs").children) {
    tab.setAttribute("aria-pressed", String(tab.dataset.tab === name));
  }
}

/** The same, where only one panel is seen at a time. */
export function revealPanel(name) {
  if (isPhone.matches) showPanel(name);
}
