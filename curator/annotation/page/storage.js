/* What the browser keeps for a page. Where it keeps nothing, the page does, for as long as it is open. */
const storage = (() => {
  "use strict";
  let memory = null;
  const give = () => { // switched off, or full: what is there is taken along
    memory = new Map();
    try { for (const item of Object.keys(localStorage)) memory.set(item, localStorage.getItem(item)); } catch { /* off */ }
  };
  return {
    get lost() { return memory !== null; },
    read(item) {
      if (!memory) {
        try { return localStorage.getItem(item); } catch { give(); }
      }
      return memory.get(item) ?? null;
    },
    write(item, value) {
      if (!memory) {
        try { return void localStorage.setItem(item, value); } catch { give(); }
      }
      memory.set(item, value);
    },
    drop(item) {
      if (memory) memory.delete(item);
      else localStorage.removeItem(item);
    },
    items(prefix) {
      let all = [];
      if (!memory) {
        try { all = Object.keys(localStorage); } catch { give(); }
      }
      return (memory ? [...memory.keys()] : all).filter(item => item.startsWith(prefix)).sort();
    },
  };
})();
