"""What tests ask a page of the report in a browser, in JavaScript."""

FIGURES = """[...document.querySelectorAll('svg.plot')].map(svg => {
  const box = svg.getBoundingClientRect();
  const page = document.documentElement.clientWidth;
  const texts = [...svg.querySelectorAll('text')].map(text => text.getBoundingClientRect());
  const scale = box.width / svg.viewBox.baseVal.width;
  return {
    name: svg.querySelector('title').textContent,
    width: box.width,
    height: box.height,
    left: Math.min(...texts.map(text => text.left)),
    right: Math.max(...texts.map(text => text.right)) - page,
    smallest: scale * Math.min(
      ...[...svg.querySelectorAll('text')].map(text => parseFloat(text.style.fontSize))),
  };
})"""
POINT_AT = """(() => {
  const svg = document.querySelector('#fig-divergence svg');
  svg.scrollIntoView({behavior: 'instant', block: 'center'});
  const panel = JSON.parse(svg.dataset.marks)[0];
  const line = panel.lines.find(line => line.name === 'network');
  const [x, y, place] = line.points[3];
  const at = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM());
  return {x: at.x, y: at.y, place};
})()"""
TIP = """[...document.querySelectorAll('#fig-divergence .tip')].filter(tip => !tip.hidden).map(
  tip => [...tip.children].map(row => row.textContent))"""
SWITCH = """(() => {
  const figure = document.querySelector('#fig-divergence');
  const boxes = [...figure.querySelectorAll('.switches label')];
  boxes.find(box => box.textContent.trim() === %s).firstChild.click();
  const shown = name => [...figure.querySelectorAll('[data-series]')].filter(
    part => part.dataset.series === name && getComputedStyle(part).display !== 'none').length;
  return Object.fromEntries(boxes.map(box => box.textContent.trim()).map(
    name => [name, shown(name)]));
})()"""
COLOURS = """[...document.querySelectorAll('svg.plot text')].map(
  text => getComputedStyle(text).fill)"""
