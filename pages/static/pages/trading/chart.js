// Candles with volume, on TradingView's Lightweight Charts. Times are shown in the reader's zone.

import {
  CandlestickSeries, ColorType, CrosshairMode, HistogramSeries, LineStyle, createChart,
} from "../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { byId, setText } from "../dom.js";
import { percent, price, quantity, toUnits } from "../format.js";
import { Candles } from "./candles.js";
import { on, state } from "./state.js";

// Older candles are asked for when so few are left on the left.
const NEAR_THE_EDGE = 20;
const MOST_SHOWN_AT_FIRST = 110;
const FEWEST_SHOWN_AT_FIRST = 40;
const DEFAULT_INTERVAL = "1m";
const KEPT = "bourse.interval";

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
const intervals = byId("intervals");

let chart;
let candleSeries;
let volumeSeries;
let source = null;
let interval = DEFAULT_INTERVAL;
let ownLines = [];
let stateListener;
let byTime = new Map();

export function startChart(onState) {
  stateListener = onState;
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  chart = createChart(byId("chart"), {
    autoSize: true,
    // Its own logo would bring a style sheet along: the link stands beneath the chart.
    layout: { attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 11 },
    crosshair: { mode: CrosshairMode.Normal },
    timeScale: { timeVisible: true, rightOffset: 4 },
    kineticScroll: { mouse: false, touch: !isStill },
  });
  candleSeries = chart.addSeries(CandlestickSeries, {});
  volumeSeries = chart.addSeries(HistogramSeries, {
    priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
  });
  candleSeries.priceScale().applyOptions({ scaleMargins: { top: 0.08, bottom: 0.24 } });
  volumeSeries.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
  paint();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  chart.subscribeCrosshairMove((move) => showLegend(byTime.get(move.time)));
  chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
    if (range && range.from < NEAR_THE_EDGE) source?.loadOlder();
  });
  intervals.addEventListener("click", (event) => choose(event.target.dataset.interval));
  on("select", open);
  on("orders", drawOwnOrders);
  markInterval(localStorage.getItem(KEPT));
}

function paint() {
  chart.applyOptions({
    layout: { background: { type: ColorType.Solid, color: colour("surface") }, textColor: colour("muted") },
    grid: { vertLines: { color: colour("raised") }, horzLines: { color: colour("raised") } },
    rightPriceScale: { borderColor: colour("line") },
    timeScale: { borderColor: colour("line") },
  });
  // What rose is pale, what fell is full: colour is not the only sign.
  candleSeries.applyOptions({
    upColor: colour("buy-soft"), borderUpColor: colour("buy"), wickUpColor: colour("buy"),
    downColor: colour("sell"), borderDownColor: colour("sell"), wickDownColor: colour("sell"),
  });
}

function repaint() {
  paint();
  if (source) draw(source.list, false);
  drawOwnOrders();
}

function choose(wanted) {
  if (!wanted || wanted === interval) return;
  localStorage.setItem(KEPT, wanted);
  markInterval(wanted);
  if (state.selected) open(state.selected);
}

function markInterval(wanted) {
  const known = [...intervals.children].map((button) => button.dataset.interval);
  interval = known.includes(wanted) ? wanted : DEFAULT_INTERVAL;
  for (const button of intervals.children) {
    button.setAttribute("aria-pressed", String(button.dataset.interval === interval));
  }
}

function open(stock) {
  source?.close();
  setText(byId("stock-id"), stock.id);
  setText(byId("stock-name"), stock.name === stock.id ? "" : stock.name);
  byId("stock-history").href = `/stocks/${encodeURIComponent(stock.id)}/`;
  candleSeries.applyOptions({
    priceFormat: { type: "price", precision: stock.decimals, minMove: Number(stock.increment) / 10_000 },
  });
  chart.timeScale().applyOptions({ secondsVisible: interval === "1s" });
  draw([], true);
  source = new Candles(stock.id, interval, { onChange: draw, onState: stateListener });
  drawOwnOrders();
}

function draw(list, isNew) {
  const bars = list.map(bar);
  byTime = new Map(bars.map((one) => [one.time, one.candle]));
  candleSeries.setData(bars);
  volumeSeries.setData(bars.map((one) => ({ time: one.time, value: one.candle.volume, color: colour(one.close >= one.open ? "buy-soft" : "sell-soft") })));
  if (isNew) showNewest(bars.length);
  showLegend(list.at(-1));
}

function showNewest(count) {
  const shown = Math.min(Math.max(count, FEWEST_SHOWN_AT_FIRST), MOST_SHOWN_AT_FIRST);
  chart.timeScale().setVisibleLogicalRange({ from: count - shown, to: count + 4 });
}

function bar(candle) {
  const { open, high, low, close } = candle;
  return { time: localSeconds(candle.time), open, high, low, close, candle };
}

/** The chart shows UTC: a time of the reader's zone is told to it as if it were one. */
function localSeconds(iso) {
  const at = new Date(iso);
  return Math.floor(at.getTime() / 1000) - 60 * at.getTimezoneOffset();
}

function showLegend(candle) {
  const one = candle ?? source?.list.at(-1);
  if (!one) {
    setText(byId("legend"), "");
    return;
  }
  const decimals = state.selected.decimals;
  const [opened, closed] = [toUnits(one.open), toUnits(one.close)];
  const parts = [["O", one.open], ["H", one.high], ["L", one.low], ["C", one.close]];
  const prices = parts.map(([name, value]) => `${name} ${price(value, decimals)}`).join("  ");
  setText(byId("legend"), `${prices}  ${percent(closed - opened, opened)}  Vol ${quantity(one.volume)}`);
}

/** A line for each price at which the user has orders. */
function drawOwnOrders() {
  for (const line of ownLines) candleSeries.removePriceLine(line);
  const own = [...state.orders.values()].filter((order) => order.stock_id === state.selected?.id);
  ownLines = own.filter((order) => (order.price ?? order.stop_price) !== null).map(ownLine);
}

function ownLine(order) {
  const verb = order.side === "buy" ? "Buy" : "Sell";
  return candleSeries.createPriceLine({
    price: order.price ?? order.stop_price,
    color: colour(order.side),
    lineWidth: 1,
    lineStyle: LineStyle.Dashed,
    title: `${verb} ${quantity(order.remaining_quantity)}`,
  });
}
