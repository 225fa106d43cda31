// What Python sent, and where everything is for the groups that are open. No drawing, no page.
const GROUP = 1, BOX_HEIGHT = 40, PAD = 16, HEAD = 34, UNDER_LINES = 12;

// Python's parts are compressed JSON.
async function unpack(part) {
  if (!part?.byteLength) return null;
  const bytes = part.buffer ? new Uint8Array(part.buffer, part.byteOffset, part.byteLength) : part;
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).json();
}

class Graph {
  constructor() {
    this.boxes = new Map();   // number -> [label, second line, kind, width, parent, status, family, depth, shares]
    this.layouts = new Map(); // group -> layout with all of its boxes closed
    this.children = new Map();
    this.about = new Map();   // node -> [attributes, inputs, outputs, detail, made of]
    this.names = [];
    this.modules = [];
    this.head = null;
  }

  add(part) {
    if (!part) return;
    if (part.open) this.head = part;
    for (const [b, box] of Object.entries(part.b ?? {})) this.boxes.set(+b, box);
    for (const [g, layout] of Object.entries(part.g ?? {})) {
      this.layouts.set(+g, layout);
      this.children.set(+g, layout.c);
    }
    for (const [g, c] of Object.entries(part.c ?? {})) this.children.set(+g, c);
    if (part.names) [this.names, this.modules] = [part.names, part.mods];
    (part.about ?? []).forEach((a, i) => this.about.set(i, a));
    if (part.one) this.about.set(...part.one);
  }

  isGroup(b) { return this.boxes.get(b)?.[2] === GROUP; }
  parent(b) { return this.boxes.get(b)?.[4] ?? -1; }

  // Groups around a box, from the outside in.
  around(b) {
    const chain = [];
    for (let g = this.parent(b); g >= 0; g = this.parent(g)) chain.unshift(g);
    return chain;
  }
}

// Room for boxes that are open: what is beside one moves aside, and nothing changes its order. Every interval [left,
// right] becomes at least `wide`; the mean of the two extreme answers leaves the middle where it is.
function stretched(intervals) {
  if (!intervals.length) return (x) => x;
  const ends = [...new Set(intervals.flatMap(([l, r]) => [l, r]))].sort((a, b) => a - b);
  const at = new Map(ends.map((e, i) => [e, i]));
  const low = [...ends], high = [...ends];
  const closing = ends.map(() => []), opening = ends.map(() => []);
  for (const [l, r, wide] of intervals) {
    closing[at.get(r)].push([at.get(l), wide]);
    opening[at.get(l)].push([at.get(r), wide]);
  }
  for (let i = 1; i < ends.length; i++) {
    low[i] = low[i - 1] + ends[i] - ends[i - 1];
    for (const [from, wide] of closing[i]) low[i] = Math.max(low[i], low[from] + wide);
  }
  for (let i = ends.length - 2; i >= 0; i--) {
    high[i] = high[i + 1] - ends[i + 1] + ends[i];
    for (const [to, wide] of opening[i]) high[i] = Math.min(high[i], high[to] - wide);
  }
  const to = ends.map((_, i) => (low[i] + high[i]) / 2), last = ends.length - 1;
  return (x) => {
    if (x <= ends[0]) return x - ends[0] + to[0];
    if (x >= ends[last]) return x - ends[last] + to[last];
    let i = 0, j = last;
    while (j - i > 1) {
      const k = (i + j) >> 1;
      if (ends[k] <= x) i = k; else j = k;
    }
    return to[i] + (x - ends[i]) * (to[j] - to[i]) / (ends[j] - ends[i]);
  };
}

// A group's boxes and lines around its own top left corner, opened as `open` says.
function measured(graph, g, open) {
  const layout = graph.layouts.get(g), box = graph.boxes.get(g);
  const kids = layout.c.map((c) => {
    const inner = open.has(c) && graph.layouts.has(c) ? measured(graph, c, open) : null;
    return { id: c, inner, w: inner?.w ?? graph.boxes.get(c)[3], h: inner?.h ?? BOX_HEIGHT };
  });
  const fx = stretched(kids.flatMap((k, i) => {
    const half = graph.boxes.get(k.id)[3] / 2;
    return k.inner ? [[layout.x[i] - half, layout.x[i] + half, k.w]] : [];
  }));
  const ranks = new Map();
  kids.forEach((k, i) => ranks.set(layout.y[i], Math.max(ranks.get(layout.y[i]) ?? 0, k.h)));
  const fy = stretched([...ranks].map(([y, h]) => [y - BOX_HEIGHT / 2, y + BOX_HEIGHT / 2, h]));
  const head = graph.parent(g) < 0 ? PAD : layout.i.length ? UNDER_LINES : HEAD;
  const foot = layout.o.length ? 0 : PAD;
  const left = fx(-layout.w / 2), top = fy(0), natural = fx(layout.w / 2) - left + 2 * PAD;
  const w = Math.max(natural, 9 * box[0].length + 48);
  const dx = PAD - left + (w - natural) / 2, dy = head - top;
  kids.forEach((k, i) => {
    k.x = fx(layout.x[i]) + dx - k.w / 2;
    k.y = fy(layout.y[i]) + dy - k.h / 2;
  });
  const h = fy(layout.h) - top + head + foot;
  return { id: g, layout, kids, w, h, fx: (x) => fx(x) + dx, fy: (y) => fy(y) + dy };
}

// Everything that is seen, in one plane: closed boxes, frames of open groups, lines.
function composed(graph, open) {
  const scene = { boxes: [], frames: [], lines: [], at: new Map(), from: new Map(), to: new Map() };
  const put = (m, x, y, depth) => {
    const rect = { id: m.id, x, y, w: m.w, h: m.h, depth, frame: true };
    if (depth) scene.frames.push(rect);
    scene.at.set(m.id, rect);
    for (const k of m.kids) {
      if (k.inner) { put(k.inner, x + k.x, y + k.y, depth + 1); continue; }
      const closed = { id: k.id, x: x + k.x, y: y + k.y, w: k.w, h: k.h, depth: depth + 1, frame: false };
      scene.boxes.push(closed);
      scene.at.set(k.id, closed);
    }
    m.layout.l.forEach((l) => scene.lines.push(line(m, l, x, y)));
  };
  const whole = measured(graph, graph.head.root, open);
  put(whole, 0, 0, 0);
  scene.w = whole.w;
  scene.h = whole.h;
  for (const l of scene.lines) {
    (scene.from.get(l.a) ?? scene.from.set(l.a, []).get(l.a)).push(l);
    (scene.to.get(l.b) ?? scene.to.set(l.b, []).get(l.b)).push(l);
  }
  return scene;
}

// One line in the plane. Its ends are named, so that a line can be followed across the border of an open group.
function line(m, [s, t, out, into, up, given], x, y) {
  const n = m.kids.length, ins = m.layout.i.length, source = m.kids[s], target = m.kids[t];
  const p = [];
  for (let i = 0; i < given.length; i += 2) p.push([x + m.fx(given[i]), y + m.fy(given[i + 1])]);
  const first = p[0], last = p[p.length - 1];
  let a = `in ${m.id} ${s - n}`, b = `out ${m.id} ${t - n - ins}`;
  if (!source) p.unshift([first[0], y]);
  else {
    a = source.inner ? `out ${source.id} ${out}` : source.id;
    const px = source.inner ? source.x + source.inner.fx(source.inner.layout.o[out] ?? 0)
      : source.x + source.w / 2 + given[0] - m.layout.x[s];
    first[0] = x + px;
    p.unshift([x + px, y + source.y + source.h]);
  }
  if (!target) p.push([last[0], y + m.h]);
  else {
    b = target.inner ? `in ${target.id} ${into}` : target.id;
    const px = target.inner ? target.x + target.inner.fx(target.inner.layout.i[into] ?? 0)
      : target.x + target.w / 2 + given[given.length - 2] - m.layout.x[t];
    last[0] = x + px;
    p.push([x + px, y + target.y]);
  }
  const xs = p.map((q) => q[0]), ys = p.map((q) => q[1]);
  return { a, b, p, up: !!up, arrow: typeof b === "number", box: [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)] };
}

// Lines that begin or end at a box, with their continuation inside and outside of open groups.
function followed(scene, id) {
  const found = new Set(), near = { up: new Set(), down: new Set() };
  for (const [map, end, side] of [[scene.from, "b", "down"], [scene.to, "a", "up"]]) {
    const waiting = [id], seen = new Set(waiting);
    while (waiting.length) {
      for (const l of map.get(waiting.pop()) ?? []) {
        found.add(l);
        if (typeof l[end] === "number") near[side].add(l[end]);
        else if (!seen.has(l[end])) { seen.add(l[end]); waiting.push(l[end]); }
      }
    }
  }
  return { lines: found, ...near };
}
