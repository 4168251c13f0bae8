// The API key that this page shows to the server, where the server asks for one. It is kept for this tab, until it is closed.

const NAME = "flyball-key";
const dialog = document.getElementById("key");
const form = document.getElementById("key-form");
const field = document.getElementById("key-secret");
const wrong = document.getElementById("key-wrong");

let retry = () => {};

/** These headers, and the key when there is one. */
export function withKey(headers = {}) {
  const key = sessionStorage.getItem(NAME);
  return key ? { ...headers, authorization: `Bearer ${key}` } : headers;
}

/** Opens the dialog, unless it is open. `done()` is called when there is a key to try. */
export function askForKey(why, done) {
  retry = done;
  wrong.textContent = why;
  if (dialog.open) return;
  field.value = "";
  dialog.showModal();
  field.focus();
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const key = field.value.trim();
  // What is no key cannot always be sent in a header.
  if (!/^fbk_[0-9a-f]{64}$/.test(key)) {
    wrong.textContent = "A key is fbk_ and 64 hex digits.";
    field.focus();
    return;
  }
  sessionStorage.setItem(NAME, key);
  field.value = "";
  dialog.close();
  retry();
});
