// Numbers and times as people read them. Amounts and prices are counted in units, ten-thousandths of the currency, as
// BigInt: what is added or multiplied here is exact. JSON numbers of the API are exact to four decimals.

const SCALE = 10_000;
const DECIMALS = 4;
const DECIMAL_TEXT = /^([+-]?)(\d{1,15})(?:\.(\d{0,4})0*)?$|^([+-]?)\.(\d{1,4})0*$/;
const MINUS = "\u2212";
const DASH = "–";

const wholes = new Intl.NumberFormat("en");
const clockTimes = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayTimes = new Intl.DateTimeFormat("en-GB", {
  day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit",
});

/** The units of a JSON number, or of text as a person types it; null when it is no amount. */
export function toUnits(value) {
  if (typeof value === "number") return Number.isFinite(value) ? BigInt(Math.round(value * SCALE)) : null;
  const match = DECIMAL_TEXT.exec(String(value ?? "").trim());
  if (!match) return null;
  const sign = match[1] ?? match[4];
  const units = BigInt(match[2] ?? 0) * BigInt(SCALE) + BigInt((match[3] ?? match[5] ?? "").padEnd(DECIMALS, "0"));
  return sign === "-" ? -units : units;
}

/** Units as a plain decimal for an input or the API, such as "12.4". `decimals` at least. */
export function fromUnits(units, decimals = 0) {
  const size = units < 0n ? -units : units;
  const fraction = String(size % BigInt(SCALE)).padStart(DECIMALS, "0");
  let shown = fraction.replace(/0+$/, "");
  if (shown.length < decimals) shown = fraction.slice(0, decimals);
  return `${units < 0n ? "-" : ""}${size / BigInt(SCALE)}${shown ? `.${shown}` : ""}`;
}

/** Units with thousands separators, at least `decimals` places; a dash for null. */
export function amount(units, decimals = 2) {
  if (units === null || units === undefined) return DASH;
  const [whole, fraction] = fromUnits(units < 0n ? -units : units, decimals).split(".");
  return `${units < 0n ? MINUS : ""}${wholes.format(BigInt(whole))}${fraction ? `.${fraction}` : ""}`;
}

/** Units to whole hundredths, half away from zero: for what is worked out, and not booked. */
export function toCents(units) {
  const half = units < 0n ? -50n : 50n;
  return ((units + half) / 100n) * 100n;
}

/** As `amount`, with a plus sign for what is above zero. */
export function signed(units, decimals = 2) {
  return units > 0n ? `+${amount(units, decimals)}` : amount(units, decimals);
}

/** A JSON number as money. */
export const money = (value) => amount(value === null || value === undefined ? null : toUnits(value));

/** A JSON number as a price, with as many places as its stock's increment has. */
export const price = (value, decimals = 2) =>
  amount(value === null || value === undefined ? null : toUnits(value), decimals);

/** How many places the prices of a stock have: two, or as many as its increment. */
export function decimalsOf(increment) {
  return Math.max(2, (fromUnits(toUnits(increment)).split(".")[1] ?? "").length);
}

/** A whole number with thousands separators; a dash for null. */
export const quantity = (value) => (value === null || value === undefined ? DASH : wholes.format(value));

/** `part` of `whole`, both units, as a signed percentage with two places; a dash without a whole. */
export function percent(part, whole) {
  if (!whole) return DASH;
  const hundredths = (part * 10_000n * 2n + (part < 0n ? -whole : whole)) / (2n * whole);
  const size = hundredths < 0n ? -hundredths : hundredths;
  const sign = hundredths > 0n ? "+" : hundredths < 0n ? MINUS : "";
  return `${sign}${wholes.format(size / 100n)}.${String(size % 100n).padStart(2, "0")} %`;
}

/** "up", "down" or "": the class that shows the direction of a number of units. */
export const direction = (units) => (units > 0n ? "up" : units < 0n ? "down" : "");

/** The time of day of an ISO time, in the reader's zone. */
export const time = (iso) => clockTimes.format(new Date(iso));

/** Day and time of an ISO time, in the reader's zone; the time alone when it is today. */
export function moment(iso) {
  const date = new Date(iso);
  return date.toDateString() === new Date().toDateString() ? clockTimes.format(date) : dayTimes.format(date);
}

/** Milliseconds as an age: "0.4 s", "12 s", "3 min", "2 h". */
export function age(ms) {
  const seconds = Math.max(0, ms) / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
