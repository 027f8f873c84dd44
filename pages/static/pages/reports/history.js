// The candles of a stock's page, as the table beside them has them.

import { CandlestickSeries, HistogramSeries } from "../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { byId, setText } from "../dom.js";
import { moment, price, quantity } from "../format.js";
import { colour, localSeconds, makeChart } from "./plot.js";
import { onRefresh } from "./refresh.js";

const place = byId("history");

let candles;
let volumes;
let list = [];

if (place) start();

function start() {
  const { decimals, interval } = place.dataset;
  const { chart, repaint } = makeChart(place, paint);
  const precision = Number(decimals);
  candles = chart.addSeries(CandlestickSeries, { priceFormat: { type: "price", precision, minMove: 10 ** -precision } });
  volumes = chart.addSeries(HistogramSeries, {
    priceScaleId: "volume", priceFormat: { type: "volume" }, lastValueVisible: false, priceLineVisible: false,
  });
  candles.priceScale().applyOptions({ scaleMargins: { top: 0.08, bottom: 0.24 } });
  volumes.priceScale().applyOptions({ scaleMargins: { top: 0.82, bottom: 0 } });
  chart.timeScale().applyOptions({ secondsVisible: interval === "1s" });
  read(place);
  repaint();
  chart.timeScale().fitContent();
  chart.subscribeCrosshairMove((move) => showCandle(list.find((one) => one.time === move.time) ?? list.at(-1)));
  onRefresh((fresh) => {
    const news = fresh.getElementById("history");
    if (!news) return;
    read(news);
    draw();
  });
}

function paint() {
  // What rose is pale, what fell is full: colour is not the only sign.
  candles.applyOptions({
    upColor: colour("buy-soft"), borderUpColor: colour("buy"), wickUpColor: colour("buy"),
    downColor: colour("sell"), borderDownColor: colour("sell"), wickDownColor: colour("sell"),
  });
  draw();
}

/** Candles are `[time, open, high, low, close, volume]`. */
function read({ dataset }) {
  list = JSON.parse(dataset.candles).map(([at, open, high, low, close, volume]) => {
    return { time: localSeconds(at), at, open, high, low, close, volume };
  });
}

function draw() {
  candles.setData(list);
  volumes.setData(list.map((one) => ({ time: one.time, value: one.volume, color: colour(one.close >= one.open ? "buy-soft" : "sell-soft") })));
  showCandle(list.at(-1));
}

function showCandle(one) {
  if (!one) return;
  const decimals = Number(place.dataset.decimals);
  const prices = [["O", one.open], ["H", one.high], ["L", one.low], ["C", one.close]];
  const words = prices.map(([name, value]) => `${name} ${price(value, decimals)}`).join("  ");
  setText(byId("history-legend"), `${moment(one.at)}  ${words}  Vol ${quantity(one.volume)}`);
}
