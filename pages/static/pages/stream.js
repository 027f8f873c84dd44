// One stream of the market that stays connected: it reconnects, faster at first, and notices a dead line.

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
      this.handlers.onOpen(this);
    };
    socket.onmessage = (event) => {
      this.heard = true;
      const message = JSON.parse(event.data);
      if (!this.isClosed && message.type !== "pong") this.handlers.onMessage(message);
    };
    socket.onclose = (event) => this.reconnect(socket, event.code);
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
