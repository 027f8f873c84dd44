// Streams of the market that stay connected: they reconnect, faster at first, and notice a dead line.

import { serverNow } from "./clock.js";

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 10_000;
const PING_MS = 10_000;
// These do not get better by asking again: the URL makes no sense, not authenticated, unknown stock.
const FINAL_CODES = new Set([4000, 4001, 4004]);

export class Stream {
  /** `onOpen(stream)` runs at every connection, `onMessage(message)` for every message,
   *  `onState("connecting" | "live" | "offline" | "over")` when that changes; after "over" it stays so. */
  constructor(path, { onOpen = () => {}, onMessage, onState = () => {} }) {
    this.path = path;
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
    const socket = this.socket;
    // Closed before it is open, it would be reported as a failure.
    if (socket.readyState === WebSocket.CONNECTING) socket.onopen = () => socket.close();
    else socket.close();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss:" : "ws:";
    const socket = (this.socket = new WebSocket(`${scheme}//${location.host}${this.path}`));
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
    this.handlers.onState(FINAL_CODES.has(code) ? "over" : "offline");
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

const MOST_GAPS = 10;

/** The trades of one stock, each once and in order: at every connection it asks for what came meanwhile. */
export class TradeStream extends Stream {
  /** `onTrades(trades)` hears of every trade after the sequence `since`. */
  constructor(stockId, since, { onTrades, onState }) {
    super(tradesPath(stockId, since), { onMessage: (message) => this.take(message), onState });
    this.stockId = stockId;
    this.sequence = since;
    this.onTrades = onTrades;
    this.gaps = [];
    this.cutAt = null;
  }

  connect() {
    // The first time, from the constructor, it knows no more than its path.
    if (this.stockId) this.path = tradesPath(this.stockId, this.sequence);
    super.connect();
  }

  opened() {
    this.wasOpen = true;
    if (this.cutAt !== null) {
      losses.gaps += 1;
      this.gaps.push({ from: this.cutAt, to: serverNow() });
      this.gaps.splice(0, this.gaps.length - MOST_GAPS);
      this.cutAt = null;
    }
    super.opened();
  }

  reconnect(socket, code) {
    if (socket === this.socket && this.wasOpen) this.cutAt ??= serverNow();
    super.reconnect(socket, code);
  }

  take(message) {
    if (message.type !== "trades") return;
    const news = message.trades.filter((trade) => trade.sequence > this.sequence);
    if (!news.length) return;
    this.sequence = news.at(-1).sequence;
    losses.healed += news.filter((trade) => this.wasMissed(trade)).length;
    this.onTrades(news);
  }

  wasMissed(trade) {
    const at = Date.parse(trade.execution_timestamp);
    return this.gaps.some(({ from, to }) => at >= from && at < to);
  }
}

function tradesPath(stockId, since) {
  const id = encodeURIComponent(stockId);
  return `/ws/trades/?stock_id=${id}&since=${id}:${since}`;
}
