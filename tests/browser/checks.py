"""What must hold on every page, looked up in the page itself. Each check returns its faults."""

SCROLLS_SIDEWAYS = """() => document.documentElement.scrollWidth > innerWidth
    ? [`${location.pathname} is ${document.documentElement.scrollWidth} px wide in ${innerWidth}`] : []"""

STRUCTURE = """() => {
  const faults = [];
  const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
  const seen = (element) => element.checkVisibility({ visibilityProperty: true }) && element.type !== "hidden";
  const told = (element) => `${location.pathname}: ${element.outerHTML.slice(0, 80)}`;
  if (document.documentElement.lang !== "en") faults.push("no language");
  if (!/^.+ · authsvc$/.test(document.title)) faults.push(`title ${document.title}`);
  if (document.querySelectorAll("h1").length !== 1) faults.push("not one h1");
  for (const landmark of ["main", "header", "footer", "nav"])
    if (!document.querySelector(landmark)) faults.push(`no ${landmark}`);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) faults.push(`two elements are #${id}`);
  let level = 0;
  for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
    if (Number(heading.tagName[1]) > level + 1) faults.push(`a level is left out before ${told(heading)}`);
    level = Number(heading.tagName[1]);
  }
  for (const name of ["aria-describedby", "aria-labelledby", "aria-controls"])
    for (const element of document.querySelectorAll(`[${name}]`))
      for (const id of element.getAttribute(name).split(" "))
        if (!ids.includes(id)) faults.push(`${name} of ${told(element)} leads nowhere`);
  for (const link of document.querySelectorAll('a[href^="#"]'))
    if (!ids.includes(decodeURIComponent(link.hash.slice(1)))) faults.push(`${told(link)} leads nowhere`);
  for (const input of document.querySelectorAll("input, select, textarea"))
    if (seen(input) && !input.labels.length) faults.push(`no label: ${told(input)}`);
  for (const input of document.querySelectorAll('input:not([type="hidden"])'))
    if (!input.autocomplete) faults.push(`no autocomplete: ${told(input)}`);
  for (const element of document.querySelectorAll("a, button, summary")) {
    if (!element.textContent.trim()) faults.push(`no name: ${told(element)}`);
    const box = element.getBoundingClientRect();
    const inText = getComputedStyle(element).display === "inline";
    if (seen(element) && !inText && Math.min(box.width, box.height) < 24) faults.push(`too small: ${told(element)}`);
  }
  // The meter's is set by the script, through the object model, which the policy allows.
  if (document.querySelector("script:not([src]), style, [style]:not([data-meter]), [onclick]"))
    faults.push("script or style inline");
  return faults;
}"""

# WCAG 2.2, 1.4.3: the colour of each text against what is painted behind it, and the edge of each control (1.4.11).
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const paint = (colours) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const colour of colours) { canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const luminance = (rgb) => rgb.map((value) => value / 255)
    .map((value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
    .reduce((sum, value, index) => sum + value * [0.2126, 0.7152, 0.0722][index], 0);
  const ratio = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const grounds = (element) => element
    ? [...grounds(element.parentElement), getComputedStyle(element).backgroundColor] : [];
  const told = (element) => `${element.tagName}.${element.className}: ${element.textContent.trim()}`;
  const faults = new Set();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility({ visibilityProperty: true })) continue;
    const behind = grounds(element);
    const found = ratio(paint([...behind, getComputedStyle(element).color]), paint(behind));
    if (found < 4.5) faults.add(`${found.toFixed(2)} ${told(element)}`);
  }
  for (const input of document.querySelectorAll('input:not([type="hidden"])')) {
    const behind = grounds(input.parentElement);
    const found = ratio(paint([...behind, getComputedStyle(input).borderTopColor]), paint(behind));
    if (found < 3) faults.add(`${found.toFixed(2)}: the edge of ${input.name}`);
  }
  return [...faults];
}"""
