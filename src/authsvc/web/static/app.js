// What the browser adds to a form of class `form`; without this file the same form is posted and answered by the server,
// as are those without `data-api` all the same: the server renews an expired login by the way. The script never sees a token (the server sets an HttpOnly cookie) and stores nothing. Text from the server
// goes into the page as text, never as markup; nothing that was typed is ever thrown away.

// Only what cannot be an address: the server has the last word.
const ADDRESS = /^[^\s@]+@[^\s@.]+(\.[^\s@.]+)+$/u;
const PATIENCE_MS = 30_000;
const UNREACHABLE = "We could not reach the server. What you typed is still here: try again.";
const UNEXPLAINED = "The server could not do this. What you typed is still here: try again.";

// A password is measured in code points, as the server does: an emoji is one or a few, not twice that.
const lengthOf = (text) => [...text].length;

const characters = (count) => `${count} ${count === 1 ? "character" : "characters"}`;

function addressFault(input) {
  if (input.value === "") return "Enter your e-mail address.";
  return ADDRESS.test(input.value) ? "" : "Enter a whole address, such as name@example.org.";
}

function passwordFault(input) {
  const length = lengthOf(input.value);
  if (length === 0) return "Enter a password.";
  if (length < Number(input.dataset.min ?? 0)) return `Too short: ${length} of at least ${characters(input.dataset.min)}.`;
  return tooLong(input) ? `Too long: ${length} of at most ${characters(input.dataset.max)}.` : "";
}

const tooLong = (input) => lengthOf(input.value) > Number(input.dataset.max ?? Infinity);

// One input with its error element. A fault is named only after the visitor left the field or tried to submit (too long
// is named at once: typing on cannot mend it), and it goes away as soon as it is mended.
class Field {
  constructor(input, fault, announce) {
    Object.assign(this, { input, fault, announce, place: document.getElementById(`${input.name}-error`) });
    input.addEventListener("input", () => this.typed());
    input.addEventListener("blur", () => afterPress(() => this.left()));
  }

  get complaining() {
    return !this.place.hidden;
  }

  complain(message, ...more) {
    this.place.replaceChildren(message, ...more);
    this.place.hidden = false;
    this.input.setAttribute("aria-invalid", "true");
  }

  clear() {
    this.place.hidden = true;
    this.place.replaceChildren();
    this.input.removeAttribute("aria-invalid");
  }

  typed() {
    const fault = this.fault(this.input);
    const over = tooLong(this.input);
    if (!fault && this.complaining) {
      this.clear();
      this.announce("");
    } else if (over || (fault && this.complaining)) this.complain(fault);
    if (over && !this.over) this.announce(fault);
    this.over = over;
  }

  left() {
    const fault = this.fault(this.input);
    if (this.input.value === "" || !fault || this.complaining || document.activeElement === this.input) return;
    this.complain(fault);
    this.announce(fault);
  }

  check() {
    const fault = this.fault(this.input);
    if (fault) this.complain(fault);
    else this.clear();
    return !fault;
  }
}

// A message that appears while the pointer is down moves the button away from under it, and the click is lost: wait.
let pressed = false;
for (const [kind, state] of [["pointerdown", true], ["pointerup", false], ["pointercancel", false]]) {
  document.addEventListener(kind, () => (pressed = state), true);
}

function afterPress(act) {
  if (!pressed) return act();
  const once = new AbortController();
  const release = () => {
    once.abort();
    setTimeout(act);
  };
  document.addEventListener("pointerup", release, { signal: once.signal });
  document.addEventListener("pointercancel", release, { signal: once.signal });
}

// The quiet counter under a new password. It is for the eye; a reader hears one sentence, when the length suffices.
function measure(input, form, announce) {
  const counter = form.querySelector("[data-counter]");
  const meter = form.querySelector("[data-meter]");
  if (!counter || !meter) return;
  const [least, most] = [Number(input.dataset.min), Number(input.dataset.max)];
  let enough = false;
  const show = () => {
    const length = lengthOf(input.value);
    const state = length > most ? "over" : length >= least ? "enough" : "short";
    if (state === "enough" && !enough && length > 0) announce("The password is long enough.");
    enough = state === "enough";
    counter.textContent = state === "short" ? `${length} / ${least}` : state === "over" ? `${length} / ${most}` : `✓ ${length}`;
    counter.dataset.state = meter.dataset.state = state;
    meter.style.setProperty("--steps", least);
    meter.style.setProperty("--done", Math.min(length, least));
  };
  input.addEventListener("input", show);
  addEventListener("pageshow", show); // the browser may have filled the field in again
  show();
}

// Show or hide the password; focus and caret stay where they were.
function revealer(button, input) {
  const verb = button.querySelector("[data-reveal-verb]");
  const set = (shown) => {
    const { selectionStart, selectionEnd, selectionDirection } = input;
    input.type = shown ? "text" : "password";
    if (document.activeElement === input) input.setSelectionRange(selectionStart, selectionEnd, selectionDirection);
    button.setAttribute("aria-pressed", String(shown));
    verb.textContent = shown ? "Hide" : "Show";
  };
  button.addEventListener("mousedown", (event) => event.preventDefault());
  button.addEventListener("click", () => set(input.type === "password"));
  return () => set(false);
}

async function problemOf(response) {
  try {
    const problem = await response.json();
    return problem !== null && typeof problem === "object" ? problem : {};
  } catch {
    return {};
  }
}

function enhance(form) {
  const inputs = [...form.querySelectorAll("input[name]:not([type='hidden'])")];
  const submit = form.querySelector("[data-submit]");
  const label = form.querySelector("[data-submit-label]");
  const status = form.querySelector("[data-status]");
  const alert = document.getElementById("form-alert");
  const rest = label.textContent;
  const announce = (sentence) => (status.textContent = sentence);
  const faultOf = { email: addressFault, password: passwordFault };
  const fields = Object.fromEntries(inputs.map((input) => [input.name, new Field(input, faultOf[input.type], announce)]));
  const hiders = [...form.querySelectorAll("[data-reveal]")].map((button) =>
    revealer(button, document.getElementById(button.getAttribute("aria-controls"))),
  );
  const hide = () => hiders.forEach((each) => each());
  for (const input of inputs) if (input.dataset.min) measure(input, form, announce);
  form.noValidate = true;

  // The button is never `disabled`: that would throw the focus away.
  let busy = false;
  const setBusy = (state) => {
    busy = state;
    label.textContent = state ? submit.dataset.busy : rest;
    announce(state ? submit.dataset.busy : "");
    if (state) submit.setAttribute("aria-busy", "true");
    else submit.removeAttribute("aria-busy");
  };

  const say = (sentence) => {
    const line = document.createElement("p");
    line.textContent = sentence;
    alert.replaceChildren(line);
  };

  const focusFirst = () => {
    const first = Object.values(fields).find((field) => field.complaining);
    first?.input.focus();
    return first;
  };

  function explain(response, problem) {
    const sentence = problem.detail || problem.title || UNEXPLAINED;
    const faults = Array.isArray(problem.errors) ? problem.errors : [];
    const placed = faults.filter((fault) => Object.hasOwn(fields, fault?.field ?? "") && fault.message);
    if (response.status === 409 && form.dataset.login) {
      const link = document.createElement("a");
      link.href = form.dataset.login;
      link.textContent = "Log in instead";
      fields.email.complain(sentence, " ", link);
    } else {
      // Backwards, so that the first message of a field is the one that stays.
      for (const { field, message } of placed.reverse()) fields[field].complain(message);
      if (placed.length === 0 || placed.length < faults.length) say(sentence);
    }
    if (!focusFirst() && response.status === 401) {
      fields.password.input.focus();
      fields.password.input.select();
    }
  }

  const ask = () =>
    fetch(form.dataset.api, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Accept: "application/problem+json, application/json",
        ...(form.dataset.tokenDelivery && { "Token-Delivery": form.dataset.tokenDelivery }),
      },
      body: JSON.stringify(Object.fromEntries(inputs.map((input) => [input.name, input.value]))),
      credentials: "same-origin",
      cache: "no-store",
      redirect: "error",
      signal: AbortSignal.timeout(PATIENCE_MS),
    });

  form.addEventListener("submit", async (event) => {
    if (busy) return event.preventDefault();
    alert.replaceChildren();
    const good = Object.values(fields).map((field) => field.check());
    const asksTheApi = "api" in form.dataset;
    if (asksTheApi || good.includes(false)) event.preventDefault();
    if (good.includes(false)) return void focusFirst();
    hide();
    setBusy(true);
    if (!asksTheApi) return; // the answer is the next page
    const response = await ask().catch(() => null);
    if (response?.ok) return void location.assign(form.dataset.done); // busy until the next page is there
    const problem = response && (await problemOf(response));
    setBusy(false);
    if (response) explain(response, problem);
    else say(UNREACHABLE);
  });

  // Back from the next page, as it was left: let the form be used again, with the password covered.
  addEventListener("pageshow", (event) => {
    if (!event.persisted) return;
    setBusy(false);
    hide();
  });
}

// A browser too old for what is used above keeps the plain form.
if ("timeout" in AbortSignal && Object.hasOwn) {
  for (const form of document.querySelectorAll("form.form")) enhance(form);
  document.documentElement.classList.add("has-script");
}
