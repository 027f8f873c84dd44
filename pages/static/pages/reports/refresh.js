// Parts of a page that the server wrote are asked for again and replaced when they have changed. What comes is a
// page of this server, in which the text of others is escaped already; its scripts do not run.

const SECOND_MS = 1_000;

const listeners = [];

/** Hear of the page as the server writes it now, a document, each time it was read. */
export const onRefresh = (listener) => listeners.push(listener);

/** Read the page again every `data-refresh` seconds of its main part, while somebody looks at it, and when somebody
 *  looks again. `prepare(root)` is called with what comes. */
export function startRefresh(prepare) {
  const seconds = Number(document.getElementById("main").dataset.refresh);
  if (!seconds) return;
  const look = () => document.hidden || refresh(prepare);
  setInterval(look, seconds * SECOND_MS);
  document.addEventListener("visibilitychange", look);
}

async function refresh(prepare) {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } }).catch(() => null);
  // Somebody who was logged out is led elsewhere.
  if (!answer?.ok || answer.redirected) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  prepare(fresh);
  for (const part of document.querySelectorAll("[data-live]")) {
    const news = fresh.getElementById(part.id);
    // A part with the focus in it is being used.
    if (news && !part.contains(document.activeElement) && !part.isEqualNode(news)) {
      part.replaceChildren(...document.adoptNode(news).childNodes);
    }
  }
  for (const listener of listeners) listener(fresh);
}
