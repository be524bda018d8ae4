/* The backend of a page that is opened from the disk: answers are kept in this browser, and saved to a file. */
const backend = (() => {
  "use strict";
  const element = document.getElementById("boot");
  const { tasks } = JSON.parse(element.textContent);
  element.remove();
  const places = new Map(tasks.map((one, i) => [one.task.pair_id, i]));
  const LATEST = 20; // answers that the pace is of

  let undone = null;

  const name = () => storage.read("curator:name");
  const item = (who, place) => `curator:answer:${who}:${tasks[place].key}`;
  // {place, label, note, seconds, said_at, saved: whether it is in a file}, by time. Read anew each time: another tab may
  // have added to it.
  function kept() {
    const who = name(), found = [];
    if (who === null) return found;
    for (const place of tasks.keys()) {
      try {
        const one = JSON.parse(storage.read(item(who, place)));
        if (one?.label) found.push({ ...one, place });
      } catch { /* not ours */ }
    }
    return found.sort((one, other) => Date.parse(one.said_at) - Date.parse(other.said_at));
  }
  const keep = ({ place, ...one }) => storage.write(item(name(), place), JSON.stringify(one));

  function state() {
    const said = kept(), answered = new Set(said.map(one => one.place));
    const times = said.slice(-LATEST).map(one => one.seconds).sort((one, other) => one - other);
    if (undone && answered.has(undone.place)) undone = null;
    const next = undone ? undone.place : tasks.findIndex((_, place) => !answered.has(place));
    return {
      annotator: name(),
      task: next < 0 ? null : tasks[next].task,
      done: said.length,
      left: tasks.length - said.length,
      total: tasks.length,
      pace: times.length ? times[Math.floor(times.length / 2)] : null,
      can_undo: said.length > 0,
      previous: undone && { label: undone.label, note: undone.note },
      unsaved: said.filter(one => !one.saved).length,
      message: storage.lost
        ? "This browser keeps nothing for this page: your answers are lost when you close it. Save the labels before you do."
        : null,
    };
  }

  const here = {
    after: "Save the labels, and send the file to whoever gave you this page. Your answers stay in this browser too.",
    async load() {
      storage.write("curator:test", ""); // to know whether it is kept
      storage.drop("curator:test");
      return state();
    },
    async join(annotator) {
      storage.write("curator:name", annotator);
      undone = null;
      return state();
    },
    async leave() {
      storage.drop("curator:name");
      undone = null;
      return state();
    },
    async answer(pair_id, label, note, seconds) {
      keep({ place: places.get(pair_id), label, note, seconds, said_at: new Date().toISOString(), saved: false });
      undone = null;
      return state();
    },
    async undo() {
      const last = kept().at(-1);
      if (!last) return state(); // another tab was faster
      undone = last;
      storage.drop(item(name(), last.place));
      return state();
    },
    async whole(pair_id, part) {
      return tasks[places.get(pair_id)].whole[part];
    },
    async save() {
      const said = kept();
      const rows = said.map(({ place, label, note, seconds, said_at }) => {
        const { task: { pair_id, judge }, left } = tasks[place];
        const row = { pair_id, left, label, annotator: name(), note, seconds, said_at, judge, tool: "curator" };
        return `${JSON.stringify(row)}\n`;
      });
      const shard = /(\d+)\.html$/.exec(location.pathname)?.[1] ?? tasks[0].key.slice(0, 8);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(rows, { type: "application/jsonl" }));
      link.download = `labels-${name().replace(/[^\p{L}\p{N}]+/gu, "_")}-${shard}.jsonl`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      for (const one of said) if (!one.saved) keep({ ...one, saved: true });
      return state();
    },
    unsafe: () => {
      const now = state();
      return storage.lost && now.unsaved > 0;
    },
  };
  let heard = null; // of the many changes that saving makes, only the last is shown
  window.addEventListener("storage", event => {
    if (event.key !== null && event.key !== "curator:name" && !event.key.startsWith(`curator:answer:${name()}:`)) return;
    clearTimeout(heard);
    heard = setTimeout(() => here.changed?.(state()), 20);
  });
  return here;
})();
