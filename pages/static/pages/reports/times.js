// The server writes times in UTC; a page shows them in the reader's zone.

import { setText } from "../dom.js";
import { moment } from "../format.js";

/** Show all `<time>` below `root` in the reader's zone, with the time of the server in a tooltip. */
export function showTimes(root) {
  for (const place of root.querySelectorAll("time[datetime]")) {
    if (!place.title) place.title = place.textContent;
    setText(place, moment(place.dateTime));
  }
}
