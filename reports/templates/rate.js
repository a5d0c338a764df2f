"use strict";
// Everything that comes from a corpus or a model is written as text, never as markup.
const by = (id) => document.getElementById(id);
const base = location.pathname;
let shown = null; // what the server said of the item on the screen
let since = 0; // when it was shown, in milliseconds
let busy = false;

async function ask(path, said) {
  const sent = said && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(said) };
  const reply = await fetch(base + path, { cache: "no-store", ...sent });
  if (!reply.ok) throw new Error(String(reply.status));
  return reply.json();
}

// One request at a time: a key that is pressed twice rates one item.
async function go(path, said) {
  if (busy) return;
  busy = true;
  try {
    show(await ask(path, said));
    by("problem").hidden = true;
  } catch (error) {
    by("problem").textContent = said
      ? "This answer was not kept: the command has ended, or the disk is full. Look at the terminal, then answer again."
      : "The items cannot be had: the command has ended. Start it again and open the address that it prints.";
    by("problem").hidden = false;
  } finally {
    busy = false;
  }
}

function show(item) {
  shown = item;
  const done = item.at === item.total;
  for (const id of ["item", "answers"]) by(id).hidden = done;
  by("moves").hidden = false;
  by("done").hidden = !done;
  by("bar").max = item.total;
  by("bar").value = item.answered;
  by("place").textContent = done ? `${item.total} of ${item.total}` : `${item.at + 1} of ${item.total}`;
  by("back").disabled = item.at === 0;
  by("skip").disabled = by("on").disabled = done;
  if (done) {
    by("all").textContent = item.total;
    by("done").querySelector("h2").focus();
  } else {
    fill(item);
  }
  since = performance.now();
  document.documentElement.dataset.at = item.at;
}

function fill(item) {
  const answer = item.skipped ? "You have skipped it." : item.rating === null ? "" : `You have rated it ${item.rating}.`;
  by("announced").textContent = `Item ${item.at + 1} of ${item.total}. ${answer}`;
  by("explanation").textContent = item.explanation;
  by("picture").hidden = item.picture === null;
  if (item.picture === null) by("picture").removeAttribute("src");
  else by("picture").src = item.picture;
  by("excerpt").hidden = item.spans.length === 0;
  by("excerpt").replaceChildren(...item.spans.map(([text, marked]) => span(text, marked)));
  for (const button of document.querySelectorAll(".step")) {
    button.setAttribute("aria-pressed", String(item.rating === Number(button.dataset.rating)));
  }
  by("skip").setAttribute("aria-pressed", String(item.skipped));
}

// A run of tokens, with a sign before each line break, which a mark could not show.
function span(text, marked) {
  const found = document.createElement(marked ? "mark" : "span");
  text.split("\n").forEach((line, at) => {
    if (at > 0) {
      const sign = document.createElement("span");
      sign.className = "break";
      found.append(sign, "\n");
    }
    found.append(line);
  });
  return found;
}

function rate(rating) {
  if (shown === null || shown.at === shown.total) return;
  go("answer", { at: shown.at, rating, seconds: (performance.now() - since) / 1000 });
}

function move(step) {
  if (shown === null) return;
  const at = shown.at + step;
  if (at >= 0 && at <= shown.total) go(`item/${at}`);
}

function help() {
  if (by("help").open) by("help").close();
  else by("help").showModal();
}

const keys = {
  0: () => rate(0), 1: () => rate(1), 2: () => rate(2), 3: () => rate(3),
  s: () => rate(null), S: () => rate(null),
  ArrowLeft: () => move(-1), Backspace: () => move(-1), ArrowRight: () => move(1),
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || event.repeat) return;
  if (event.key === "?") help();
  else if (!by("help").open && Object.hasOwn(keys, event.key)) keys[event.key]();
  else return;
  event.preventDefault();
});
for (const button of document.querySelectorAll(".step")) {
  button.addEventListener("click", () => rate(Number(button.dataset.rating)));
}
by("skip").addEventListener("click", () => rate(null));
by("back").addEventListener("click", () => move(-1));
by("on").addEventListener("click", () => move(1));
by("help-button").addEventListener("click", help);
go("item");
