/* The backend of `curator review`: answers go to the server, and stay in this browser until it has stored them. */
const backend = (() => {
  "use strict";
  const element = document.getElementById("boot");
  const { key, annotator: fixed } = JSON.parse(element.textContent);
  element.remove();
  const MOST = 200, ROOM = 500_000; // answers, and characters, of one request: less than the server takes
  const SOON = 1_000, LATE = 15_000; // ms between attempts

  const NAME = `curator:review:${key}:name`;
  const name = () => fixed ?? (storage.read(NAME) || null);
  // Each answer is an item of its own, in the order in which they were given: tabs change the storage at the same time.
  const outbox = who => `curator:review:${key}:outbox:${encodeURIComponent(who)}:`;
  function waiting(who) {
    const found = [];
    for (const item of storage.items(outbox(who))) {
      try {
        found.push({ ...JSON.parse(storage.read(item)), item });
      } catch { /* not ours, or stored by another tab meanwhile */ }
    }
    return found;
  }
  function put(who, one) {
    const last = storage.items(outbox(who)).at(-1)?.slice(outbox(who).length).split("-")[0] ?? 0;
    const turn = Math.max(Date.now(), Number(last) + 1); // a clock may be set back
    storage.write(`${outbox(who)}${String(turn).padStart(16, "0")}-${number()}`, JSON.stringify(one));
  }
  const number = () => [...crypto.getRandomValues(new Uint32Array(4))].join("-");

  const dealt = new Map(); // which response of a pair stood left when it was shown here
  const tabs = "BroadcastChannel" in window ? new BroadcastChannel(`curator:review:${key}`) : null;
  let showing = null, latest = null, timer = null, pause = SOON;

  const post = (path, body) => fetch(path, {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
    credentials: "same-origin", cache: "no-store", redirect: "error",
  });

  const kept = who => {
    const count = who === null ? 0 : waiting(who).length;
    if (!count) return "";
    return count === 1 ? " Your answer is kept in this browser." : ` Your ${count} answers are kept in this browser.`;
  };

  // One after another, in all tabs: an answer must not overtake the taking back of it.
  const alone = work => navigator.locks ? navigator.locks.request(`curator:review:${key}`, work) : work();

  async function send(who) {
    for (;;) {
      const said = [];
      let room = ROOM;
      for (const one of waiting(who).slice(0, MOST)) {
        room -= JSON.stringify(one).length;
        if (room < 0 && said.length) break;
        said.push(one);
      }
      let response;
      try {
        response = await post("/sync", { annotator: who, showing, said: said.map(({ item: _, ...one }) => one) });
      } catch {
        throw new Error(`The server does not answer.${kept(who)} Is \`curator review\` still running?`);
      }
      if (response.status === 403) {
        throw new Error(`Open the address that \`curator review\` printed last.${kept(who)}`);
      }
      const found = response.headers.get("Content-Type")?.startsWith("application/json") ? await response.json() : null;
      if (!found) throw new Error(`${await response.text()}${kept(who)}`);
      if (response.ok) {
        if (said.length) {
          for (const one of said) storage.drop(one.item);
          tabs?.postMessage("stored");
          if (waiting(who).length) continue;
        }
      } else if (!("task" in found)) {
        throw new Error(found.message);
      }
      return found;
    }
  }

  async function sync(who = name()) {
    clearTimeout(timer);
    try {
      const state = await alone(() => who === null ? send(null) : send(who));
      if (state.task) dealt.set(state.task.pair_id, state.dealt);
      showing = state.task?.pair_id ?? null;
      latest = state;
      pause = SOON;
      if (!state.stored) later();
      return state;
    } catch (error) {
      later();
      throw error;
    }
  }

  // What could not be stored is tried again, and the page told when that has worked.
  function later() {
    clearTimeout(timer);
    timer = setTimeout(async () => {
      try {
        here.changed?.(await sync());
      } catch (error) {
        here.failed?.(error.message);
      }
    }, pause);
    pause = Math.min(LATE, pause * 2);
  }

  const wellFormed = text => text === null ? null : text.toWellFormed?.() ?? text.replace(/[\uD800-\uDFFF]/gu, "\uFFFD");

  const here = {
    after: "Whoever asked you can go on: they run `curator label` again. Your answers are in the store.",
    load: () => sync(),
    async join(asked) {
      const state = await sync(wellFormed(asked));
      if (state.annotator !== null) storage.write(NAME, state.annotator);
      return state;
    },
    async answer(pair_id, label, note, seconds) {
      const who = name(), one = { pair_id, label, note: wellFormed(note), seconds, dealt: dealt.get(pair_id) };
      const before = waiting(who).at(-1);
      if (!before || ["pair_id", "label", "note"].some(part => before[part] !== one[part])) { // not tried again
        put(who, { ...one, said_at: Date.now() });
      }
      return sync();
    },
    async undo() {
      const who = name(), pair_id = latest?.undo, before = waiting(who).at(-1);
      if (pair_id && !(before?.pair_id === pair_id && before.label === null)) {
        put(who, { pair_id, label: null, said_at: Date.now() });
      }
      return sync();
    },
    async whole(pair_id, part) {
      let response;
      try {
        response = await post("/whole", { pair_id, part });
      } catch {
        throw new Error("The server does not answer.");
      }
      const found = response.headers.get("Content-Type")?.startsWith("application/json") ? await response.json() : {};
      if (!response.ok) throw new Error(found.message ?? "This text cannot be had now.");
      return found.text;
    },
    // Somebody else's answers would never be sent under the name of whoever comes next, and not under any other.
    leave: fixed !== null ? undefined : async () => {
      if (waiting(name()).length) await sync();
      if (waiting(name()).length) throw new Error("Your answers are not stored yet: wait until they are.");
      storage.write(NAME, "");
      return sync();
    },
    // What this browser keeps would be stored only when somebody opens the page in it again.
    unsafe: () => name() !== null && waiting(name()).length > 0,
  };
  tabs?.addEventListener("message", later);
  return here;
})();
