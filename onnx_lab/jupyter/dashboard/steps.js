// The steps: tick them, move them, open the options of one; each shows the magic line it stands for.
// One widget for all of them: as seven pieces each they took a third of the time until the dashboard was there.
function render({ model, el }) {
  const list = tag("ul", "ol-list");
  list.setAttribute("aria-label", "Steps");
  el.append(list);

  const tell = (what, verb, value) => model.send({ do: what, verb, value });
  const press = (text, kind, name, act) => {
    const button = tag("button", `jupyter-button ol-${kind}`, text);
    button.type = "button";
    button.title = name;
    button.setAttribute("aria-label", name);
    button.addEventListener("click", act);
    return button;
  };
  const made = (verb) => {
    const row = tag("li", "ol-step"), label = tag("label", "ol-tick"), tick = tag("input");
    row.dataset.verb = verb;
    tick.type = "checkbox";
    tick.addEventListener("change", () => tell("tick", verb, tick.checked));
    label.title = `Take the step ${verb}`;
    label.append(tick, tag("span"));
    const open = press("options", "open", `Options of ${verb}`, () => {
      model.set("opened", model.get("opened") === verb ? "" : verb);
      model.save_changes();
      mark();
    });
    const up = press("↑", "up", `Move ${verb} up`, () => tell("move", verb, -1));
    const down = press("↓", "down", `Move ${verb} down`, () => tell("move", verb, 1));
    row.append(label, tag("pre", "ol-code"), open, up, down);
    return row;
  };
  const mark = () => {
    for (const row of list.children) {
      const own = row.dataset.verb === model.get("opened");
      row.classList.toggle("ol-opened", own);
      row.querySelector(".ol-open").setAttribute("aria-expanded", String(own));
    }
  };
  const draw = () => {
    const rows = model.get("rows"), old = new Map([...list.children].map((r) => [r.dataset.verb, r]));
    const focused = list.contains(document.activeElement) ? document.activeElement : null;
    rows.forEach(({ verb, label, line, on }, i) => {
      const row = old.get(verb) ?? made(verb);
      old.delete(verb);
      if (list.children[i] !== row) list.insertBefore(row, list.children[i] ?? null);
      row.querySelector("input").checked = on;
      row.querySelector("span").textContent = label;
      const code = row.querySelector("pre");
      if (code.textContent !== line) code.textContent = line; // what did not change keeps its selection
      code.classList.toggle("ol-off", !on);
      row.querySelector(".ol-up").disabled = i === 0;
      row.querySelector(".ol-down").disabled = i === rows.length - 1;
    });
    old.forEach((row) => row.remove());
    mark();
    // a row that was moved loses the keyboard, and so does a button that has nowhere to move it
    if (focused && document.activeElement !== focused)
      (focused.disabled ? focused.parentElement.querySelector(".ol-open") : focused).focus();
  };
  list.addEventListener("keydown", (e) => {
    if (e.key === " " || e.key === "Enter") e.stopPropagation(); // the notebook would edit or scroll
  });
  model.on("change:rows", draw);
  model.on("change:opened", mark);
  draw();
}

export default { render };
