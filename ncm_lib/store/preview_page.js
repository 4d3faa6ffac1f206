"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const element = (id) => document.getElementById(id);
const number = (count) => count.toLocaleString("en");
const percent = (weight) => `${Math.round(100 * weight)} %`;

// Text goes in as text and never as HTML: a class may be called anything.
function make(tag, options = {}, ...children) {
  const node = document.createElement(tag);
  Object.assign(node, options);
  node.append(...children);
  return node;
}

function drawing(tag, attributes, ...children) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const colour = (place) => `var(--class-${place % data.colours.length})`;

// The border of the mask, on each side in the colour of the class that is made there: first both sides in that of B,
// then the side of A over it.
function outline(mask, id) {
  const [width, height, area, edges] = mask;
  return drawing(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    drawing("clipPath", { id }, drawing("path", { d: area })),
    drawing("path", { d: edges, style: `stroke: ${colour(1)}` }),
    drawing("path", { d: edges, style: `stroke: ${colour(0)}`, "clip-path": `url(#${id})` }),
  );
}

function frame(sample, source, id) {
  const [width, height] = sample.size;
  const image = make("img", { src: source, alt: "", decoding: "async", className: Math.max(width, height) <= 64 ? "small" : "" });
  const node = make("div", { className: "frame" }, image);
  node.style.width = `${100 * Math.min(1, width / height)}%`;
  node.style.aspectRatio = `${width} / ${height}`;
  if (sample.mask) node.append(outline(sample.mask, id));
  return node;
}

function shares(record) {
  const bar = make("div", { className: "shares" });
  const lines = record.class_ids.map((classId, place) => {
    const weight = record.weights[place];
    const part = make("span");
    part.style.cssText = `flex: ${weight} 0 0; background: ${colour(place)}`;
    bar.append(part);
    const dot = make("i", { className: "dot" });
    dot.style.background = colour(place);
    const name = make("span", { className: "name", title: data.classes[classId] }, data.classes[classId]);
    const share = make("span", { className: "share" }, percent(weight));
    return make("div", { className: weight ? "line" : "line without" }, dot, name, share);
  });
  return [bar, ...lines];
}

function describe(record) {
  const parts = record.class_ids.map((classId, place) => `${data.classes[classId]} ${percent(record.weights[place])}`);
  return `Sample ${record.index}: ${parts.join(", ")}`;
}

function tileOf(sample) {
  const picture = make("div", { className: "picture" }, frame(sample, sample.image, `area-${sample.record.index}`));
  const tile = make("button", { className: "tile", type: "button", ariaLabel: describe(sample.record) }, picture, ...shares(sample.record));
  tile.addEventListener("click", () => enlarge(sample));
  return tile;
}

// ------------------------------------------------------------------------------------------ which samples, in what order

function fillClasses(select, idsOf) {
  const counts = data.classes.map(() => 0);
  for (const sample of data.samples) for (const classId of new Set(idsOf(sample.record))) counts[classId] += 1;
  select.append(make("option", { value: "" }, "any"));
  data.classes.forEach((name, classId) => {
    if (counts[classId]) select.append(make("option", { value: String(classId) }, `${name} (${counts[classId]})`));
  });
}

const filters = {
  either: (record) => record.class_ids,
  first: (record) => record.class_ids.slice(0, 1),
  second: (record) => record.class_ids.slice(1, 2),
};

const orders = {
  index: (a, b) => a.record.index - b.record.index,
  rising: (a, b) => a.record.weights[0] - b.record.weights[0] || orders.index(a, b),
  falling: (a, b) => b.record.weights[0] - a.record.weights[0] || orders.index(a, b),
};

let shown = [];

function update() {
  const least = element("least").valueAsNumber;
  const most = element("most").valueAsNumber;
  element("least-shown").value = `${least} %`;
  element("most-shown").value = `${most} %`;
  const wanted = Object.entries(filters).filter(([id]) => element(id).value !== "");
  shown = data.samples.filter(({ record }) => {
    const weight = 100 * record.weights[0];
    return least - 1e-6 <= weight && weight <= most + 1e-6
      && wanted.every(([id, idsOf]) => idsOf(record).includes(Number(element(id).value)));
  });
  shown.sort(orders[element("order").value]);
  element("tiles").replaceChildren(...shown.map((sample) => sample.tile));
  element("none").hidden = shown.length > 0;
  element("count").textContent = `${number(shown.length)} of ${number(data.samples.length)} samples shown`;
  document.body.classList.toggle("no-outlines", !element("outlines").checked);
}

// The two sliders push each other, so that "from" is never above "to".
function push(event) {
  const [least, most] = [element("least"), element("most")];
  if (least.valueAsNumber > most.valueAsNumber) {
    if (event.target === least) most.value = least.value;
    else least.value = most.value;
  }
}

// ----------------------------------------------------------------------------------------------------- one sample, large

let current = null;

function enlarge(sample) {
  current = sample;
  const { record } = sample;
  element("large-title").textContent = `Sample ${record.index}`;
  // The image itself lies beside this page, unless the page was taken away from its data set.
  const large = frame(sample, record.file_name, "area-large");
  large.querySelector("img").addEventListener("error", (event) => { event.target.src = sample.image; }, { once: true });
  large.querySelector("img").alt = describe(record);
  element("large-picture").replaceChildren(large);
  element("large-label").replaceChildren(...shares(record));
  element("large-record").replaceChildren(...Object.entries(record).map(([key, value]) =>
    make("tr", {}, make("th", { scope: "row" }, key), make("td", {}, value === null ? "–" : [value].flat().join(", ")))));
  const place = shown.indexOf(sample);
  element("previous").disabled = place <= 0;
  element("next").disabled = place < 0 || place >= shown.length - 1;
  if (!element("large").open) element("large").showModal();
}

function step(by) {
  const sample = shown[shown.indexOf(current) + by];
  if (sample) enlarge(sample);
}

// ------------------------------------------------------------------------------------------------------------- the keys

function moveFocus(event) {
  const tiles = [...element("tiles").children];
  const place = tiles.indexOf(document.activeElement);
  if (place < 0) return;
  const columns = getComputedStyle(element("tiles")).gridTemplateColumns.split(" ").length;
  const goals = {
    ArrowLeft: place - 1, ArrowRight: place + 1, ArrowUp: place - columns, ArrowDown: place + columns,
    Home: 0, End: tiles.length - 1,
  };
  const goal = tiles[goals[event.key]];
  if (goal) {
    event.preventDefault();
    goal.focus();
  }
}

if (!data.samples.length) element("none").textContent = "No sample is finished yet.";
data.colours.forEach((value, place) => document.documentElement.style.setProperty(`--class-${place}`, value));
element("about").textContent = data.about;
for (const sample of data.samples) sample.tile = tileOf(sample);
for (const [id, idsOf] of Object.entries(filters)) fillClasses(element(id), idsOf);
element("controls").addEventListener("input", (event) => { push(event); update(); });
element("controls").addEventListener("reset", () => setTimeout(update));
element("controls").addEventListener("submit", (event) => event.preventDefault());
element("tiles").addEventListener("keydown", moveFocus);
element("previous").addEventListener("click", () => step(-1));
element("next").addEventListener("click", () => step(1));
element("close").addEventListener("click", () => element("large").close());
element("large").addEventListener("keydown", (event) => {
  if (event.key === "ArrowLeft") step(-1);
  if (event.key === "ArrowRight") step(1);
});
element("large").addEventListener("click", (event) => { if (event.target === element("large")) element("large").close(); });
element("large").addEventListener("close", () => current.tile.focus());
update();
