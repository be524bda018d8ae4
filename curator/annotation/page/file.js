/* The backend of a page that is opened from the disk: answers are kept in this browser, and saved to a file. */
const backend = (() => {
  "use strict";
  const element = document.getElementById("boot");
  const { tasks, key } = JSON.parse(element.textContent);
  element.remove();
  const places = new Map(tasks.map((one, i) => [one.task.pair_id, i]));
  const LATEST = 20; // answers that the pace is of

  let memory = null, trouble = false, undone = null; // memory: what is kept where the browser keeps nothing
  const read = item => {
    if (memory) return memory.get(item) ?? null;
    try {
      return localStorage.getItem(item);
    } catch {
      memory = new Map();
      return null;
    }
  };
  const write = (item, value) => {
    if (!memory) {
      try {
        localStorage.setItem(item, value);
        return;
      } catch { // switched off, or full: what is there is taken along
        memory = new Map();
        try { for (const one of Object.keys(localStorage)) memory.set(one, localStorage.getItem(one)); } catch { /* off */ }
      }
    }
    memory.set(item, value);
    trouble = true;
  };

  const name = () => read("curator:name");
  const item = () => `curator:${key}:${name()}`;
  // Read anew each time: another tab may have added to it. {answers: {pair_id: {...}}, saved: how many are in a file}
  const kept = () => {
    try {
      return JSON.parse(read(item())) ?? { answers: {}, changes: 0, saved: 0 };
    } catch {
      return { answers: {}, changes: 0, saved: 0 };
    }
  };
  const inOrder = answers => Object.entries(answers)
    .filter(([pair]) => places.has(pair))
    .sort(([, one], [, other]) => one.number - other.number);

  function state() {
    const annotator = name();
    const { answers, changes, saved } = annotator === null ? { answers: {}, changes: 0, saved: 0 } : kept();
    const said = inOrder(answers);
    const times = said.slice(-LATEST).map(([, one]) => one.seconds).sort((one, other) => one - other);
    if (undone && answers[undone.pair_id]) undone = null;
    const next = undone ? places.get(undone.pair_id) : tasks.findIndex(one => !answers[one.task.pair_id]);
    return {
      annotator,
      task: next < 0 ? null : tasks[next].task,
      done: said.length,
      left: tasks.length - said.length,
      total: tasks.length,
      pace: times.length ? times[Math.floor(times.length / 2)] : null,
      can_undo: said.length > 0,
      previous: undone && { label: undone.label, note: undone.note },
      unsaved: Math.max(0, changes - saved),
      message: trouble
        ? "This browser keeps nothing for this page: your answers are lost when you close it. Save the labels before you do."
        : null,
    };
  }

  const here = {
    after: "Save the labels, and send the file to whoever gave you this page. Your answers stay in this browser too.",
    async load() {
      try {
        localStorage.setItem("curator:test", "");
        localStorage.removeItem("curator:test");
      } catch {
        memory ??= new Map();
        trouble = true;
      }
      return state();
    },
    async join(annotator) {
      write("curator:name", annotator);
      undone = null;
      return state();
    },
    async leave() {
      if (memory) memory.delete("curator:name"); else localStorage.removeItem("curator:name");
      undone = null;
      return state();
    },
    async answer(pair_id, label, note, seconds) {
      const all = kept();
      all.changes += 1;
      all.answers[pair_id] = { label, note, seconds, said_at: new Date().toISOString(), number: all.changes };
      write(item(), JSON.stringify(all));
      undone = null;
      return state();
    },
    async undo() {
      const all = kept(), last = inOrder(all.answers).at(-1);
      if (!last) return state(); // another tab was faster
      const [pair_id, { label, note }] = last;
      undone = { pair_id, label, note };
      delete all.answers[pair_id];
      all.changes += 1;
      write(item(), JSON.stringify(all));
      return state();
    },
    async whole(pair_id, part) {
      return tasks[places.get(pair_id)].whole[part];
    },
    async save() {
      const all = kept();
      const rows = inOrder(all.answers).map(([pair_id, { label, note, seconds, said_at }]) => {
        const { task, left } = tasks[places.get(pair_id)];
        const row = { pair_id, left, label, annotator: name(), note, seconds, said_at, judge: task.judge, tool: "curator" };
        return `${JSON.stringify(row)}\n`;
      });
      const shard = /(\d+)\.html$/.exec(location.pathname)?.[1] ?? key.slice(0, 8);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(rows, { type: "application/jsonl" }));
      link.download = `labels-${name().replace(/[^\p{L}\p{N}]+/gu, "_")}-${shard}.jsonl`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      all.saved = all.changes;
      write(item(), JSON.stringify(all));
      return state();
    },
    unsafe: () => {
      const now = state();
      return trouble && now.unsaved > 0;
    },
  };
  window.addEventListener("storage", event => {
    if (event.key === null || event.key === "curator:name" || event.key === item()) here.changed?.(state());
  });
  return here;
})();
