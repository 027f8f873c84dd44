// The candles of one stock and interval: read from the API, kept up to date by the stream, older ones on demand.

import { get } from "../api.js";
import { Stream } from "../stream.js";

const COUNT = 500;
const MOST = 5_000;

export class Candles {
  /** `onChange(list, isNew)` hears of the candles, oldest first, whenever they changed; `isNew` the first time.
   *  A candle is as the API shows it. */
  constructor(stockId, interval, { onChange, onState }) {
    const id = encodeURIComponent(stockId);
    this.path = `stocks/${id}/candles/`;
    this.interval = interval;
    this.onChange = onChange;
    this.list = [];
    this.hasRead = false;
    this.hasOlder = false;
    this.waiting = null;
    this.isLoading = false;
    this.stream = new Stream(`/ws/candles/?stock_id=${id}&interval=${interval}`, {
      onOpen: () => this.catchUp(),
      onMessage: (message) => message.type === "candles" && this.merge(message.candles),
      onState,
    });
  }

  close() {
    this.stream.close();
  }

  /** Read what there is; after a reconnect, what has happened since. What the stream brings meanwhile is newer
   *  than what is read, and waits. */
  async catchUp() {
    const waiting = (this.waiting = []);
    const isNew = !this.hasRead;
    const answer = await this.read(isNew ? { page_size: COUNT } : { page_size: MOST, from_date: this.list.at(-1)?.time });
    if (!answer || waiting !== this.waiting) return;
    this.waiting = null;
    if (isNew) this.hasOlder = answer.previous !== null;
    this.hasRead = true;
    this.list = joined(joined(this.list, answer.results), waiting);
    this.onChange(this.list, isNew);
  }

  merge(news) {
    if (this.waiting) {
      this.waiting.push(...news);
    } else if (news.length) {
      this.list = joined(this.list, news);
      this.onChange(this.list, false);
    }
  }

  async loadOlder() {
    if (!this.hasOlder || this.isLoading) return;
    this.isLoading = true;
    const before = new Date(Date.parse(this.list[0].time) - 1).toISOString();
    const answer = await this.read({ page_size: COUNT, to_date: before });
    this.isLoading = false;
    if (!answer) return;
    this.hasOlder = answer.previous !== null;
    this.list = joined(answer.results, this.list);
    this.onChange(this.list, false);
  }

  async read(query) {
    const answer = await get(this.path, { interval: this.interval, ...query }).catch(() => null);
    return this.stream.isClosed ? null : answer;
  }
}

/** Two lists as one in the order of time; of two candles of one time, that of `news`. */
function joined(list, news) {
  if (!news.length) return list;
  const byTime = new Map([...list, ...news].map((candle) => [candle.time, candle]));
  return [...byTime.values()].sort((a, b) => (a.time < b.time ? -1 : 1));
}
