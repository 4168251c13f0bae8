// Freeze and release: a dialog that asks for a reason, and the order that follows.

import { withKey } from "./keys.js";
import { whom } from "./words.js";

const dialog = document.getElementById("order");
const form = document.getElementById("order-form");
const title = document.getElementById("order-title");
const what = document.getElementById("order-what");
const reason = document.getElementById("order-reason");
const wrong = document.getElementById("order-wrong");
const give = document.getElementById("order-give");

let asked = null;

/** Opens the dialog. `done(text)` is called when the server has carried the order out. */
export function ask({ action, scope, target = "", meaning }, done) {
  asked = { action, scope, target, done };
  const verb = action === "freeze" ? "Freeze" : "Release";
  title.textContent = `${verb} ${whom(scope, target)}?`;
  what.textContent = meaning;
  give.textContent = `${verb} ${scope === "global" ? "everything" : "it"}`;
  give.className = `give-${action}`;
  reason.value = "";
  say("");
  dialog.showModal();
  reason.focus();
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!reason.value.trim()) {
    say("Say why, in a few words.");
    reason.focus();
    return;
  }
  const { action, scope, target, done } = asked;
  const order = { action, reason: reason.value.trim(), actor: "console" };
  order[scope] = scope === "global" ? true : target;
  give.disabled = true;
  try {
    const response = await fetch("/api/v1/control/orders", {
      method: "POST",
      headers: withKey({ "content-type": "application/json", "x-flyball": "console" }),
      body: JSON.stringify(order),
      signal: AbortSignal.timeout(10_000),
    });
    if (!response.ok) {
      const answer = await response.json().catch(() => null);
      throw new Error(answer?.error?.message ?? `the server answered ${response.status}`);
    }
    dialog.close();
    done(`${action === "freeze" ? "Frozen" : "Released"}: ${whom(scope, target)}.`);
  } catch (error) {
    say(`The order was not carried out: ${error.message}. In a terminal: flyball ${action}`);
  } finally {
    give.disabled = false;
  }
});

document.getElementById("order-cancel").addEventListener("click", () => dialog.close());

function say(text) {
  wrong.textContent = text;
  wrong.hidden = !text;
}
