// What is the user's own: cash, holdings and open orders, read once at every connection and then kept by the stream.

import { get } from "../api.js";
import { toUnits } from "../format.js";
import { emit, state } from "./state.js";
import { Stream } from "../stream.js";

const RELOAD_MS = 300;
const RETRY_MS = 2_000;
const MOST_ORDERS = 500;
const MOST_REMEMBERED = 1_000;

let timer = 0;
// Orders that were heard of while the open ones are being read; null otherwise.
let heard = null;
// Ids of orders that have ended: an answer that was on its way longer does not open them again.
const ended = new Set();

export function startPrivate(onState) {
  new Stream("/ws/orders/", { onOpen: reload, onMessage: take, onState });
}

/** Read cash, holdings and open orders. The stream has them as they change; this is where it starts from. */
async function reload() {
  const news = (heard = new Map());
  const [answer] = await Promise.all([
    get("orders/", { open: true, page_size: MOST_ORDERS }).catch(() => null),
    reloadAccount(),
  ]);
  if (news !== heard) return;
  if (!answer) {
    setTimeout(reload, RETRY_MS);
    return;
  }
  heard = null;
  state.orders = news;
  for (const order of answer.results) keep(order);
  emit("orders");
  emit("fill");
}

async function reloadAccount() {
  const answer = await get("users/me/").catch(() => null);
  if (!answer) return;
  state.account = cash(answer);
  state.holdings = new Map(answer.stocks.map((holding) => [holding.stock_id, holding]));
  emit("account");
}

/** Soon, and once for many changes: holdings have no stream of their own. */
export function reloadAccountSoon() {
  clearTimeout(timer);
  timer = setTimeout(reloadAccount, RELOAD_MS);
}

const cash = ({ balance, available, unsettled }) => {
  const account = { balance: toUnits(balance), available: toUnits(available), unsettled: toUnits(unsettled) };
  return { ...account, reserved: account.balance - account.available };
};

function take(message) {
  if (message.type === "fill") emit("fill", message.fill);
  else if (message.type === "order") takeOrder(message.order);
  else return;
  state.account = cash(message);
  emit("account");
  reloadAccountSoon();
}

/** Keep an order as it is now; a finished one is open no more. */
export function takeOrder(order) {
  keep(order);
  emit("orders");
}

function keep(order) {
  const id = order.order_id;
  const known = state.orders.get(id);
  if (ended.has(id) || (known && known.sequence > order.sequence)) return;
  for (const orders of [state.orders, heard]) {
    if (order.is_active) orders?.set(id, order);
    else orders?.delete(id);
  }
  if (!order.is_active) ended.add(id);
  if (ended.size > MOST_REMEMBERED) ended.delete(ended.values().next().value);
}
