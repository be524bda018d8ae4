/* The page's behaviour. It knows nothing of where tasks come from and answers go: that is `backend`, an object of
 *
 *   load(), join(name), answer(pair_id, label, note, seconds), undo()   each a promise of a State
 *   whole(pair_id, part)   a promise of all of a text that was cut; part: "left", "right" or a message's number
 *   after                  what to do when all is done, a sentence
 *   save()                 optional: gives the annotator a file of the labels
 *   leave()                optional: forgets the annotator's name, for somebody else to label here; resolves to a State
 *   unsafe()               optional: whether leaving the page now would lose something
 *   changed, failed        set by the page, called by the backend with a State that changed by itself (another tab), and
 *                          with what is in the way of what it tries again by itself
 *
 *   State = {annotator, task, done, left, total, pace, can_undo, previous: {label, note}, message, unsaved, stored}
 *   (stored false: the browser alone has some of the answers)
 *
 * annotator null: the page asks for a name and calls join. A promise that is rejected shows its message; "Try again"
 * does the same once more, so doing it twice must be the same as doing it once.
 */
(() => {
  "use strict";
  const at = id => document.getElementById(id);
  const LABELS = ["left", "right", "tie", "both_bad", "skip"];
  const KEYS = {
    a: "left", 1: "left", arrowleft: "left", b: "right", 2: "right", arrowright: "right",
    t: "tie", n: "both_bad", s: "skip",
  };
  const SETTLE = 250; // ms: a second press of the same key is not an answer to a task that nobody has read yet

  const kept = (store, key, value) => { // a preference or a draft: nothing is lost but comfort where it cannot be kept
    try {
      if (value === undefined) return store().getItem(key);
      store().setItem(key, value);
    } catch { /* storage is switched off */ }
    return null;
  };
  const local = () => localStorage, session = () => sessionStorage;

  let state = null, busy = true, retry = null, drawn = null; // drawn: the task that is on the page
  let unfolded = kept(local, "curator:unfolded") === "yes", comparing = false;
  let shownAt = 0, since = 0, spent = 0;

  const make = (tag, properties, ...inside) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...inside);
    return element;
  };
  const number = value => value.toLocaleString("en");
  const duration = seconds => {
    if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
    const minutes = Math.round(seconds / 60);
    return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1).replace(/\.0$/, "")} h`;
  };
  const say = text => { at("live").textContent = text; };

  // Time that the annotator spends on a task, while the page is in view.
  const clock = () => { spent += performance.now() - since; since = performance.now(); };
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) clock(); else since = performance.now();
  });

  /* ---- texts ---- */

  const PIECE = 20_000; // characters: a browser lays out what is in view, piece by piece
  function asText(text) {
    const pieces = [];
    for (let start = 0; start < text.length;) {
      let end = Math.min(text.length, start + PIECE);
      const line = text.lastIndexOf("\n", end);
      if (end < text.length && line > start) end = line + 1;
      else if (/[\uD800-\uDBFF]/.test(text[end - 1]) && end < text.length) end += 1;
      pieces.push(make("div", { className: "piece", textContent: text.slice(start, end) }));
      start = end;
    }
    return pieces;
  }

  function markdown(html) {
    const holder = document.createElement("template");
    holder.innerHTML = html; // made harmless by curator.rendering
    for (const table of holder.content.querySelectorAll("table")) {
      const scroll = make("div", { className: "scroll", tabIndex: 0, role: "region", ariaLabel: "Table" });
      table.replaceWith(scroll);
      scroll.append(table);
    }
    return holder.content;
  }

  // A text in a box that folds where it is long, with what was cut off on demand.
  function textBox(shown, part, name, kind) {
    const text = make("div", { className: "text", dir: "auto" });
    const box = make("div", { className: `fold ${kind}` }, text);
    text.append(markdown(shown.html));
    const toggle = make("button", { type: "button", className: "toggle", hidden: true });
    toggle.addEventListener("click", () => {
      box.classList.toggle("folded");
      label(box, toggle, name);
    });
    box.append(toggle);
    if (shown.cut) {
      const more = make("button", { type: "button", className: "more" },
        `Show all ${number(shown.characters)} characters of ${name}`);
      const pair = state.task.pair_id;
      more.addEventListener("click", async () => {
        more.disabled = true;
        try {
          const whole = await backend.whole(pair, part);
          text.classList.add("plain");
          text.replaceChildren(...asText(whole));
          more.remove();
          box.classList.remove("folded");
          label(box, toggle, name);
          say(`All of ${name} is shown`);
        } catch (error) {
          more.disabled = false;
          problem(error.message);
        }
      });
      box.append(more);
    }
    return box;
  }

  const label = (box, toggle, name) => {
    const folded = box.classList.contains("folded");
    toggle.textContent = folded ? `Unfold ${name}` : `Fold ${name}`;
    toggle.ariaExpanded = String(!folded);
  };

  function fold() {
    for (const box of document.querySelectorAll(".fold")) {
      const text = box.querySelector(".text"), toggle = box.querySelector(".toggle");
      box.classList.add("folded");
      const long = text.scrollHeight > text.clientHeight + 40; // px: less than that is not worth a fold
      box.classList.toggle("folded", long && !unfolded);
      toggle.hidden = !long;
      label(box, toggle, box.dataset.name);
    }
    at("unfold").ariaPressed = String(unfolded);
  }

  function response(side) {
    const { task } = state, name = side === "left" ? "Left" : "Right";
    let box;
    if (comparing && task.diff) {
      const runs = task.diff[side].map(([changed, text]) => changed ? make("mark", {}, text) : text);
      const text = make("div", { className: "text plain", dir: "auto" }, ...runs);
      const toggle = make("button", { type: "button", className: "toggle", hidden: true });
      box = make("div", { className: "fold response" }, text, toggle);
      toggle.addEventListener("click", () => { box.classList.toggle("folded"); label(box, toggle, name); });
    } else {
      box = textBox(task[side], side, name, "response");
    }
    box.dataset.name = name;
    at(side).replaceChildren(box);
  }

  function responses() {
    response("left");
    response("right");
    at("compare").ariaPressed = String(comparing);
    fold();
  }

  function prompt() {
    const { task } = state, last = task.prompt.length - 1;
    at("prompt").replaceChildren(...task.prompt.map((message, i) => {
      const name = last ? `message ${i + 1} (${message.role})` : "the prompt";
      const box = textBox(message, String(i), name, i < last ? "earlier" : "latest");
      box.dataset.name = name;
      const plain = !last && message.role === "user";
      return make("div", { className: `message ${message.role === "assistant" ? "assistant" : ""}` },
        ...(plain ? [] : [make("h3", { className: "role" }, message.role)]), box);
    }));
  }

  function verdict({ judge }) {
    at("judge").hidden = !judge;
    if (!judge) return;
    const sure = judge.probability == null ? "" : `, with probability ${judge.probability.toFixed(2)}`;
    at("judge").textContent = judge.prefers ? `The judge prefers ${judge.prefers}${sure}.` : "The judge prefers neither.";
  }

  function signs({ signs }) {
    at("signs").hidden = !signs?.length;
    at("signs").textContent = signs?.length
      ? `A response may talk to a judge rather than to the user (${signs.join(", ")}). Judge what it does for the user.` : "";
  }

  /* ---- states ---- */

  function header() {
    const { done, left, total, pace, annotator } = state;
    at("progress").max = Math.max(1, total);
    at("progress").value = total - left;
    const parts = [`${number(done)} done`, `${number(left)} left`];
    if (pace && left) parts.push(`${duration(pace)} each`, `about ${duration(pace * left)} to go`);
    at("counts").textContent = annotator === null ? `${number(total)} tasks` : parts.join(" · ");
    at("progress").hidden = annotator === null;
    at("who").textContent = annotator ?? "";
    const can = Boolean(backend.save) && annotator !== null && done > 0;
    for (const id of ["save", "save-end"]) {
      at(id).hidden = !can;
      at(id).textContent = state.unsaved ? `Save labels (${number(state.unsaved)} new)` : "Save labels";
    }
    at("me").hidden = !backend.leave || annotator === null;
    at("me").querySelector("span").textContent = `You label as ${annotator}.`;
    at("undo").setAttribute("aria-disabled", String(!state.can_undo));
    at("notice").hidden = !state.message;
    at("notice").textContent = state.message ?? "";
  }

  function show(next, said = "") {
    state = next;
    problem(null);
    header();
    const { annotator, task, left } = state;
    at("join").hidden = annotator !== null;
    at("task").hidden = at("answer").hidden = annotator === null || !task;
    at("end").hidden = annotator === null || Boolean(task);
    if (annotator === null || !task) drawn = null;
    if (annotator === null) {
      at("title").textContent = "Which response is better?";
      at("name").value = "";
      at("name").focus();
      return;
    }
    if (!task) {
      at("answer").hidden = !state.can_undo;
      at("answer").classList.add("only-undo");
      const safe = state.stored !== false;
      at("title").textContent = left ? "Nothing to do right now" : safe ? "All done, thank you" : "Almost done";
      at("after").textContent = left ? "The tasks that are left are with others. Load the page again later."
        : safe ? backend.after : "Leave this page open until your answers are stored.";
      at("tally").textContent = `${number(state.done)} answers are yours.`;
      at("title").focus();
      say(`${said} ${at("title").textContent}.`);
      return;
    }
    at("answer").classList.remove("only-undo");
    const place = state.total - left + 1;
    at("title").textContent = "Which response is better?";
    document.title = `${place} of ${state.total}: curator review`;
    if (task.pair_id === drawn) return; // only the numbers have changed
    drawn = task.pair_id;
    prompt();
    verdict(task);
    signs(task);
    responses();
    for (const button of document.querySelectorAll("[data-label]")) {
      button.classList.toggle("previous", button.dataset.label === state.previous?.label);
    }
    let draft = null;
    try { draft = JSON.parse(kept(session, "curator:draft") ?? "null"); } catch { /* not ours */ }
    at("note").value = state.previous?.note ?? (draft?.pair_id === task.pair_id ? draft.note : "");
    comment(Boolean(at("note").value));
    window.scrollTo(0, 0);
    at("title").focus({ preventScroll: true });
    shownAt = since = performance.now();
    spent = 0;
    say(`${said} Task ${number(place)} of ${number(state.total)}, ${number(left)} left.`.trim());
  }

  function problem(text) {
    at("problem").hidden = !text;
    at("problem").querySelector("p").textContent = text ?? "";
    at("again").hidden = !retry;
  }

  async function act(work, said) {
    if (busy) return;
    busy = true;
    document.body.classList.add("busy");
    document.querySelector("main").ariaBusy = "true";
    try {
      const next = await work();
      retry = null;
      show(next, said);
    } catch (error) {
      retry = () => act(work, said);
      problem(error.message || String(error));
    } finally {
      busy = false;
      document.body.classList.remove("busy");
      document.querySelector("main").ariaBusy = "false";
    }
  }

  /* ---- what the annotator does ---- */

  function answer(choice) {
    const { task } = state ?? {};
    if (!task || state.annotator === null || performance.now() - shownAt < SETTLE) return;
    clock();
    const note = at("note").value.trim() || null, seconds = Math.min(1e6, Math.round(spent / 100) / 10);
    const words = document.querySelector(`[data-label="${choice}"] span`).textContent;
    act(() => backend.answer(task.pair_id, choice, note, seconds), `${words}.`);
  }

  const undo = () => { if (state?.can_undo) act(() => backend.undo(), "Undone."); };

  function comment(open) {
    at("comment").hidden = !open;
    at("write").ariaExpanded = String(open);
  }
  const write = () => { comment(true); at("note").focus({ preventScroll: true }); };

  function compare() {
    if (!state?.task) return;
    if (!state.task.diff) { say("These are too long to be compared word by word."); return; }
    comparing = !comparing;
    responses();
    say(comparing ? "Differences are marked." : "Differences are no longer marked.");
  }

  function unfold() {
    unfolded = !unfolded;
    kept(local, "curator:unfolded", unfolded ? "yes" : "no");
    fold();
    say(unfolded ? "Long texts are unfolded." : "Long texts are folded.");
  }

  const save = () => { if (backend.save) act(() => backend.save(), "Saved."); };
  const help = () => at("keys").showModal();

  const DO = { u: undo, c: write, d: compare, f: unfold, "?": help };
  document.addEventListener("keydown", event => {
    const { target } = event;
    if (target === at("note") && (event.key === "Enter" || event.key === "Escape") && !event.isComposing) {
      event.preventDefault();
      comment(Boolean(target.value));
      at("title").focus({ preventScroll: true });
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.isComposing) return;
    if (target.closest?.("input, textarea, dialog") || at("keys").open || !at("single").checked) return;
    if (event.key.startsWith("Arrow") && (event.shiftKey || target.closest?.(".scroll"))) return;
    // On a keyboard of another script the keys are where they are on a Latin one.
    const latin = event.key.length > 1 || event.key <= "~" ? event.key : event.code.replace("Key", "");
    const key = latin.toLowerCase();
    if (KEYS[key]) answer(KEYS[key]);
    else if (Object.hasOwn(DO, key)) DO[key]();
    else return;
    event.preventDefault();
  });

  for (const choice of LABELS) {
    document.querySelector(`[data-label="${choice}"]`).addEventListener("click", () => answer(choice));
  }
  at("undo").addEventListener("click", undo);
  at("compare").addEventListener("click", compare);
  at("unfold").addEventListener("click", unfold);
  at("write").addEventListener("click", () => {
    if (at("comment").hidden) write(); else comment(false);
  });
  at("help").addEventListener("click", help);
  at("leave").addEventListener("click", () => {
    at("keys").close();
    act(() => backend.leave(), "");
  });
  at("again").addEventListener("click", () => retry?.());
  at("save").addEventListener("click", save);
  at("save-end").addEventListener("click", save);
  at("note").addEventListener("input", () => {
    kept(session, "curator:draft", JSON.stringify({ pair_id: state.task?.pair_id, note: at("note").value }));
  });
  at("single").checked = kept(local, "curator:keys") !== "off";
  at("single").addEventListener("change", () => kept(local, "curator:keys", at("single").checked ? "on" : "off"));
  at("join").addEventListener("submit", event => {
    event.preventDefault();
    const name = at("name").value.trim();
    if (name) act(() => backend.join(name), `Hello ${name}.`);
  });
  let measuring = 0;
  window.addEventListener("resize", () => {
    cancelAnimationFrame(measuring);
    measuring = requestAnimationFrame(() => { if (state?.task) fold(); });
  });
  window.addEventListener("beforeunload", event => {
    if ((busy && state) || backend.unsafe?.()) event.preventDefault();
  });

  backend.changed = next => {
    if (busy) return; // what is under way tells of it
    retry = null;
    show(next);
  };
  backend.failed = text => { if (!busy && retry) problem(text); };
  busy = false;
  act(() => backend.load());
})();
