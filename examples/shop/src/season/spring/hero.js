import hills from "./hills.svg";

export function hero() {
  const section = document.createElement("section");
  section.className = "hero";
  section.innerHTML = `
    <div>
      <p class="season">Spring</p>
      <h1>Three things, made slowly</h1>
      <p class="lead">A bowl, a vase and a cup, out of the first firing of the year.</p>
    </div>
    <img src="${hills}" alt="Green hills under a pale sun" width="560" height="640">`;
  return section;
}
