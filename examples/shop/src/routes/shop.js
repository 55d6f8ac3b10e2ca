import { hero } from "#season/hero.js";
import { put } from "../basket.js";
import { euro, products } from "../products.js";

export function shop() {
  const page = document.createElement("div");
  page.className = "shop";
  page.append(hero(), grid());
  return page;
}

function grid() {
  const section = document.createElement("section");
  section.className = "grid";
  section.setAttribute("aria-label", "Products");
  section.append(...products.map(card));
  return section;
}

function card(p) {
  const article = document.createElement("article");
  article.className = "card";
  article.innerHTML = `
    <div class="tile"><img src="${p.image}" alt="" width="320" height="320"></div>
    <h2>${p.name}</h2>
    <p>${p.line}</p>
    <div class="buy"><span>${euro(p.price)}</span><button type="button" aria-label="Put ${p.name} in the basket">Add</button></div>`;
  const button = article.querySelector("button");
  button.addEventListener("click", () => {
    put(p.id, 1);
    button.textContent = "Added";
    setTimeout(() => (button.textContent = "Add"), 1200);
  });
  return article;
}
