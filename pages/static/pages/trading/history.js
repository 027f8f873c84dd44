// What happened: fills, and cash movements, newest first.

import { get } from "../api.js";
import { byId, el, keyedList } from "../dom.js";
import { amount, moment, money, price, quantity, signed, toUnits } from "../format.js";
import { on, select, state } from "./state.js";

const LENGTH = 100;
const RELOAD_MS = 400;

const timers = new Map();

export function startHistory() {
  on("fill", () => {
    soon(loadFills);
    soon(loadLedger);
  });
}

/** Once for many changes. */
function soon(load) {
  clearTimeout(timers.get(load));
  timers.set(load, setTimeout(load, RELOAD_MS));
}

async function loadFills() {
  const answer = await get("users/me/transactions/", { page_size: LENGTH }).catch(() => null);
  if (!answer) return;
  byId("no-fills").hidden = answer.results.length > 0;
  keyedList(byId("fills"), answer.results, {
    keyOf: (fill) => `${fill.trade_id} ${fill.order_id}`,
    create: fillRow,
    update: () => {},
  });
}

function fillRow(fill) {
  const stock = el("button", { type: "button", class: "link", on: { click: () => select(fill.stock) } }, fill.stock);
  return el(
    "tr",
    {},
    el("td", { class: "text muted" }, moment(fill.timestamp)),
    el("td", { class: "text" }, stock),
    el("td", { class: `text ${fill.type.toLowerCase()}` }, fill.type),
    el("td", {}, price(fill.stock_price, state.stocks.get(fill.stock)?.decimals)),
    el("td", {}, quantity(fill.total_count)),
    el("td", {}, money(fill.total_price)),
  );
}

/** Read the newest cash movements. */
export async function loadLedger() {
  const answer = await get("users/me/ledger/", { page_size: LENGTH }).catch(() => null);
  if (!answer) return;
  byId("no-ledger").hidden = answer.results.length > 0;
  keyedList(byId("ledger"), answer.results, { keyOf: (entry) => entry.id, create: ledgerRow, update: () => {} });
}

function ledgerRow(entry) {
  return el(
    "tr",
    {},
    el("td", { class: "text muted" }, moment(entry.timestamp)),
    el("td", { class: "text" }, entry.kind.replaceAll("_", " ")),
    el("td", { class: "text muted" }, entry.reference),
    el("td", {}, signed(toUnits(entry.amount))),
    el("td", {}, amount(toUnits(entry.balance))),
  );
}
