import "./base.css";
import "#season/look.css";
import { items, onChange } from "./basket.js";
import { shop } from "./routes/shop.js";

// The first page is in the first chunk; the others are fetched when somebody goes there.
const routes = {
  "/": async () => ({ page: shop }),
  "/about": () => import("./routes/about.js"),
  "/basket": () => import("./routes/basket.js"),
};

const main = document.getElementById("page");
const count = document.getElementById("count");

function showCount() {
  const n = items().reduce((sum, item) => sum + item.n, 0);
  count.textContent = n;
  count.hidden = n === 0;
}

function markCurrent(path) {
  for (const a of document.querySelectorAll("nav a")) {
    if (a.pathname === path) a.setAttribute("aria-current", "page");
    else a.removeAttribute("aria-current");
  }
}

async function show(path) {
  const load = routes[path];
  let content;
  try {
    content = load ? (await load()).page() : lost("Nothing here", "There is no page at this address.");
  } catch (err) {
    console.error(err);
    content = lost("This page did not load", "Part of the shop could not be fetched. Please try again.");
  }
  markCurrent(path);
  const swap = () => main.replaceChildren(content);
  if (document.startViewTransition && main.childElementCount > 0) document.startViewTransition(swap);
  else swap();
}

function lost(title, text) {
  const div = document.createElement("div");
  div.className = "text";
  div.innerHTML = `<h1>${title}</h1><p>${text}</p><p><a class="button" href="/">Back to the shop</a></p>`;
  return div;
}

document.addEventListener("click", (e) => {
  const a = e.target.closest("a");
  if (!a || a.origin !== location.origin || a.hash || e.metaKey || e.ctrlKey || e.shiftKey || e.button) return;
  e.preventDefault();
  if (a.pathname !== location.pathname) history.pushState(null, "", a.pathname);
  show(a.pathname);
  scrollTo(0, 0);
});

addEventListener("popstate", () => show(location.pathname));
onChange(showCount);
showCount();
show(location.pathname);
