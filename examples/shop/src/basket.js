// The basket outlives a visit, and a release: it is kept by the visitor's own browser.
const key = "harbour-basket";
const listeners = new Set();

export function items() {
  try {
    return JSON.parse(localStorage.getItem(key)) ?? [];
  } catch {
    return [];
  }
}

export function put(id, change) {
  const next = items().filter((item) => item.id !== id);
  const n = (items().find((item) => item.id === id)?.n ?? 0) + change;
  if (n > 0) next.push({ id, n });
  try {
    localStorage.setItem(key, JSON.stringify(next));
  } catch {
    // A browser that keeps nothing has an empty basket.
  }
  for (const tell of listeners) tell();
}

export function onChange(tell) {
  listeners.add(tell);
  return () => listeners.delete(tell);
}
