// Calls of the REST API in the session of the page, and its errors shown where they belong.

import { el } from "./dom.js";

const CSRF_COOKIE = /(?:^|; )csrftoken=([^;]+)/;
const NO_ANSWER = "The server did not answer. Try again: nothing is done twice.";

/** What the API refused. `errors` are `{code, detail, attr}`; `status` is 0 when there was no answer. */
export class ApiError extends Error {
  constructor(status, errors, retryAfterS = null) {
    super(errors.map((error) => error.detail).join(" "));
    this.status = status;
    this.errors = errors;
    this.retryAfterS = retryAfterS;
  }
}

export const get = (path, query) => call("GET", path, { query });
export const post = (path, body, options = {}) => call("POST", path, { body, ...options });
export const patch = (path, body) => call("PATCH", path, { body });
export const remove = (path, query) => call("DELETE", path, { query });

/** Call `/api/<path>` and return the answer's JSON, null when it has none. ApiError otherwise. */
export async function call(method, path, { body, query, headers = {} } = {}) {
  const parameters = new URLSearchParams(Object.entries(query ?? {}).filter(([, value]) => value !== undefined));
  const url = `/api/${path}${parameters.size ? `?${parameters}` : ""}`;
  const request = { method, headers: { Accept: "application/json", ...headers } };
  if (body !== undefined) {
    request.body = JSON.stringify(body);
    request.headers["Content-Type"] = "application/json";
  }
  // Read at every call: another tab may have logged in anew.
  if (method !== "GET") request.headers["X-CSRFToken"] = CSRF_COOKIE.exec(document.cookie)?.[1] ?? "";
  let response;
  let answer;
  try {
    response = await fetch(url, request);
    answer = await response.text();
  } catch {
    throw new ApiError(0, [{ code: "no_answer", detail: NO_ANSWER, attr: null }]);
  }
  if (response.ok) return answer ? JSON.parse(answer) : null;
  throw new ApiError(response.status, errorsOf(response, answer), Number(response.headers.get("Retry-After")) || null);
}

function errorsOf(response, answer) {
  try {
    const { errors } = JSON.parse(answer);
    if (Array.isArray(errors) && errors.length) return errors;
  } catch {
    // A proxy in between answers in its own words.
  }
  return [{ code: "error", detail: `The server answered ${response.status} ${response.statusText}.`, attr: null }];
}

/** Show errors in a form: at the field that `attr` names, else in its `.form-error`. `names` maps an `attr`
 *  to the name of a field. Returns the first field at fault, or null. */
export function showErrors(form, errors, names = {}) {
  clearErrors(form);
  const rest = [];
  let first = null;
  for (const { attr, detail } of errors) {
    const input = attr ? form.elements.namedItem(names[attr] ?? attr) : null;
    if (input instanceof HTMLElement && input.type !== "hidden" && input.offsetParent !== null) {
      setFieldError(input, detail);
      first ??= input;
    } else {
      rest.push(attr ? `${attr}: ${detail}` : detail);
    }
  }
  const place = form.querySelector(".form-error");
  if (place) place.textContent = rest.join(" ");
  return first;
}

/** Take all errors out of a form. */
export function clearErrors(form) {
  for (const input of form.elements) if (input.getAttribute("aria-invalid")) setFieldError(input, "");
  const place = form.querySelector(".form-error");
  if (place) place.textContent = "";
}

function setFieldError(input, detail) {
  const id = `${input.id}-error`;
  let place = document.getElementById(id);
  if (!place) {
    place = el("p", { class: "field-error", id });
    input.closest(".field").append(place);
  }
  place.textContent = detail;
  if (detail) {
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", id);
  } else {
    input.removeAttribute("aria-invalid");
  }
}

/** Letters and digits that nobody else will come up with: a client_order_id or Idempotency-Key. */
export function uniqueKey() {
  // Not randomUUID, which pages without TLS do not have.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
