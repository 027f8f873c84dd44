// The pages around the trading page: written by the server, kept up to date by asking it again.

import { startRefresh } from "./refresh.js";
import { showTimes } from "./times.js";

showTimes(document);
startRefresh(showTimes);
