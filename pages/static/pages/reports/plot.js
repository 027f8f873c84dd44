// What the charts of these pages share: their colours, which follow the scheme, and times of the reader's zone.

import {
  ColorType, CrosshairMode, createChart,
} from "../vendor/lightweight-charts/lightweight-charts.standalone.production.mjs";

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** A chart in `place`. `paint()` is called now and whenever the scheme changes, to colour its series. */
export function makeChart(place, paint) {
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const chart = createChart(place, {
    autoSize: true,
    // Its own logo would bring a style sheet along: the link stands beneath the chart.
    layout: { attributionLogo: false, fontFamily: getComputedStyle(document.body).fontFamily, fontSize: 11 },
    crosshair: { mode: CrosshairMode.Normal },
    timeScale: { timeVisible: true },
    // The wheel belongs to the page, which is longer than a screen.
    handleScroll: { mouseWheel: false, vertTouchDrag: false },
    handleScale: { mouseWheel: false },
    kineticScroll: { mouse: false, touch: !isStill },
  });
  const repaint = () => {
    chart.applyOptions({
      layout: { background: { type: ColorType.Solid, color: colour("surface") }, textColor: colour("muted") },
      grid: { vertLines: { color: colour("raised") }, horzLines: { color: colour("raised") } },
      rightPriceScale: { borderColor: colour("line") },
      timeScale: { borderColor: colour("line") },
    });
    paint();
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
  return { chart, repaint };
}

/** The chart shows UTC: a time of the reader's zone is told to it as if it were one. */
export function localSeconds(iso) {
  const at = new Date(iso);
  return Math.floor(at.getTime() / 1000) - 60 * at.getTimezoneOffset();
}
