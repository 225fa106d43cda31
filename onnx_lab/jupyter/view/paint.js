// The picture: only what is in sight is drawn. Colours and fonts are the page's own, read from elements that have them.
const INKS = ["text", "dim", "page", "box", "edge", "frame", "line", "accent", "shade",
  ...[0, 1, 2, 3, 4].map((i) => `family${i}`), ...[1, 2, 3, 4, 5, 6].map((i) => `status${i}`)];
const FAR = 0.3, VERY_FAR = 0.16;

class Painter {
  constructor(canvas, probes) {
    this.canvas = canvas;
    this.pen = canvas.getContext("2d");
    this.probes = probes;
    this.cut = new Map();
    this.read();
  }

  // The theme's colours as they are now.
  read() {
    this.ink = {};
    for (const name of INKS) this.ink[name] = getComputedStyle(this.probes[name]).color;
    this.font = getComputedStyle(this.canvas).fontFamily || "sans-serif";
    this.cut.clear();
    this.theme = this.seen();
  }

  seen() { return ["text", "page"].map((name) => getComputedStyle(this.probes[name]).color).join(); }

  resize(w, h) {
    const dots = window.devicePixelRatio || 1;
    [this.w, this.h, this.dots] = [w, h, dots];
    this.canvas.width = Math.round(w * dots);
    this.canvas.height = Math.round(h * dots);
  }

  draw(graph, scene, camera, mark) {
    if (this.seen() !== this.theme) this.read();
    const { pen, dots } = this, { k } = camera;
    pen.setTransform(dots, 0, 0, dots, 0, 0);
    pen.clearRect(0, 0, this.w, this.h);
    pen.setTransform(dots * k, 0, 0, dots * k, dots * camera.x, dots * camera.y);
    const view = [-camera.x / k, -camera.y / k, (this.w - camera.x) / k, (this.h - camera.y) / k];
    const seen = (r) => r.x < view[2] && r.x + r.w > view[0] && r.y < view[3] && r.y + r.h > view[1];
    for (const f of scene.frames) if (seen(f)) this.frame(graph, f, k, mark);
    this.lines(scene.lines, view, k, mark);
    for (const b of scene.boxes) if (seen(b)) this.box(graph, b, k, mark);
    for (const f of scene.frames) if (seen(f)) this.title(graph, f, k, view);
  }

  frame(graph, f, k, mark) {
    const { pen, ink } = this;
    pen.beginPath();
    pen.roundRect(f.x, f.y, f.w, f.h, 10);
    pen.fillStyle = ink.frame;
    pen.fill();
    pen.strokeStyle = mark.selected.has(f.id) ? ink.accent : ink.edge;
    pen.lineWidth = mark.selected.has(f.id) ? 2.2 : 1;
    pen.stroke();
  }

  // The title of an open group stays in sight while its frame is, and keeps its size when far away.
  title(graph, f, k, view) {
    const { pen, ink } = this, [label] = graph.boxes.get(f.id);
    const size = Math.min(26, Math.max(12, 9 / k));
    // those of the groups around it stand above it, line by line
    const line = size * 1.7, stuck = view[1] + (f.depth - 1) * line, out = f.y + f.h - stuck < line + 40 && f.y < stuck;
    f.title = null;
    if (f.w * k < 60 || out) return;
    pen.font = `600 ${size}px ${this.font}`;
    const text = this.fitted(`− ${label}`, f.w - 16, size);
    const x = f.x + 8, y = Math.max(f.y, stuck);
    pen.fillStyle = ink.page;
    pen.globalAlpha = 0.85;
    pen.beginPath();
    f.title = { x: x - 2, y: y + 4, w: pen.measureText(text).width + 10, h: size * 1.5 };
    pen.roundRect(f.title.x, f.title.y, f.title.w, f.title.h, 4);
    pen.fill();
    pen.globalAlpha = 1;
    pen.fillStyle = ink.text;
    pen.textAlign = "left";
    pen.textBaseline = "middle";
    pen.fillText(text, x + 3, y + 4 + size * 0.78);
  }

  lines(lines, view, k, mark) {
    const { pen, ink } = this;
    const dim = mark.followed.size > 0;
    const inSight = lines.filter(({ box }) => box[0] < view[2] && box[2] > view[0] && box[1] < view[3] && box[3] > view[1]);
    const thin = Math.max(1.1, Math.min(3, 0.7 / k));
    for (const strong of [false, true]) {
      pen.strokeStyle = pen.fillStyle = strong ? ink.accent : ink.line;
      pen.lineWidth = strong ? thin * 1.7 : thin;
      pen.globalAlpha = dim && !strong ? 0.7 : 1;
      pen.beginPath();
      const heads = [];
      for (const l of inSight) {
        if (mark.followed.has(l) !== strong) continue;
        trace(pen, l);
        if (l.arrow && k > FAR) heads.push(l);
      }
      pen.stroke();
      for (const l of heads) {
        const [x, y] = l.p[l.p.length - 1];
        pen.beginPath();
        pen.moveTo(x, y);
        pen.lineTo(x - 3.6, y - 7);
        pen.lineTo(x + 3.6, y - 7);
        pen.fill();
      }
    }
    pen.globalAlpha = 1;
  }

  box(graph, b, k, mark) {
    const { pen, ink } = this, [label, sub, kind, , , status, family, depth, shares] = graph.boxes.get(b.id);
    const group = kind === GROUP, end = kind > GROUP, selected = mark.selected.has(b.id);
    if (group && k > FAR) this.outline(b, 3, ink.box, ink.edge, 1); // a sheet behind: there is more
    this.outline(b, 0, ink.box, null, 0);
    const tint = status ? ink[`status${status}`] : depth ? ink.shade : null;
    if (tint) {
      pen.globalAlpha = status ? 0.24 : 0.06 + 0.5 * depth;
      this.outline(b, 0, tint, null, 0);
      pen.globalAlpha = 1;
    }
    pen.setLineDash(status === 5 ? [5, 3] : []);
    const found = mark.found.has(b.id) || selected;
    this.outline(b, 0, null, found ? ink.accent : status ? ink[`status${status}`] : ink.edge, selected ? 2.6 : found ? 2 : status ? 1.6 : 1, end);
    pen.setLineDash([]);
    if (family && !status && !depth) {
      pen.fillStyle = ink[`family${family}`];
      pen.beginPath();
      pen.roundRect(b.x + 4, b.y + 8, 3, b.h - 16, 2);
      pen.fill();
    }
    if (shares) this.strip(b, shares);
    if (k < VERY_FAR) return;
    const far = k < FAR, size = far ? Math.min(20, 12.5 * FAR / k) : 12.5;
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.fillStyle = ink.text;
    pen.font = `${group ? 600 : 500} ${size}px ${this.font}`;
    const middle = b.x + b.w / 2, two = sub && !far;
    pen.fillText(this.fitted(group ? `+ ${label}` : label, b.w - 18, size), middle, b.y + (two ? 14 : b.h / 2 + 0.5));
    if (!two) return;
    pen.fillStyle = ink.dim;
    pen.font = `400 10.5px ${this.font}`;
    pen.fillText(this.fitted(sub, b.w - 16, 10.5), middle, b.y + 28.5);
  }

  outline(b, shift, fill, stroke, width, round) {
    const { pen } = this;
    pen.beginPath();
    pen.roundRect(b.x + shift, b.y + shift, b.w, b.h, round ? b.h / 2 : 7);
    if (fill) { pen.fillStyle = fill; pen.fill(); }
    if (stroke) { pen.strokeStyle = stroke; pen.lineWidth = width; pen.stroke(); }
  }

  // How much of a closed group was touched, and by what.
  strip(b, shares) {
    const { pen, ink } = this, all = shares.reduce((x, y) => x + y, 0);
    let x = b.x + 9;
    shares.forEach((count, i) => {
      const w = (b.w - 18) * count / all;
      pen.fillStyle = ink[`status${i + 1}`];
      pen.fillRect(x, b.y + b.h - 5, w, 3);
      x += w;
    });
  }

  fitted(text, wide, size) {
    const key = `${size.toFixed(1)} ${Math.round(wide)} ${text}`;
    let found = this.cut.get(key);
    if (found !== undefined) return found;
    found = text;
    if (this.pen.measureText(text).width > wide) {
      let low = 1, high = text.length;
      while (low < high) {
        const half = (low + high + 1) >> 1;
        if (this.pen.measureText(`${text.slice(0, half)}…`).width <= wide) low = half; else high = half - 1;
      }
      found = `${text.slice(0, low)}…`;
    }
    if (this.cut.size > 20000) this.cut.clear();
    this.cut.set(key, found);
    return found;
  }
}

// Straight down where it can, else a soft bend.
function trace(pen, { p }) {
  pen.moveTo(p[0][0], p[0][1]);
  for (let i = 1; i < p.length; i++) {
    const [x, y] = p[i - 1], [X, Y] = p[i];
    if (Math.abs(x - X) < 0.5) pen.lineTo(X, Y);
    else {
      const bend = Math.abs(Y - y) / 2 + (Y < y ? 40 : 0);
      pen.bezierCurveTo(x, y + bend, X, Y - bend, X, Y);
    }
  }
}
