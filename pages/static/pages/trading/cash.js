// Deposit and withdraw. A request that got no answer is sent under the same key again: it is booked once.

import { clearErrors, post, showErrors, uniqueKey } from "../api.js";
import { byId, setText } from "../dom.js";
import { amount as shown, toUnits } from "../format.js";
import { loadLedger } from "./history.js";
import { reloadAccountSoon } from "./private.js";

const DONE = { deposit: "Deposited", withdraw: "Withdrew" };

let unanswered = null;

export function startCash() {
  byId("cash").addEventListener("submit", submit);
}

async function submit(event) {
  event.preventDefault();
  const form = event.currentTarget;
  const action = event.submitter?.value ?? "deposit";
  const amount = form.elements.amount.value.trim();
  clearErrors(form);
  setText(byId("cash-result"), "");
  const wanted = `${action} ${amount}`;
  if (unanswered?.wanted !== wanted) unanswered = { wanted, key: uniqueKey() };
  try {
    await post(`users/me/${action}/`, { amount }, { headers: { "Idempotency-Key": unanswered.key } });
  } catch (error) {
    if (error.status !== 0) unanswered = null;
    showErrors(form, error.errors)?.focus();
    return;
  }
  unanswered = null;
  setText(byId("cash-result"), `${DONE[action]} ${shown(toUnits(amount))}.`);
  form.reset();
  reloadAccountSoon();
  loadLedger();
}
