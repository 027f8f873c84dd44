// The pages around the trading page: written by the server, kept up to date by asking it again.

import { startRefresh } from "./refresh.js";
import { showTimes } from "./times.js";

// On a phone the links of all pages do not fit: the one of this page is brought into sight.
document.querySelector(".links [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
showTimes(document);
startRefresh(showTimes);
