"use strict";
// The page is whole without this script: it adds values on hover, lines that can be switched
// off, and one button that opens every table.
(() => {
  const error = Number(document.documentElement.dataset.error);

  const write = (value, bits) => {
    if (value === null) return "NaN";
    if (typeof value === "string") return value;
    if (!error || !bits) return error ? "see the table" : String(value).replace("-", "−");
    if (!Number.isFinite(error)) return "unknown";
    if (Math.abs(value) < error) return "< " + Number(error.toPrecision(1));
    return value.toFixed(Math.max(0, -Math.floor(Math.log10(error)))).replace("-", "−");
  };

  const inside = (box, x, y, room) =>
    x >= box[0] - room && x <= box[2] + room && y >= box[1] - room && y <= box[3] + room;

  const nearest = (panel, x, y, off) => {
    let best = null;
    for (const line of panel.lines) {
      if (off.has(line.name)) continue;
      for (const [px, py, a, b] of line.points) {
        const distance = Math.hypot(px - x, py - y);
        // Of marks that lie on each other, the last one is on top.
        if (distance < 22 && (!best || distance < best.distance + 1.5))
          best = { distance, x: px, y: py, name: line.name, a, b };
      }
    }
    return best;
  };

  const describe = (panel, mark) => {
    const value = panel.named ? mark.a : mark.b;
    const place = panel.named ? mark.b : mark.a === "" ? "" : `${panel.x}: ${mark.a}`;
    const name = mark.name && mark.name !== place ? mark.name : "";
    return [name, String(place), `${panel.title}: ${write(value, panel.bits)}`];
  };

  const cell = (panel, x, y) => {
    for (const map of panel.cells) {
      const [left, top, right, bottom] = panel.box;
      const column = Math.floor(((x - left) / (right - left)) * map.columns.length);
      const row = Math.floor(((y - top) / (bottom - top)) * map.rows.length);
      if (map.values[row]?.[column] === undefined) continue;
      const bits = panel.bits;
      return [
        map.rows[row] === "" ? "" : `row: ${map.rows[row]}`,
        map.columns[column] === "" ? "" : `${panel.x || "column"}: ${map.columns[column]}`,
        `${panel.title || "value"}: ${write(map.values[row][column], bits)}`,
      ];
    }
    return null;
  };

  const answer = (svg, panels, off) => {
    const frame = svg.parentElement;
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.setAttribute("aria-hidden", "true"); // the table below holds the same numbers
    tip.hidden = true;
    frame.append(tip);
    const ring = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    ring.setAttribute("class", "ring");
    ring.setAttribute("r", "5");
    const hide = () => {
      tip.hidden = true;
      ring.remove();
    };
    const show = (event) => {
      const place = new DOMPoint(event.clientX, event.clientY);
      const { x, y } = place.matrixTransform(svg.getScreenCTM().inverse());
      hide();
      for (const panel of panels) {
        if (!inside(panel.box, x, y, 6)) continue;
        const mark = nearest(panel, x, y, off);
        const lines = mark ? describe(panel, mark) : cell(panel, x, y);
        if (!lines) continue;
        if (mark) {
          ring.setAttribute("cx", mark.x);
          ring.setAttribute("cy", mark.y);
          svg.append(ring);
        }
        tip.replaceChildren(
          ...lines.filter(Boolean).map((text) => {
            const row = document.createElement("span");
            row.textContent = text;
            return row;
          }),
        );
        tip.hidden = false;
        const box = frame.getBoundingClientRect();
        const room = box.width - tip.offsetWidth;
        const left = event.clientX - box.left + 14;
        tip.style.left = `${Math.max(0, Math.min(left, room))}px`;
        tip.style.top = `${event.clientY - box.top + 16}px`;
        return;
      }
    };
    svg.addEventListener("pointermove", show);
    svg.addEventListener("pointerdown", show);
    svg.addEventListener("pointerleave", hide);
    document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  };

  const addSwitches = (svg, off) => {
    const parts = [...svg.querySelectorAll("[data-series]")];
    const names = [...new Set(parts.map((part) => part.dataset.series))];
    if (names.length < 2) return;
    const box = document.createElement("details");
    box.className = "switches";
    const summary = document.createElement("summary");
    summary.textContent = "Show or hide lines";
    const list = document.createElement("fieldset");
    const legend = document.createElement("legend");
    legend.textContent = "Lines shown";
    list.append(legend);
    for (const name of names) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      input.type = "checkbox";
      input.checked = true;
      input.addEventListener("change", () => {
        if (input.checked) off.delete(name);
        else off.add(name);
        for (const part of parts)
          if (part.dataset.series === name) part.classList.toggle("off", !input.checked);
      });
      label.append(input, ` ${name}`);
      list.append(label);
    }
    box.append(summary, list);
    const figure = svg.closest("figure");
    figure.insertBefore(box, figure.querySelector("figcaption"));
  };

  const addOpener = () => {
    const tables = [...document.querySelectorAll("details.data")];
    const row = document.querySelector("nav");
    if (!tables.length || !row) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Open every table";
    button.addEventListener("click", () => {
      const open = tables.some((table) => !table.open);
      for (const table of tables) table.open = open;
      button.textContent = open ? "Close every table" : "Open every table";
    });
    row.append(button);
  };

  for (const svg of document.querySelectorAll("svg.plot")) {
    const off = new Set();
    if (svg.dataset.marks) answer(svg, JSON.parse(svg.dataset.marks), off);
    addSwitches(svg, off);
  }
  addOpener();
})();
