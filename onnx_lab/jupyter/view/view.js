// The view: what a hand does to the picture, and what Python hears of it.
const LEAST = 0.04, MOST = 2.5, QUICK = 160, LISTED = 200;

class View {
  constructor(model, el, graph) {
    Object.assign(this, { model, graph, found: [], foundAt: -1, hovered: null, wanted: new Map() });
    this.open = new Set(graph.head.open);
    this.camera = { x: 0, y: 0, k: 1 };
    this.build(el);
    this.compose();
    this.fit(false);
    this.side.show(undefined, model.get("title"));
    this.follow(model.get("selected")[0]);
  }

  build(el) {
    this.root = el.appendChild(make("div", "olv"));
    this.root.dataset.lmSuppressShortcuts = "true"; // the notebook has shortcuts on the same keys
    this.root.style.height = `${this.model.get("height")}px`;
    const bar = this.root.appendChild(make("div", "olv-bar")), main = this.root.appendChild(make("div", "olv-main"));
    this.search = make("input", "olv-search");
    this.search.type = "search";
    this.search.placeholder = "Search";
    this.search.setAttribute("aria-label", "Search nodes, operators and modules");
    this.count = make("span", "olv-dim olv-count");
    this.count.setAttribute("role", "status");
    bar.append(make("strong", "olv-title", this.model.get("title")), this.search, button("‹", "Previous match", () => this.step(-1)),
      button("›", "Next match", () => this.step(1)), this.count, make("span", "olv-space"),
      button("−", "Zoom out", () => this.zoom(1 / 1.4)), button("+", "Zoom in", () => this.zoom(1.4)),
      button("Fit", "Show everything", () => this.fit(true)), button("Close all", "Close all groups", () => this.closeAll()));
    this.root.insertBefore(legend(this.graph.head, (status) => this.pick(status)), main);
    this.stage = main.appendChild(make("div", "olv-stage"));
    this.canvas = this.stage.appendChild(make("canvas"));
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "application");
    this.canvas.setAttribute("aria-label", `Graph of ${this.model.get("title")}`);
    const panel = main.appendChild(make("aside", "olv-panel"));
    panel.setAttribute("aria-label", "What is selected");
    panel.setAttribute("aria-live", "polite");
    panel.tabIndex = 0;
    const probes = {}, hidden = this.root.appendChild(make("div", "olv-inks"));
    for (const name of INKS) probes[name] = hidden.appendChild(make("i", `olv-ink-${name}`));
    this.painter = new Painter(this.canvas, probes);
    this.side = new Side(panel, this.graph, (b) => this.reveal(b));
    this.listen(hidden);
  }

  listen(probes) {
    const { canvas, search } = this;
    canvas.addEventListener("pointerdown", (e) => this.grab(e));
    canvas.addEventListener("pointermove", (e) => this.drag(e));
    canvas.addEventListener("pointerup", (e) => this.release(e));
    canvas.addEventListener("pointercancel", () => { this.held = null; });
    canvas.addEventListener("wheel", (e) => this.wheel(e), { passive: false });
    canvas.addEventListener("keydown", (e) => this.key(e));
    search.addEventListener("input", () => this.find(search.value));
    search.addEventListener("keydown", (e) => {
      e.stopPropagation();
      if (e.key === "Enter") this.step(e.shiftKey ? -1 : 1);
      if (e.key === "Escape") { search.value = ""; this.find(""); canvas.focus(); }
    });
    // another theme: its style sheet comes a moment after the page says so
    for (const end of ["transitionend", "transitioncancel"]) probes.addEventListener(end, () => this.redraw());
    this.themes = new MutationObserver(() => [0, 150, 500, 1500].forEach((ms) => setTimeout(() => this.redraw(), ms)));
    this.themes.observe(document.body, { attributes: true });
    this.sizes = new ResizeObserver(() => this.resized());
    this.sizes.observe(this.stage);
    this.resized();
  }

  resized() {
    const { clientWidth: w, clientHeight: h } = this.stage;
    if (!w || !h) return;
    const before = this.painter.w;
    this.painter.resize(w, h);
    if (!before && this.scene) this.fit(false);
    this.paint();
  }

  // -- what is where ------------------------------------------------------------------------------------------------

  compose() {
    this.scene = composed(this.graph, this.open);
    this.redraw();
  }

  redraw() {
    this.frame ??= requestAnimationFrame(() => { this.frame = null; this.paint(); });
  }

  paint() {
    if (!this.painter.w || !this.scene) return;
    const shown = this.selected === undefined ? null : this.shown(this.selected);
    const mark = {
      selected: new Set(this.selected === undefined ? [] : [this.selected, shown]),
      found: new Set(this.found.map((b) => this.shown(b))),
      followed: shown === null ? new Set() : followed(this.scene, shown).lines,
    };
    this.painter.draw(this.graph, this.scene, this.camera, mark);
    this.root.dataset.painted = "true"; // for who waits for the first picture
  }

  // The box that stands for another one: itself, or the closed group that holds it.
  shown(b) {
    for (const g of this.graph.around(b)) if (!this.open.has(g)) return g;
    return b;
  }

  hit(e) {
    const { k, x, y } = this.camera, box = this.canvas.getBoundingClientRect();
    const px = (e.clientX - box.left - x) / k, py = (e.clientY - box.top - y) / k;
    const inside = (r) => px >= r.x && px <= r.x + r.w && py >= r.y && py <= r.y + r.h;
    const titled = this.scene.frames.findLast((f) => f.title && inside(f) && inside(f.title));
    if (titled) return { id: titled.id, frame: true, title: true };
    const closed = this.scene.boxes.find(inside);
    if (closed) return { id: closed.id, frame: false };
    const frame = this.scene.frames.filter(inside).sort((a, b) => b.depth - a.depth)[0];
    return frame ? { id: frame.id, frame: true, title: false } : null;
  }

  // -- camera -------------------------------------------------------------------------------------------------------

  fly(to, soft) {
    const from = { ...this.camera }, began = performance.now();
    const still = !soft || matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.flight = to;
    const go = () => {
      if (this.flight !== to) return;
      const t = still ? 1 : Math.min(1, (performance.now() - began) / QUICK), s = t * (2 - t);
      for (const c of ["x", "y", "k"]) this.camera[c] = from[c] + (to[c] - from[c]) * s;
      this.paint();
      if (t < 1) requestAnimationFrame(go); else this.flight = null;
    };
    go();
  }

  // Show a rectangle whole, or from its top where it would be too small to read.
  frameOn(r, soft, most = 1.15, least = 0.5) {
    const { w, h } = this.painter;
    if (!w) return;
    const room = 24, k = Math.min(most, Math.max(Math.min((w - 2 * room) / r.w, (h - 2 * room) / r.h), Math.min(least, (w - 2 * room) / r.w)));
    const y = r.h * k > h - 2 * room ? room - r.y * k : (h - r.h * k) / 2 - r.y * k;
    this.fly({ k, x: w / 2 - (r.x + r.w / 2) * k, y }, soft);
  }

  fit(soft) { this.frameOn({ x: 0, y: 0, w: this.scene.w, h: this.scene.h }, soft, 1.15, soft ? 0 : 0.55); }

  zoom(by, cx = this.painter.w / 2, cy = this.painter.h / 2) {
    const c = this.camera, k = Math.min(MOST, Math.max(LEAST, c.k * by));
    this.flight = null;
    Object.assign(c, { x: cx - (cx - c.x) * k / c.k, y: cy - (cy - c.y) * k / c.k, k });
    this.redraw();
  }

  // -- hands --------------------------------------------------------------------------------------------------------

  grab(e) {
    if (e.button) return;
    this.held = { x: e.clientX, y: e.clientY, from: { ...this.camera }, moved: false };
    this.canvas.setPointerCapture(e.pointerId);
    this.canvas.focus({ preventScroll: true });
  }

  drag(e) {
    const held = this.held;
    if (!held) return this.hover(e);
    const dx = e.clientX - held.x, dy = e.clientY - held.y;
    held.moved ||= Math.hypot(dx, dy) > 4;
    if (!held.moved) return;
    this.flight = null;
    Object.assign(this.camera, { x: held.from.x + dx, y: held.from.y + dy });
    this.canvas.style.cursor = "grabbing";
    this.redraw();
  }

  release(e) {
    const held = this.held;
    this.held = null;
    this.canvas.style.cursor = "";
    if (!held || held.moved) return;
    const hit = this.hit(e);
    if (!hit) return this.choose(undefined);
    this.choose(hit.id);
    if (hit.frame ? hit.title : this.graph.isGroup(hit.id)) this.toggle(hit.id);
  }

  hover(e) {
    const hit = this.hit(e), id = hit?.id ?? null;
    this.canvas.style.cursor = hit && (!hit.frame || hit.title) ? "pointer" : "";
    if (id === this.hovered) return;
    this.hovered = id;
    const [label, sub] = id === null ? ["", ""] : this.graph.boxes.get(id);
    this.canvas.title = [label, sub, this.graph.names[id]].filter(Boolean).join("\n");
  }

  // The wheel belongs to the page until somebody works in the picture.
  wheel(e) {
    if (!e.ctrlKey && !e.metaKey && document.activeElement !== this.canvas) return;
    e.preventDefault();
    e.stopPropagation();
    const box = this.canvas.getBoundingClientRect();
    this.zoom(Math.exp(-e.deltaY * (e.deltaMode ? 0.05 : 0.0016)), e.clientX - box.left, e.clientY - box.top);
  }

  key(e) {
    const acts = {
      Enter: () => this.enter(), " ": () => this.enter(), Escape: () => this.leave(), "+": () => this.zoom(1.25), "=": () => this.zoom(1.25),
      "-": () => this.zoom(0.8), 0: () => this.fit(true), f: () => this.fit(true), "/": () => this.search.focus(),
      ArrowDown: () => this.walk("down"), ArrowUp: () => this.walk("up"), ArrowLeft: () => this.beside(-1), ArrowRight: () => this.beside(1),
    };
    const act = !e.ctrlKey && !e.metaKey && !e.altKey && acts[e.key];
    if (!act) return;
    e.preventDefault();
    e.stopPropagation();
    act();
  }

  enter() {
    if (this.selected === undefined) return this.walk("down");
    if (this.graph.isGroup(this.selected)) this.toggle(this.selected);
  }

  leave() {
    const g = this.selected === undefined ? -1 : this.open.has(this.selected) ? this.selected : this.graph.parent(this.selected);
    if (g >= 0 && g !== this.graph.head.root) { this.choose(g); this.toggle(g); } else this.choose(undefined);
  }

  // Along the lines; without a selection, to the first box.
  walk(side) {
    if (this.selected === undefined) {
      const first = [...this.scene.boxes].sort((a, b) => a.y - b.y || a.x - b.x)[0];
      return first && this.reveal(first.id);
    }
    const next = [...followed(this.scene, this.shown(this.selected))[side]];
    const here = this.scene.at.get(this.shown(this.selected));
    next.sort((a, b) => Math.abs(this.scene.at.get(a).x - here.x) - Math.abs(this.scene.at.get(b).x - here.x));
    if (next.length) this.reveal(next[0]);
  }

  beside(step) {
    const here = this.selected === undefined ? null : this.scene.at.get(this.shown(this.selected));
    if (!here) return this.walk("down");
    const row = this.scene.boxes.filter((b) => Math.abs(b.y + b.h / 2 - here.y - here.h / 2) < here.h && (b.x - here.x) * step > 0);
    row.sort((a, b) => Math.abs(a.x - here.x) - Math.abs(b.x - here.x));
    if (row.length) this.reveal(row[0].id);
  }

  // -- groups -------------------------------------------------------------------------------------------------------

  // Its layout is there, or comes: the kernel works them all out beside everything else, and this one first.
  need(g) {
    if (this.graph.layouts.has(g)) return Promise.resolve();
    return new Promise((come) => {
      this.wanted.set(g, [...(this.wanted.get(g) ?? []), come]);
      this.model.send({ group: g });
    });
  }

  arrived() {
    for (const [g, waiting] of [...this.wanted]) {
      if (!this.graph.layouts.has(g)) continue;
      this.wanted.delete(g);
      waiting.forEach((come) => come());
    }
    if (this.later !== undefined) this.follow(this.later);
    else if (this.selected !== undefined) this.side.show(this.selected, this.model.get("title"));
  }

  // What Python selected; before its name has come, later.
  follow(b) {
    const known = b === undefined || (this.graph.boxes.has(b) && this.graph.around(b)[0] === this.graph.head.root);
    this.later = known ? undefined : b;
    if (!known || b === this.selected) return;
    this.selected = b;
    this.told();
    if (b !== undefined) this.reveal(b, false);
  }

  async toggle(g) {
    if (g === this.graph.head.root) return;
    const before = { ...this.scene.at.get(g) };
    if (this.open.has(g)) this.open.delete(g);
    else { await this.need(g); this.open.add(g); }
    this.compose();
    const now = this.scene.at.get(g), { k } = this.camera;
    if (!now) return;
    // the top of what was clicked stays where it is, unless what came out of it is out of sight
    this.camera.x += (before.x + before.w / 2 - now.x - now.w / 2) * k;
    this.camera.y += (before.y - now.y) * k;
    this.paint();
    const [left, top] = [now.x * k + this.camera.x, now.y * k + this.camera.y];
    const out = left < 0 || top < 0 || left + now.w * k > this.painter.w || top + now.h * k > this.painter.h;
    if (out && this.open.has(g)) this.frameOn({ x: now.x - 12, y: now.y - 12, w: now.w + 24, h: now.h + 24 }, true, k, 0.45);
  }

  closeAll() {
    this.open = new Set([this.graph.head.root]);
    this.compose();
    this.fit(true);
  }

  // -- selection and search -----------------------------------------------------------------------------------------

  choose(b) {
    this.selected = b;
    this.model.set("selected", b === undefined ? [] : [b]);
    this.model.save_changes();
    this.told();
  }

  told() {
    const b = this.selected;
    if (b !== undefined && !this.graph.isGroup(b) && !this.graph.about.has(b)) this.model.send({ node: b });
    this.side.show(b, this.model.get("title"));
    this.redraw();
  }

  async reveal(b, choose = true) {
    for (const g of this.graph.around(b)) { await this.need(g); this.open.add(g); }
    this.compose();
    if (choose && b !== this.selected) this.choose(b);
    const r = this.scene.at.get(b), { k, x, y } = this.camera, { w, h } = this.painter;
    if (!r || !w) return;
    const edge = 30, inSight = r.x * k + x > edge && r.y * k + y > edge && (r.x + r.w) * k + x < w - edge && (r.y + r.h) * k + y < h - edge;
    if (inSight && k > 0.4) return;
    const near = Math.max(k, 0.75);
    this.fly({ k: near, x: w / 2 - (r.x + r.w / 2) * near, y: h / 2 - (r.y + Math.min(r.h, h / near) / 2) * near }, true);
  }

  find(text) {
    const words = text.toLowerCase().split(/\s+/).filter(Boolean), { graph } = this;
    const hits = !words.length ? [] : [...graph.boxes.keys()].filter((b) => {
      const [label, , kind] = graph.boxes.get(b);
      const all = `${label} ${graph.names[b] ?? ""} ${graph.modules[b] ?? ""} ${kind === GROUP ? "group" : ""}`.toLowerCase();
      return b !== graph.head.root && words.every((w) => all.includes(w));
    });
    this.matches(hits, words.length > 0);
  }

  pick(status) {
    this.search.value = "";
    const hits = [...this.graph.boxes.keys()].filter((b) => this.graph.boxes.get(b)[5] === status);
    const next = this.status === status ? this.foundAt : -1;
    this.matches(hits, true);
    this.status = status;
    this.foundAt = next;
    this.step(1);
  }

  matches(hits, asked) {
    Object.assign(this, { found: hits.slice(0, LISTED), foundAt: -1, total: hits.length, status: 0 });
    this.count.textContent = !asked ? "" : hits.length ? `${hits.length} found` : "nothing found";
    this.redraw();
  }

  step(by) {
    if (!this.found.length) return;
    this.foundAt = (this.foundAt + by + this.found.length) % this.found.length;
    this.count.textContent = `${this.foundAt + 1} of ${this.total}`;
    this.reveal(this.found[this.foundAt]);
  }
}

const graphs = new WeakMap(); // views of one model share what was sent

async function render({ model, el }) {
  if (!graphs.has(model)) {
    const graph = new Graph();
    graphs.set(model, { graph, ready: unpack(model.get("first")).then((part) => graph.add(part)) });
  }
  const { graph, ready } = graphs.get(model);
  await ready;
  const view = new View(model, el, graph);
  view.root.view = view;
  const take = async (part) => { graph.add(await unpack(part)); view.arrived(); };
  const index = () => take(model.get("index")), rest = () => take(model.get("rest"));
  const answer = (message, buffers) => take(buffers[0]);
  const chosen = () => view.follow(model.get("selected")[0]);
  model.on("change:index", index);
  model.on("change:rest", rest);
  model.on("change:selected", chosen);
  model.on("msg:custom", answer);
  index();
  rest();
  return () => {
    view.sizes.disconnect();
    view.themes.disconnect();
    model.off("change:index", index);
    model.off("change:rest", rest);
    model.off("change:selected", chosen);
    model.off("msg:custom", answer);
  };
}

export default { render };
