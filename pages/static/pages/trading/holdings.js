// Holdings, at the last price: what they are worth and what was won or lost with them.

import { byId, el, keyedList, setText } from "../dom.js";
import { amount, direction, percent, quantity, signed, toCents, toUnits } from "../format.js";
import { on, select, state } from "./state.js";

export function startHoldings() {
  on("account", show);
  on("price", (stock) => state.holdings.has(stock.id) && show());
}

function show() {
  showCash();
  const held = [...state.holdings.values()].map(valued).filter(({ count }) => count > 0n);
  byId("no-holdings").hidden = held.length > 0;
  byId("holdings").parentElement.hidden = held.length === 0;
  keyedList(byId("holdings"), held, { keyOf: (row) => row.stock_id, create: holdingRow, update: fillRow });
  const cost = held.reduce((sum, row) => sum + row.cost, 0n);
  const value = held.reduce((sum, row) => sum + (row.value ?? 0n), 0n);
  setText(byId("total-value"), amount(toCents(value)));
  showProfit(byId("total-profit"), byId("total-percent"), value - cost, cost);
}

function showCash() {
  if (!state.account) return;
  for (const name of ["balance", "reserved", "available"]) setText(byId(name), amount(state.account[name]));
  setText(byId("unsettled"), amount(state.account.unsettled));
  byId("unsettled").parentElement.hidden = !state.account.unsettled;
}

function valued(holding) {
  const last = state.stocks.get(holding.stock_id)?.price ?? null;
  // Average cost is over what is unsettled, too.
  const count = BigInt(holding.total_count + holding.unsettled_count);
  return { ...holding, count, last, cost: toUnits(holding.average_cost) * count, value: last === null ? null : last * count };
}

function holdingRow({ stock_id: id }) {
  const stock = el("button", { type: "button", class: "link", on: { click: () => select(id) } }, id);
  return el("tr", {}, el("td", { class: "text" }, stock), ...Array.from({ length: 7 }, () => el("td")));
}

function fillRow(row, holding) {
  const cells = row.cells;
  const decimals = state.stocks.get(holding.stock_id)?.decimals ?? 2;
  setText(cells[1], quantity(holding.count));
  setText(cells[2], quantity(holding.reserved_count));
  setText(cells[3], amount(toUnits(holding.average_cost), 4));
  setText(cells[4], amount(holding.last, decimals));
  setText(cells[5], holding.value === null ? "–" : amount(toCents(holding.value)));
  showProfit(cells[6], cells[7], holding.value === null ? null : holding.value - holding.cost, holding.cost);
}

function showProfit(cell, share, profit, cost) {
  setText(cell, profit === null ? "–" : signed(toCents(profit)));
  cell.className = direction(profit ?? 0n);
  setText(share, profit === null ? "–" : percent(profit, cost));
}
