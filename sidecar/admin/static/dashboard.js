// The dashboard's moving part: fetches /fragment every two seconds or when an event comes, and changes only those
// nodes that differ, so that focus, scrolling, selections and open details stay. Texts are set, never parsed as HTML,
// but for the fragment itself, which the server has escaped.
"use strict";

const KEY = "sidecar-token";
const main = document.getElementById("fragment");
const live = document.getElementById("live");
const act = document.getElementById("act");
const ask = document.getElementById("ask");
let busy = false;
let again = false;
let lastSuccess = null;
let against = new URLSearchParams(location.search).get("against") === "recent" ? "recent" : "training";

function headers(more) {
  const token = sessionStorage.getItem(KEY);
  return token ? { ...more, Authorization: `Bearer ${token}` } : { ...more };
}

function show(state, text) {
  if (live.dataset.state !== state) live.dataset.state = state;
  if (live.textContent !== text) live.textContent = text;
}

// --- swapping without flicker ------------------------------------------------------------------------------------

function alike(a, b) {
  if (a.nodeType !== b.nodeType || a.nodeName !== b.nodeName) return false;
  if (a.nodeType !== Node.ELEMENT_NODE) return true;
  return a.id === b.id && a.getAttribute("class") === b.getAttribute("class");
}

function attributes(from, to) {
  for (const { name, value } of to.attributes) if (from.getAttribute(name) !== value) from.setAttribute(name, value);
  for (const { name } of [...from.attributes]) {
    // whether details stand open belongs to the reader
    if (!to.hasAttribute(name) && !(name === "open" && from.nodeName === "DETAILS")) from.removeAttribute(name);
  }
}

function become(from, to) {
  if (from.nodeType !== Node.ELEMENT_NODE) {
    if (from.nodeValue !== to.nodeValue) from.nodeValue = to.nodeValue;
    return;
  }
  attributes(from, to);
  let mine = from.firstChild;
  for (const theirs of [...to.childNodes]) {
    let match = mine;
    while (match && !alike(match, theirs)) match = match.nextSibling;
    if (match && match !== mine && theirs.nodeType !== Node.ELEMENT_NODE) match = null;
    if (!match) {
      from.insertBefore(theirs, mine);
      continue;
    }
    while (mine !== match) {
      const gone = mine;
      mine = mine.nextSibling;
      gone.remove();
    }
    mine = match.nextSibling;
    become(match, theirs);
  }
  while (mine) {
    const gone = mine;
    mine = mine.nextSibling;
    gone.remove();
  }
}

function swap(html) {
  const parsed = new DOMParser().parseFromString(`<main>${html}</main>`, "text/html").querySelector("main");
  for (const { name, value } of main.attributes) parsed.setAttribute(name, value);
  become(main, parsed);
  const alarms = Number(main.querySelector(".summary")?.dataset.alarms || 0);
  document.title = alarms ? `(${alarms}) Sidecar` : "Sidecar";
}

async function refresh() {
  if (busy) { again = true; return; }
  busy = true;
  try {
    const answer = await fetch(`/fragment?against=${against}`, { headers: headers(), cache: "no-store", signal: AbortSignal.timeout(10000) });
    if (answer.status === 401) { askToken(sessionStorage.getItem(KEY) ? "This token is not known here." : ""); return; }
    if (!answer.ok) throw new Error((await problemOf(answer)));
    swap(await answer.text());
    lastSuccess = new Date();
    show("live", "live");
  } catch (error) {
    show("stale", lastSuccess ? `no answer since ${lastSuccess.toLocaleTimeString()}` : "no answer");
  } finally {
    busy = false;
    if (again) { again = false; refresh(); }
  }
}

// --- acting ------------------------------------------------------------------------------------------------------

async function problemOf(answer) {
  try {
    const problem = await answer.json();
    const failing = (problem.gates || []).filter((gate) => gate.verdict !== "pass" && gate.verdict !== "off");
    const names = failing.map((gate) => `${gate.name}: ${gate.verdict}`).join(", ");
    return names ? `${problem.detail} (${names})` : problem.detail;
  } catch {
    return `The sidecar answered ${answer.status}.`;
  }
}

function call(button, reason) {
  const { verb, deployment, challenger, champion, to, alarm, expected } = button;
  if (verb === "acknowledge") return [`/v1/alarms/${encodeURIComponent(alarm)}/acknowledge`, { reason }];
  if (verb === "reconcile") {
    return [`/v1/deployments/${encodeURIComponent(deployment)}/registry/reconcile`, { take: "sidecar", expected, reason }];
  }
  const path = `/v1/deployments/${encodeURIComponent(deployment)}/${verb}`;
  return verb === "promote" ? [path, { challenger, reason, expected_champion: champion }] : [path, { reason, to }];
}

let pressed = null;

main.addEventListener("click", (event) => {
  const other = event.target.closest("button[data-against]");
  if (!other) return;
  against = other.dataset.against;
  history.replaceState(null, "", against === "training" ? location.pathname : "?against=recent");
  refresh();
});

main.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-verb]");
  if (!button || button.disabled) return;
  const key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  pressed = { ...button.dataset, key };
  document.getElementById("act-title").textContent = button.dataset.title;
  document.getElementById("act-confirm").textContent = button.dataset.confirm;
  document.getElementById("act-says").replaceChildren(
    ...button.dataset.says.split("|").map((line) => {
      const item = document.createElement("li");
      item.textContent = line;
      return item;
    }),
  );
  document.getElementById("act-error").hidden = true;
  document.getElementById("act-reason").value = "";
  act.showModal();
  document.getElementById("act-reason").focus();
});

document.getElementById("act-cancel").addEventListener("click", () => act.close());

act.querySelector("form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const confirm = document.getElementById("act-confirm");
  const error = document.getElementById("act-error");
  const [path, body] = call(pressed, document.getElementById("act-reason").value.trim());
  confirm.disabled = true;
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: headers({ "Content-Type": "application/json", "Idempotency-Key": pressed.key }),
      body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(await problemOf(answer));
    act.close();
    refresh();
  } catch (problem) {
    error.textContent = problem.message;
    error.hidden = false;
  } finally {
    confirm.disabled = false;
  }
});

function askToken(says) {
  const error = document.getElementById("ask-error");
  show("waiting", "waiting for a token");
  if (ask.open) return;
  sessionStorage.removeItem(KEY);
  error.textContent = says;
  error.hidden = !says;
  ask.showModal();
}

ask.addEventListener("cancel", (event) => event.preventDefault());
ask.querySelector("form").addEventListener("submit", () => {
  const input = document.getElementById("ask-token");
  sessionStorage.setItem(KEY, input.value.trim());
  input.value = "";
  setTimeout(refresh, 0);
});

// --- following ---------------------------------------------------------------------------------------------------

async function follow() {
  for (let wait = 1000; ; wait = Math.min(wait * 2, 30000)) {
    try {
      if (!ask.open && !document.hidden) {
        const answer = await fetch("/v1/events", { headers: headers(), cache: "no-store" });
        if (answer.ok) {
          const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
          for (;;) {
            const { done, value } = await reader.read();
            if (done) break;
            wait = 1000;
            if (value.includes("data:")) refresh();
          }
        }
      }
    } catch {
      // the timer below goes on, and the bar says when nothing answers
    }
    await new Promise((resume) => setTimeout(resume, wait));
  }
}

setInterval(() => { if (!document.hidden && !ask.open) refresh(); }, 2000);
document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
refresh();
follow();
