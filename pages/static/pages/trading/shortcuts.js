// Keys. They are listed in the dialog that `?` opens, where those of one letter can be switched off.

import { byId } from "../dom.js";
import { openTab } from "./tabs.js";
import { focusLadder } from "./ladder.js";
import { revealPanel } from "./state.js";
import { begin, empty } from "./ticket.js";
import { step } from "./watchlist.js";

const KEPT_OFF = "bourse.keys";

const dialog = byId("shortcuts");
const isOn = byId("keys-on");

const KEYS = {
  b: () => begin("buy"),
  s: () => begin("sell"),
  l: () => {
    revealPanel("book");
    focusLadder();
  },
  o: () => {
    revealPanel("account");
    openTab("orders");
  },
  "/": () => {
    revealPanel("stocks");
    byId("filter").select();
  },
  "[": () => step(-1),
  "]": () => step(1),
  "?": () => dialog.showModal(),
};

export function startShortcuts() {
  isOn.checked = localStorage.getItem(KEPT_OFF) !== "off";
  isOn.addEventListener("change", () => localStorage.setItem(KEPT_OFF, isOn.checked ? "on" : "off"));
  byId("show-shortcuts").addEventListener("click", () => dialog.showModal());
  document.addEventListener("keydown", onKey);
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || dialog.open) return;
  if (event.key === "Escape") {
    leave();
    return;
  }
  if (!isOn.checked || isTyping(event.target)) return;
  const act = KEYS[event.key.toLowerCase()];
  if (!act) return;
  event.preventDefault();
  act();
}

/** Out of the field; from outside of one, everything out of the ticket. */
function leave() {
  if (isTyping(document.activeElement)) document.activeElement.blur();
  else empty();
}

const isTyping = (element) =>
  element instanceof HTMLSelectElement ||
  (element instanceof HTMLInputElement && !["radio", "checkbox"].includes(element.type));
