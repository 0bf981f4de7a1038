// What the screens gain by a script: they follow what happens, links and forms carry the token, and going from one to
// another changes only those nodes that differ, so that focus, scrolling, selections and open details stay. Without it
// every link and form works as HTML has them. Texts are parsed as HTML only as the server has escaped them.
"use strict";

const KEY = "sidecar-token";
const EVERY_MS = 3000;
const main = document.getElementById("main");
const live = document.getElementById("live");
const ask = document.getElementById("ask");
let asking = null; // the request under way; another screen ends it
let lastSuccess = null;

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

function swap(html, fresh) {
  const parsed = new DOMParser().parseFromString(html, "text/html");
  document.title = parsed.title;
  become(document.querySelector(".bar nav"), parsed.querySelector(".bar nav"));
  const theirs = parsed.getElementById("main");
  if (fresh) {
    attributes(main, theirs);
    main.replaceChildren(...theirs.childNodes);
  } else {
    become(main, theirs);
  }
}

// --- going and acting --------------------------------------------------------------------------------------------

// Asks for a screen and shows it. `push`: a person went there; else the same screen is brought up to date.
async function load(url, { push = false, fresh = push, method = "GET", body } = {}) {
  if (asking && !fresh) return;
  asking?.abort();
  const mine = asking = new AbortController();
  const signal = AbortSignal.any([mine.signal, AbortSignal.timeout(15000)]);
  try {
    const answer = await fetch(url, { method, body, headers: headers(), cache: "no-store", signal });
    const type = answer.headers.get("Content-Type") || "";
    if (answer.status === 401) { askToken("This token is not known here."); return; }
    if (!type.startsWith("text/html")) { refuse(type.includes("json") ? (await answer.json()).detail : `The sidecar answered ${answer.status}.`); return; }
    const text = await answer.text();
    if (mine.signal.aborted) return;
    swap(text, fresh);
    if (push) {
      // a refused form is shown in its own place and is no place to come back to
      if (method === "GET" || answer.redirected) history.pushState(null, "", answer.url);
      window.scrollTo(0, 0);
      main.focus({ preventScroll: true });
    }
    if (document.body.hasAttribute("data-asks") && document.title === "Sidecar" && main.querySelector("[data-frame]")) {
      askToken(sessionStorage.getItem(KEY) ? "This token is not known here." : "");
      return;
    }
    lastSuccess = new Date();
    show("live", "live");
  } catch (error) {
    if (mine.signal.aborted) return;
    show("stale", lastSuccess ? `no answer since ${lastSuccess.toLocaleTimeString()}` : "no answer");
    if (method === "POST") refuse("The sidecar did not answer: look at the audit trail whether it was done.");
  } finally {
    if (asking === mine) asking = null;
  }
}

function refuse(says) {
  const form = main.querySelector("form");
  if (!form) return;
  let note = form.querySelector(".refusal");
  if (!note) {
    note = document.createElement("p");
    note.className = "refusal";
    note.setAttribute("role", "alert");
    form.prepend(note);
  }
  note.textContent = says;
}

function refresh() {
  if (document.hidden || ask.open || main.hasAttribute("data-still")) return;
  load(location.href);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (!link || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const url = new URL(link.href);
  if (url.origin !== location.origin || link.getAttribute("href").startsWith("#")) return;
  event.preventDefault();
  if (link.hasAttribute("data-native")) openReport(url);
  else load(url.href, { push: true });
});

// A report is a page of its own, with a policy of its own; its address alone would not carry the token.
async function openReport(url) {
  if (!sessionStorage.getItem(KEY)) { location.assign(url); return; }
  const answer = await fetch(url, { headers: headers() });
  if (!answer.ok) return;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await answer.blob());
  link.download = "decision-report.html";
  link.click();
  URL.revokeObjectURL(link.href);
}

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post") return;
  event.preventDefault();
  const button = form.querySelector("button[type=submit]");
  button.disabled = true;
  load(form.action, { push: true, method: "POST", body: new URLSearchParams(new FormData(form)) })
    .finally(() => { button.disabled = false; });
});

window.addEventListener("popstate", () => load(location.href, { fresh: true }));

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
  setTimeout(() => load(location.href, { fresh: true }), 0);
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

setInterval(refresh, EVERY_MS);
setInterval(() => {
  // what was done stands there long enough to be read
  if (main.querySelector("[data-done]")) setTimeout(() => history.replaceState(null, "", location.pathname), 10000);
}, 11000);
document.addEventListener("visibilitychange", refresh);
if (document.body.hasAttribute("data-asks")) load(location.href, { fresh: true });
else { lastSuccess = new Date(); show("live", "live"); }
requestAnimationFrame(() => setTimeout(follow)); // what is there is painted first
