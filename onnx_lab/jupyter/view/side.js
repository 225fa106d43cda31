// The page around the picture: a bar with the search, the legend, and the panel that says what is selected.
const STATUS = ["", "fused", "rewritten", "retyped", "changed", "removed", "added"];
const FAMILY = ["", "products", "normalization", "moves data", "scales to and from 8 bits"];

const make = (name, className, text) => {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
};

const button = (text, label, act) => {
  const b = make("button", "olv-button", text);
  b.type = "button";
  b.title = label;
  b.setAttribute("aria-label", label);
  b.addEventListener("click", act);
  return b;
};

// A list under a heading; each row is a word, what it says, and where it leads.
function rows(title, items) {
  const part = make("section");
  if (!items.length) return part;
  part.append(make("h4", "", title));
  const list = part.appendChild(make("dl"));
  for (const [word, text, go] of items) {
    const dt = list.appendChild(make("dt"));
    if (go) {
      const b = make("button", "olv-link", word);
      b.type = "button";
      b.addEventListener("click", go);
      dt.append(b);
    } else dt.textContent = word;
    list.append(make("dd", "", text));
  }
  return part;
}

class Side {
  constructor(panel, graph, jump) {
    Object.assign(this, { panel, graph, jump });
  }

  show(selected, title) {
    const parts = selected === undefined ? this.overview(title) : this.graph.isGroup(selected) ? this.group(selected) : this.node(selected);
    this.panel.replaceChildren(...parts);
  }

  overview(title) {
    const { graph } = this;
    return [
      make("h3", "", title),
      make("p", "", `${graph.head.nodes} nodes`),
      make("p", "olv-dim", "Click a group, or press Enter, to open it; again to close it. Drag to move. "
        + "After a click into the picture the wheel zooms, arrow keys walk along the lines, / searches."),
    ];
  }

  group(g) {
    const { graph } = this, [label, sub, , , , , , , shares] = graph.boxes.get(g);
    const kids = graph.children.get(g) ?? [];
    const done = shares ? shares.flatMap((n, i) => (n ? [[STATUS[i + 1], `${n} nodes`]] : [])) : [];
    const inside = kids.filter((c) => graph.boxes.has(c)).slice(0, 60)
      .map((c) => [graph.boxes.get(c)[0], graph.boxes.get(c)[1], () => this.jump(c)]);
    return [make("h3", "", label), this.path(g), make("p", "", sub), rows("What was done here", done), rows("Inside", inside)];
  }

  node(b) {
    const { graph } = this, [label, sub, kind, , , status, family] = graph.boxes.get(b), about = graph.about.get(b);
    const parts = [make("h3", "", label)];
    if (kind === 0) parts.push(make("p", "olv-name", graph.names[b] ?? ""), this.path(b));
    if (family && !status) parts.push(make("p", "olv-dim", FAMILY[family]));
    if (status) {
      const line = make("p");
      const detail = about?.[3] ?? sub;
      line.append(make("span", `olv-chip olv-status${status}`, STATUS[status]), detail === STATUS[status] ? "" : ` ${detail}`);
      parts.push(line);
    }
    if (!about) return [...parts, make("p", "olv-dim", "…")];
    const [attributes, ins, outs, , before] = about;
    const to = (c) => (c >= 0 && graph.boxes.has(c) ? () => this.jump(c) : null);
    parts.push(
      rows("Instead of", before.map((name) => [name, ""])),
      rows("Attributes", attributes.map(([name, text]) => [name, text])),
      rows("Inputs", ins.map(([name, type, maker]) => [name, (type || "type not in the file") + (maker < 0 ? ", weight" : ""), to(maker)])),
      rows("Outputs", outs.map(([name, type]) => [name, type || "type not in the file"])),
      rows("Read by", [...new Set(outs.flatMap((o) => o[2]))].filter((c) => graph.boxes.has(c))
        .map((c) => [graph.boxes.get(c)[0], graph.names[c] ?? "", to(c)])),
    );
    return parts;
  }

  // The groups around it, each a button.
  path(b) {
    const line = make("p", "olv-path");
    for (const g of this.graph.around(b).slice(1)) {
      const link = make("button", "olv-link", this.graph.boxes.get(g)?.[0] ?? "");
      link.type = "button";
      link.addEventListener("click", () => this.jump(g));
      line.append(link, " › ");
    }
    line.lastChild?.remove();
    return line;
  }
}

function legend(head, pick) {
  const box = make("div", "olv-legend"), { kind, title, low, high, counts } = head.legend;
  if (kind === "shade") {
    const scale = make("span", "olv-scale");
    scale.setAttribute("aria-hidden", "true");
    box.append(make("span", "", `${title}: ${low}`), scale, make("span", "", high));
  }
  (counts ?? []).forEach((n, i) => {
    if (!n) return;
    const chip = make("button", `olv-chip olv-status${i + 1}`, `${STATUS[i + 1]} ${n}`);
    chip.type = "button";
    chip.title = `Go through the nodes that were ${STATUS[i + 1]}`;
    chip.addEventListener("click", () => pick(i + 1));
    box.append(chip);
  });
  if (kind === "status") box.append(make("span", "olv-dim", "the rest is as it was"));
  return box;
}
