// The contrast of every piece of text under the elements that match a selector, against what is really behind it.
selector => {
  const pixel = Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
    .getContext('2d', { willReadFrequently: true });
  const rgba = css => {
    pixel.clearRect(0, 0, 1, 1);
    pixel.fillStyle = css;
    pixel.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pixel.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const lightness = colour => {
    const [r, g, b] = colour.map(c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a, b) => {
    const [x, y] = [lightness(a), lightness(b)];
    return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
  };
  // what may be behind an element: a gradient, such as the bar behind a number, adds one possibility for each colour
  const behind = element => {
    const below = element.parentElement ? behind(element.parentElement) : [[255, 255, 255, 1]];
    const style = getComputedStyle(element);
    const plain = below.map(b => over(rgba(style.backgroundColor), b));
    const stops = style.backgroundImage.match(/(?:rgba?|color|oklab|oklch)\([^()]*\)/g) ?? [];
    const all = [...plain, ...plain.flatMap(b => stops.map(s => over(rgba(s), b)))];
    return [...new Map(all.map(c => [String(c), c])).values()];
  };
  const opacity = element => element ? Number(getComputedStyle(element).opacity) * opacity(element.parentElement) : 1;

  const found = [];
  for (const root of document.querySelectorAll(selector)) {
    const walk = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = walk.nextNode(); node; node = walk.nextNode()) {
      const element = node.parentElement;
      const style = getComputedStyle(element);
      if (element.closest("[disabled]")) continue; // inactive controls are exempt: WCAG 2.2, 1.4.3
      if (!node.data.trim() || style.visibility === 'hidden' || !element.getClientRects().length) continue;
      const [r, g, b, a] = rgba(element instanceof SVGElement ? style.fill : style.color);
      const backgrounds = behind(element);
      const ratios = backgrounds.map(bg => contrast(over([r, g, b, a * opacity(element)], bg), bg));
      found.push([node.data.trim().slice(0, 40), Math.min(...ratios)]);
    }
  }
  return found;
}
