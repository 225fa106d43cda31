// The table of variants: one row is selected, arrow keys move the selection, Python hears of it.
function fill(tr, row, columns) {
  while (tr.cells.length < columns.length) tr.append(document.createElement(tr.cells.length ? "td" : "th"));
  columns.forEach((column, i) => {
    const cell = tr.cells[i], text = row.cells[i] ?? "";
    if (i === 0) cell.scope = "row";
    const key = JSON.stringify([text, i === 0 && [row.depth, row.taken], column.bar && row.bar, column.verdict && row.tone]);
    if (cell.dataset.key === key) return; // what did not change is left alone: no flicker, no lost selection of text
    cell.dataset.key = key;
    cell.className = column.kind || "";
    cell.replaceChildren();
    if (i === 0) {
      const name = tag("span", "ol-name", text);
      name.style.paddingInlineStart = `${row.depth * 14}px`; // a second line begins below the first, not below the arrow
      if (row.depth) name.prepend(tag("span", "ol-branch", "↳ "));
      cell.append(name);
      if (row.taken) cell.append(tag("span", "ol-take", "take"));
    } else {
      cell.append(tag("span", column.verdict ? `ol-${row.tone}` : "", text));
      if (column.bar && row.bar) {
        const [low, mid, high] = row.bar.map((x) => Math.max(0, Math.min(100, x * 100)));
        const line = tag("div", "ol-interval");
        line.setAttribute("aria-hidden", "true");
        const bar = tag("i"), whisker = tag("b");
        bar.style.width = `${mid}%`;
        whisker.style.cssText = `left:${low}%;width:${Math.max(0.7, high - low)}%`;
        line.append(bar, whisker);
        cell.append(line);
      }
    }
  });
}

// The charts name their variants: the one that was picked stands out at once. Python draws them anew a moment later.
function point(board, name) {
  for (const text of board?.querySelectorAll(".ol-chart text") ?? []) {
    const said = text.textContent, words = said.replace(/^▸\s*/, "");
    const own = words.startsWith(name) && !/^\S/.test(words.slice(name.length));
    text.classList.toggle("ol-picked", own);
    text.classList.toggle("ol-past", !own && words !== said);
  }
}

function render({ model, el }) {
  const box = tag("div", "ol-table");
  const table = tag("table");
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", "Variants");
  const head = table.createTHead().insertRow(), body = table.createTBody();
  const nothing = tag("p", "ol-dim", "");
  box.append(table, nothing);
  el.append(box);

  const choose = (id, focus) => {
    if (id === undefined) return;
    model.set("selected", id);
    model.save_changes();
    mark();
    point(el.closest(".ol-board"), model.get("rows").find((r) => r.id === id)?.cells[0] ?? "");
    if (focus) [...body.rows].find((r) => r.dataset.id === id)?.focus();
  };
  const mark = () => {
    const selected = model.get("selected");
    const known = [...body.rows].some((r) => r.dataset.id === selected);
    [...body.rows].forEach((r, i) => {
      const own = r.dataset.id === selected;
      r.setAttribute("aria-selected", String(own));
      r.tabIndex = own || (!known && i === 0) ? 0 : -1;
    });
  };
  const draw = () => {
    const columns = model.get("columns"), rows = model.get("rows");
    head.replaceChildren(...columns.map((c) => {
      const th = tag("th", c.kind || "", c.title);
      th.scope = "col";
      return th;
    }));
    const old = new Map([...body.rows].map((r) => [r.dataset.id, r]));
    rows.forEach((row, i) => {
      const tr = old.get(row.id) ?? tag("tr");
      old.delete(row.id);
      tr.dataset.id = row.id;
      tr.dataset.state = row.state;
      if (body.rows[i] !== tr) body.insertBefore(tr, body.rows[i] ?? null);
      fill(tr, row, columns);
    });
    old.forEach((r) => r.remove());
    table.hidden = !rows.length;
    nothing.hidden = !!rows.length;
    nothing.textContent = model.get("empty");
    mark();
  };
  body.addEventListener("click", (e) => choose(e.target.closest("tr")?.dataset.id, true));
  body.addEventListener("keydown", (e) => {
    const rows = [...body.rows], at = rows.indexOf(e.target.closest("tr"));
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: rows.length - 1, " ": at, Enter: at }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    e.stopPropagation(); // the notebook moves between cells with the same keys
    choose(rows[Math.max(0, Math.min(rows.length - 1, to))]?.dataset.id, true);
  });
  model.on("change:rows change:columns change:empty", draw);
  model.on("change:selected", mark);
  draw();
}

export default { render };
