import "./basket.css";
import { items, put } from "../basket.js";
import { euro, products } from "../products.js";

export function page() {
  const div = document.createElement("div");
  div.className = "text basket";
  draw(div);
  return div;
}

function draw(div) {
  const lines = products
    .map((p) => ({ ...p, n: items().find((item) => item.id === p.id)?.n ?? 0 }))
    .filter((line) => line.n > 0);
  if (lines.length === 0) {
    div.innerHTML = `<h1>Your basket</h1><p class="lead">It is empty, and that is fine too.</p><p><a class="button" href="/">See the three</a></p>`;
    return;
  }
  const sum = lines.reduce((s, line) => s + line.price * line.n, 0);
  div.innerHTML = `
    <h1>Your basket</h1>
    <ul>${lines.map(row).join("")}</ul>
    <p class="sum"><span>Together</span><b>${euro(sum)}</b></p>`;
  for (const button of div.querySelectorAll("button")) {
    button.addEventListener("click", () => {
      put(button.dataset.id, Number(button.dataset.change));
      draw(div);
    });
  }
}

function row(line) {
  return `
    <li>
      <img src="${line.image}" alt="" width="72" height="72">
      <div><b>${line.name}</b><span>${euro(line.price)}</span></div>
      <div class="count-by">
        <button type="button" data-id="${line.id}" data-change="-1" aria-label="One ${line.name} less">−</button>
        <span>${line.n}</span>
        <button type="button" data-id="${line.id}" data-change="1" aria-label="One ${line.name} more">+</button>
      </div>
    </li>`;
}
