import sea from "./sea.svg";

export function hero() {
  const section = document.createElement("section");
  section.className = "hero";
  section.innerHTML = `
    <img src="${sea}" alt="The sun over a calm sea" width="1120" height="520">
    <div>
      <p class="season">Summer</p>
      <h1>Salt, sun, stoneware</h1>
      <p class="lead">The same three shapes, glazed in the colours of the bay.</p>
    </div>`;
  return section;
}
