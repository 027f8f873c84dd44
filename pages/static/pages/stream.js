// Streams of the market that stay connected: they reconnect, faster at first, and notice a dead line.

import { serverNow } from "./clock.js";

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;
const PING_MS = 10_000;
// These do not get better by asking again: the URL makes no sense, not authenticated, unknown stock.
const FINAL_CODES = new Set([4000, 4001, 4004]);

export class Stream {
  /** `onOpen(stream)` runs at every connection, `onMessage(message)` for every message,
   *  `onState("connecting" | "live" | "offline")` when that changes. */
  constructor(path, { onOpen = () => {}, onMessage, onState = () => {} }) {
    this.url = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}${path}`;
    this.handlers = { onOpen, onMessage, onState };
    this.retryMs = FIRST_RETRY_MS;
    this.isClosed = false;
    this.connect();
  }

  send(message) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  close() {
    this.isClosed = true;
    clearTimeout(this.timer);
    this.stopPings();
    this.socket.close();
  }

  connect() {
    const socket = (this.socket = new WebSocket(this.url));
    socket.onopen = () => {
      this.retryMs = FIRST_RETRY_MS;
      this.startPings();
      this.handlers.onState("live");
      this.opened();
    };
    socket.onmessage = (event) => {
      this.heard = true;
      const message = JSON.parse(event.data);
      if (!this.isClosed && message.type !== "pong") this.received(message);
    };
    socket.onclose = (event) => this.reconnect(socket, event.code);
  }

  opened() {
    this.handlers.onOpen(this);
  }

  received(message) {
    this.handlers.onMessage(message);
  }

  reconnect(socket, code) {
    if (this.isClosed || socket !== this.socket) return;
    this.stopPings();
    this.handlers.onState("offline");
    if (FINAL_CODES.has(code)) return;
    this.timer = setTimeout(() => {
      this.handlers.onState("connecting");
      this.connect();
    }, this.retryMs * (0.5 + Math.random()));
    this.retryMs = Math.min(2 * this.retryMs, LAST_RETRY_MS);
  }

  startPings() {
    this.heard = true;
    const socket = this.socket;
    this.pings = setInterval(() => {
      if (!this.heard) {
        // Nothing came back: the line is dead, whatever the browser believes.
        socket.close();
        this.reconnect(socket, 1006);
        return;
      }
      this.heard = false;
      this.send({ type: "ping" });
    }, PING_MS);
  }

  stopPings() {
    clearInterval(this.pings);
  }
}

/** What the streams of this page lost and got back. `gaps` counts connections that were cut, `healed` the trades
 *  that happened meanwhile and came after all. */
export const losses = { gaps: 0, healed: 0 };

// After this long on one connection, what was asked for has come.
const SETTLED_MS = 5_000;
const MOST_REMEMBERED = 5_000;
const MOST_GAPS = 10;

/** A stream of trades, which asks for what it missed while it was cut off.
 *
 *  Trades that come live before a resume is answered may be newer than those it brings. So it is remembered which
 *  trades came, and the place to resume from moves on only when a connection has settled. */
export class TradeStream extends Stream {
  /** `onTrades(stockId, trades)` hears of every trade once; sequences say in which order they happened. */
  constructor(path, { onTrades, ...handlers }) {
    super(path, { onMessage: () => {}, ...handlers });
    this.onTrades = onTrades;
    this.followed = new Map();
    this.gaps = [];
    this.cutAt = null;
  }

  /** Ask for the trades of a stock after a sequence, and at every new connection for what was missed. */
  follow(stockId, since) {
    const place = this.placeOf(stockId);
    if (place.since !== null) return;
    place.since = since;
    this.resume(stockId, place);
  }

  placeOf(stockId) {
    if (!this.followed.has(stockId)) this.followed.set(stockId, { since: null, newest: 0, seen: new Set() });
    return this.followed.get(stockId);
  }

  resume(stockId, { since }) {
    if (since !== null) this.send({ type: "resume", stock_id: stockId, since_sequence: since });
  }

  opened() {
    this.openedAt = performance.now();
    if (this.cutAt !== null) {
      losses.gaps += 1;
      this.gaps.push({ from: this.cutAt, to: serverNow() });
      this.gaps.splice(0, this.gaps.length - MOST_GAPS);
      this.cutAt = null;
    }
    for (const [stockId, place] of this.followed) this.resume(stockId, place);
    super.opened();
  }

  reconnect(socket, code) {
    if (socket === this.socket) this.cutAt ??= serverNow();
    super.reconnect(socket, code);
  }

  received(message) {
    if (message.type === "trades") this.take(message.stock_id, message.trades);
    super.received(message);
  }

  take(stockId, trades) {
    const place = this.placeOf(stockId);
    const news = trades.filter((trade) => !place.seen.has(trade.sequence));
    for (const { sequence } of news) {
      place.seen.add(sequence);
      place.newest = Math.max(place.newest, sequence);
    }
    while (place.seen.size > MOST_REMEMBERED) place.seen.delete(place.seen.values().next().value);
    if (place.since !== null && performance.now() - this.openedAt > SETTLED_MS) place.since = place.newest;
    losses.healed += news.filter((trade) => this.wasMissed(trade)).length;
    if (news.length) this.onTrades(stockId, news);
  }

  wasMissed(trade) {
    const at = Date.parse(trade.execution_timestamp);
    return this.gaps.some(({ from, to }) => at >= from && at < to);
  }
}
