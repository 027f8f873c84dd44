// What is the user's own: cash, holdings and open orders, read once at every connection and then kept by the stream.

import { get } from "../api.js";
import { toUnits } from "../format.js";
import { emit, state } from "./state.js";
import { Stream } from "../stream.js";

const RELOAD_MS = 300;
const MOST_ORDERS = 500;

let timer = 0;

export function startPrivate(onState) {
  new Stream("/ws/orders/", { onOpen: reload, onMessage: take, onState });
}

/** Read cash, holdings and open orders. The stream has them as they change; this is where it starts from. */
async function reload() {
  const [answer] = await Promise.all([
    get("orders/", { open: true, page_size: MOST_ORDERS }).catch(() => null),
    reloadAccount(),
  ]);
  if (!answer) return;
  state.orders = new Map(answer.results.map((order) => [order.order_id, newest(order)]));
  emit("orders");
  emit("fill");
}

/** Of an order as it was read and as the stream brought it, the later one. */
function newest(order) {
  const known = state.orders.get(order.order_id);
  return known && known.sequence > order.sequence ? known : order;
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
  const known = state.orders.get(order.order_id);
  if (known && known.sequence > order.sequence) return;
  if (order.is_active) state.orders.set(order.order_id, order);
  else state.orders.delete(order.order_id);
  emit("orders");
}
