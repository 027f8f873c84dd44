// The equity curve: what the user was worth over time.

import { AreaSeries } from "../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";
import { byId, setText } from "../dom.js";
import { amount, moment } from "../format.js";
import { colour, localSeconds, makeChart } from "./plot.js";
import { onRefresh } from "./refresh.js";

const place = byId("equity");
const UNIT = 10_000;

let worth;
let byTime = new Map();

if (place) start();

function start() {
  const { chart, repaint } = makeChart(place, paint);
  chart.applyOptions({ localization: { priceFormatter: (value) => amount(BigInt(Math.round(value * UNIT)), 2) } });
  worth = chart.addSeries(AreaSeries, { lineWidth: 2, priceLineVisible: false });
  repaint();
  draw(place);
  chart.timeScale().fitContent();
  chart.subscribeCrosshairMove((move) => showPoint(byTime.get(move.time) ?? newest()));
  onRefresh((fresh) => {
    const news = fresh.getElementById("equity");
    if (news) draw(news);
  });
}

function paint() {
  worth.applyOptions({ lineColor: colour("accent"), topColor: colour("selected"), bottomColor: colour("surface") });
}

/** Points are `[time, value, cash]`, amounts in units, which are text: they may be larger than a double is exact. */
function draw({ dataset }) {
  const points = JSON.parse(dataset.points).map(([at, ...units]) => ({ at, value: BigInt(units[0]), cash: BigInt(units[1]) }));
  // Two points may lie in one second: the later one counts.
  byTime = new Map(points.map((point) => [localSeconds(point.at), point]));
  worth.setData([...byTime].map(([time, { value }]) => ({ time, value: Number(value) / UNIT })));
  showPoint(newest());
}

function newest() {
  return [...byTime.values()].at(-1);
}

function showPoint({ at, value, cash }) {
  setText(byId("equity-legend"), `${moment(at)}  value ${amount(value)}, of it cash ${amount(cash)}`);
}
