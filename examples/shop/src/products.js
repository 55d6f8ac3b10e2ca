import bowl from "./img/bowl.svg";
import vase from "#season/vase.svg";
import cup from "#season/cup.svg";

export const products = [
  { id: "bowl", name: "Tide bowl", line: "For fruit, keys, and whatever the day brings.", price: 48, image: bowl },
  { id: "vase", name: "Dune vase", line: "One branch is enough.", price: 72, image: vase },
  { id: "cup", name: "Morning cup", line: "Holds the heat, and both hands.", price: 26, image: cup },
];

export const euro = (n) => `€ ${n}`;
