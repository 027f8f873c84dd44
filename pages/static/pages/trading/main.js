// The trading page: starts its panels, and shows the stock that the address names, or the first.

import { startCash } from "./cash.js";
import { startChart } from "./chart.js";
import { startHead } from "./head.js";
import { startHistory } from "./history.js";
import { startHoldings } from "./holdings.js";
import { startLadder } from "./ladder.js";
import { startOrders } from "./orders.js";
import { startPrivate } from "./private.js";
import { startShortcuts } from "./shortcuts.js";
import { select, state, userId } from "./state.js";
import { showSequence, startStatus, stateOf } from "./status.js";
import { startTabs } from "./tabs.js";
import { runTape, startTape } from "./tape.js";
import { startTicket } from "./ticket.js";
import { startWatchlist } from "./watchlist.js";

startTabs();
startStatus();
startChart(stateOf("candles"));
startHead(stateOf("ticks"));
startTape();
startLadder({
  onState: stateOf("book"),
  onSequence(sequence) {
    showSequence(sequence);
    runTape(sequence, stateOf("tape"));
  },
});
startTicket();
startShortcuts();
startWatchlist(stateOf("prices"));
if (userId) {
  startOrders();
  startHoldings();
  startHistory();
  startCash();
  startPrivate(stateOf("private"));
}

const wanted = [...state.stocks.keys()].find((id) => `#${encodeURIComponent(id)}` === location.hash);
select(wanted ?? state.stocks.keys().next().value);
performance.mark("interactive");
