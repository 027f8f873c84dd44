// Tabs: those of the account, as WAI-ARIA wants them, and those of a narrow screen.

import { byId } from "../dom.js";
import { showPanel } from "./state.js";

const tablist = byId("account-tabs");
const tabs = [...tablist.querySelectorAll("[role=tab]")];
const STEPS = { ArrowRight: 1, ArrowLeft: -1 };

export function startTabs() {
  tablist.addEventListener("click", (event) => {
    const tab = event.target.closest("[role=tab]");
    if (tab) show(tab);
  });
  tablist.addEventListener("keydown", walk);
  byId("phone-tabs").addEventListener("click", ({ target }) => target.dataset.tab && showPanel(target.dataset.tab));
  showPanel("chart");
}

/** Show a tab of the account and put the focus on it. */
export function openTab(name) {
  show(byId(`tab-${name}`));
  byId(`tab-${name}`).focus();
}

function walk(event) {
  const by = STEPS[event.key];
  if (!by) return;
  event.preventDefault();
  const next = tabs[(tabs.indexOf(event.target) + by + tabs.length) % tabs.length];
  show(next);
  next.focus();
}

function show(chosen) {
  for (const tab of tabs) {
    const isChosen = tab === chosen;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
    const view = byId(tab.getAttribute("aria-controls"));
    if (view) view.hidden = !isChosen;
  }
}
