// Up and down in a field for numbers: one step, with Shift ten.

import { fromUnits, toUnits } from "../format.js";

const BY = { ArrowUp: 1n, ArrowDown: -1n };

/** Let the arrow keys change an input by `stepOf()`, in units; `decimals()` places are shown at least. */
export function stepOnArrows(input, stepOf, { decimals = () => 0, start = () => 0n } = {}) {
  input.addEventListener("keydown", (event) => {
    const step = stepOf();
    if (!(event.key in BY) || !step) return;
    event.preventDefault();
    const from = toUnits(input.value) ?? start() ?? 0n;
    const to = from + BY[event.key] * step * (event.shiftKey ? 10n : 1n);
    if (to <= 0n) return;
    input.value = fromUnits(to, decimals());
    input.dispatchEvent(new Event("input", { bubbles: true }));
  });
}
