// What the pages do beside being read: keys, a list that goes on by itself, sliders, a picture that is dropped.
"use strict";

const csrf = document.body.dataset.csrf || "";
const fragment = { "x-fragment": "1", "x-csrf-token": csrf };

document.addEventListener("error", (event) => {
  if (event.target instanceof HTMLImageElement) event.target.closest(".frame")?.classList.add("lost");
}, true);
for (const image of document.images) if (image.complete && !image.naturalWidth) image.closest(".frame")?.classList.add("lost");

async function replaced(target, url, options) {
  const answer = await fetch(url, { headers: fragment, ...options });
  const text = await answer.text();
  if (answer.ok) target.innerHTML = text;
  else {
    const page = new DOMParser().parseFromString(text, "text/html");
    const problem = document.createElement("p");
    problem.className = "wrong";
    problem.setAttribute("role", "alert");
    problem.textContent = page.querySelector(".wrong")?.textContent || answer.statusText;
    target.querySelector(":scope > .wrong")?.remove();
    target.prepend(problem);
  }
  return answer.ok;
}

// Now
const now = document.getElementById("now");
if (now) setInterval(() => { if (!document.hidden && !now.matches(":focus-within")) replaced(now, now.dataset.poll).catch(() => {}); }, 3000);

// Review
const review = document.getElementById("review");
if (review) {
  let busy = false;
  let last = null;
  const send = async (fields) => {
    if (busy) return;
    busy = true;
    for (const button of review.querySelectorAll("button")) button.disabled = true;
    try {
      const form = new URLSearchParams({ csrf, ...fields });
      const ok = await replaced(review, "/review", {
        method: "POST", body: form, headers: { ...fragment, "content-type": "application/x-www-form-urlencoded" },
      });
      if (ok && fields.word !== "later") last = fields.word === "undo" ? null : fields.place;
    } catch (error) { /* offline: the buttons come back, and the same word can be sent again */ }
    busy = false;
    for (const button of review.querySelectorAll("button")) button.disabled = false;
  };
  review.addEventListener("submit", (event) => {
    event.preventDefault();
    const fields = Object.fromEntries(new FormData(event.target, event.submitter));
    delete fields.csrf;
    send(fields);
  });
  const words = { a: "accept", b: "block", j: "later" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.matches("input, textarea, select")) return;
    const key = event.key.toLowerCase();
    const current = review.querySelector(".judge");
    if (key === "u" && last) send({ place: last, word: "undo" });
    else if (words[key] && current?.querySelector(".decide")) {
      const reason = current.querySelector("[name=reason]")?.value || "";
      send({ place: current.dataset.place, word: words[key], reason });
    } else return;
    event.preventDefault();
  });
  setInterval(() => { if (!busy && !document.hidden && review.querySelector("[data-empty]")) replaced(review, "/review").catch(() => {}); }, 2000);
}

// Why
const again = document.getElementById("again");
if (again) again.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = again.querySelector("button");
  button.disabled = true;
  await replaced(document.getElementById("judged"), again.action, { method: "POST", body: new URLSearchParams(new FormData(again)) }).catch(() => {});
  button.disabled = false;
});

// Try
const form = document.getElementById("try");
if (form) {
  const counted = document.getElementById("counted");
  let waiting = 0;
  let turn = 0;
  const count = () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const mine = ++turn;
      const query = new URLSearchParams(new FormData(form));
      const answer = await fetch(`${form.dataset.count}?${query}`, { headers: fragment });
      const text = await answer.text();
      if (answer.ok && mine === turn) counted.innerHTML = text;
    }, 80);
  };
  form.addEventListener("input", (event) => {
    const range = event.target.dataset.for;
    if (range) document.getElementById(range).value = event.target.value;
    else if (event.target.id) {
      const slider = form.querySelector(`[data-for="${CSS.escape(event.target.id)}"]`);
      if (slider && event.target.value !== "") slider.value = event.target.value;
    }
    form.elements.focus.value = event.target.closest("fieldset").dataset.score;
    count();
  });
  form.addEventListener("submit", (event) => { event.preventDefault(); count(); });
}

// Search
const drop = document.getElementById("drop");
if (drop) {
  const found = document.getElementById("found");
  const terms = document.getElementById("terms");
  let last = null;
  const search = (file) => {
    if (!file) return;
    last = file;
    terms.elements.id.value = "";
    const options = { method: "POST", body: file, headers: { ...fragment, "content-type": "application/octet-stream" } };
    replaced(found, `/search?${new URLSearchParams(new FormData(terms))}`, options).catch(() => {});
  };
  drop.querySelector("input").addEventListener("change", (event) => search(event.target.files[0]));
  terms.addEventListener("submit", (event) => {
    if (terms.elements.id.value || !last) return;
    event.preventDefault();
    search(last);
  });
  for (const kind of ["dragover", "dragleave", "drop"]) drop.addEventListener(kind, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", kind === "dragover");
    if (kind === "drop") search(event.dataTransfer.files[0]);
  });
}
