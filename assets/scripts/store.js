// The gallery's faces in the browser's own database: small pictures with their records in "faces", the steps of each in
// "steps", which are fetched only when a face is opened. Where a browser allows no database, they are kept until the
// page closes.
window.facet.store = (() => {
  const done = request =>
    new Promise((resolve, reject) => {
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
  const memory = {faces: new Map(), steps: new Map()};
  const open = () =>
    new Promise(resolve => {
      try {
        const request = indexedDB.open("facet", 1);
        request.onupgradeneeded = () =>
          ["faces", "steps"].forEach(name => request.result.createObjectStore(name, {keyPath: "id"}));
        request.onsuccess = () => {
          // the browser closes it when its data is cleared
          request.result.onclose = () => (opened = open());
          resolve(request.result);
        };
        request.onerror = request.onblocked = () => resolve(null);
      } catch {
        resolve(null);
      }
    });
  let opened = open();

  // in one transaction: a full store keeps neither face nor steps
  async function change(act) {
    const database = await opened;
    if (!database) return act(memory.faces, memory.steps, (map, item) => map.set(item.id, item));
    const transaction = database.transaction(["faces", "steps"], "readwrite");
    act(transaction.objectStore("faces"), transaction.objectStore("steps"), (store, item) => store.put(item));
    await new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = transaction.onerror = () =>
        reject(transaction.error || new Error("The store did not take it."));
    });
  }

  async function read(name, id) {
    const database = await opened;
    if (!database) return id === undefined ? [...memory[name].values()] : memory[name].get(id);
    const store = database.transaction(name).objectStore(name);
    return done(id === undefined ? store.getAll() : store.get(id));
  }

  return {
    // faces: [{id, image, record, kind, painting: {mask, before} of a painted one, steps: {total, frames, decided}}]
    add: faces =>
      change((small, steps, put) =>
        faces.forEach(({steps: all, ...face}) => {
          put(small, face);
          put(steps, {id: face.id, ...all});
        }),
      ),
    remove: ids =>
      change((small, steps) =>
        ids.forEach(id => {
          small.delete(id);
          steps.delete(id);
        }),
      ),
    // the newest first
    faces: async () => (await read("faces")).sort((one, other) => other.id - one.id),
    steps: id => read("steps", id),
    whole: async faces => Promise.all(faces.map(async face => ({...face, steps: await read("steps", face.id)}))),
  };
})();
