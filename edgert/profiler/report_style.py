"""Style sheet and the one small script (sorting a table by a column) of the report page."""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

STYLE = """
:root {
  color-scheme: light dark;
  --page: #f6f6f4; --card: #ffffff; --text: #1d2125; --soft: #5c646d; --line: #e3e4e2; --grid: #ececea;
  --accent: #2563c9; --accent-soft: #a9c4ee; --good: #1b7f3b; --bad: #c62333; --doubt: #946200; --none: #6b7280;
  --good-bg: #e3f4e8; --bad-bg: #fce8e9; --doubt-bg: #fbf0d5; --none-bg: #ededed;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --card: #1c2024; --text: #e6e8ea; --soft: #9aa3ac; --line: #30363c; --grid: #272c31;
    --accent: #6aa2f7; --accent-soft: #34517e; --good: #57c27a; --bad: #f5737d; --doubt: #dfb04a; --none: #9aa3ac;
    --good-bg: #16321f; --bad-bg: #3b1a1e; --doubt-bg: #35290f; --none-bg: #2a2f34;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere; -webkit-text-size-adjust: 100%;
}
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 27px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 18px; margin: 0 0 4px; }
h4 { font-size: 13px; margin: 14px 0 2px; color: var(--soft); }
h3 { font-size: 15px; margin: 20px 0 6px; overflow-wrap: anywhere; }
p { margin: 4px 0 12px; }
section, header { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 20px 22px;
  margin-bottom: 16px; }
.lead, .none, small, .caption { color: var(--soft); }
.lead { margin-bottom: 14px; max-width: 92ch; }
small { font-size: 12.5px; }
code, .mono { font: 13px/1.45 ui-monospace, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
  overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 3px 18px; margin: 10px 0 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
.chip { display: inline-block; border-radius: 999px; padding: 1px 10px; font-size: 13px; font-weight: 600;
  white-space: nowrap; background: var(--none-bg); color: var(--none); }
.chip.good { background: var(--good-bg); color: var(--good); }
.chip.bad { background: var(--bad-bg); color: var(--bad); }
.chip.doubt { background: var(--doubt-bg); color: var(--doubt); }
.verdicts { list-style: none; margin: 16px 0 0; padding: 0; }
.verdicts small { display: block; }
.verdicts li { display: grid; grid-template-columns: 108px minmax(0, 1fr); gap: 2px 14px; align-items: baseline;
  padding: 9px 0; border-top: 1px solid var(--line); }
.scroll { overflow-x: auto; margin: 0 -22px; padding: 0 22px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: 6px 0 6px 18px; border-bottom: 1px solid var(--line); vertical-align: top;
  white-space: nowrap; }
th { font-size: 12.5px; font-weight: 600; color: var(--soft); vertical-align: bottom; }
th:first-child, td:first-child { padding-left: 0; }
.text { text-align: left; }
td.name { text-align: left; min-width: 150px; max-width: 340px; white-space: normal; overflow-wrap: anywhere; }
td.wide { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 160px; }
tr:last-child td { border-bottom: 0; }
td.bar { min-width: 112px; padding-bottom: 9px; }
td.bar svg { display: block; margin-top: 3px; }
th button { all: unset; cursor: pointer; }
th button:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
th button::after { content: "\\2195"; margin-left: 4px; opacity: 0.45; }
th[aria-sort="ascending"] button::after { content: "\\2191"; opacity: 1; }
th[aria-sort="descending"] button::after { content: "\\2193"; opacity: 1; }
.plot { margin: 6px 0 4px; }
.row { display: grid; grid-template-columns: minmax(96px, 230px) minmax(0, 1fr) minmax(96px, 210px); gap: 0 16px;
  align-items: center; }
.row .label { overflow-wrap: anywhere; line-height: 1.3; }
.row .label small { display: block; }
.row .label { padding-right: 6px; }
.row .figure { text-align: right; line-height: 1.3; overflow-wrap: anywhere; }
.row .figure small { display: block; }
.row.foot { padding-top: 0; align-items: start; }
.caption { font-size: 12.5px; text-align: center; }
svg { display: block; overflow: visible; }
svg.key { display: inline-block; vertical-align: -1px; }
svg text { fill: var(--soft); font-size: 12px; }
.fill.plain { fill: var(--accent); } .fill.track { fill: var(--grid); } .fill.soft { fill: var(--accent-soft); }
.fill.good { fill: var(--good); } .fill.bad { fill: var(--bad); } .fill.doubt { fill: var(--doubt); }
.fill.none { fill: var(--none); }
line.grid { stroke: var(--grid); } line.zero { stroke: var(--soft); }
line.limit { stroke: var(--bad); stroke-width: 1.5; stroke-dasharray: 3 3; }
line.span { stroke: var(--accent); stroke-width: 2; } circle.dot { fill: var(--accent); }
line.span.good { stroke: var(--good); } circle.dot.good { fill: var(--good); }
line.span.bad { stroke: var(--bad); } circle.dot.bad { fill: var(--bad); }
line.span.doubt { stroke: var(--doubt); } circle.dot.doubt { fill: var(--doubt); }
line.span.none { stroke: var(--none); } circle.dot.none { fill: var(--none); }
line.mark { stroke: var(--text); stroke-width: 1.5; }
.samples { display: grid; grid-template-columns: repeat(auto-fill, minmax(150px, 1fr)); gap: 14px; }
.sample { border: 1px solid var(--line); border-radius: 8px; padding: 10px; overflow-wrap: anywhere; line-height: 1.4; }
.sample p { height: 120px; margin: 0 0 8px; padding: 48px 0; text-align: center; background: var(--page);
  border-radius: 4px; }
.sample img { display: block; width: 100%; height: 120px; object-fit: contain; image-rendering: pixelated;
  background: var(--page); border-radius: 4px; margin-bottom: 8px; }
.sample img.heat { object-fit: fill; }
.sample svg.signal { width: 100%; height: 120px; padding: 6px 0; background: var(--page); border-radius: 4px;
  margin-bottom: 8px; }
polyline.wave { fill: none; stroke: var(--accent); stroke-width: 1.2; }
.sample p.numbers { height: auto; min-height: 56px; max-height: 120px; padding: 8px; text-align: left; overflow: auto; }
ul.plain { margin: 4px 0; padding-left: 20px; } ul.plain li { overflow-wrap: anywhere; }
details { margin-top: 8px; } summary { cursor: pointer; color: var(--accent); }
footer { color: var(--soft); font-size: 12.5px; padding: 0 4px; overflow-wrap: anywhere; }
@media (max-width: 640px) {
  main { padding: 10px 10px 32px; }
  section, header { padding: 16px 14px; }
  .scroll { margin: 0 -14px; padding: 0 14px; }
  .row { grid-template-columns: minmax(0, 1fr) minmax(0, max-content); padding-top: 6px; }
  .row .track { grid-column: 1 / -1; grid-row: 2; }
  .row.foot { display: block; }
  .verdicts small { display: block; }
.verdicts li { grid-template-columns: minmax(0, 1fr); }
  dl { grid-template-columns: minmax(0, 1fr); gap: 0; } dd { margin-bottom: 7px; }
  th, td { padding-left: 12px; }
  td.name { min-width: 120px; }
}
@media print {
  :root { --page: #fff; }
  body { font-size: 11pt; }
  main { max-width: none; padding: 0; }
  section, header { border: 0; border-top: 1px solid #bbb; border-radius: 0; padding: 12px 0; }
  .row, tr, .sample, li { break-inside: avoid; }
  h2, h3 { break-after: avoid; }
  .scroll { overflow: visible; margin: 0; padding: 0; }
  th button::after { content: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""

SCRIPT = """
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const column = head.cellIndex, down = head.getAttribute("aria-sort") !== "descending";
    const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent;
    const order = (a, b) => {
      const x = key(a), y = key(b), difference = Number(x) - Number(y);
      return Number.isNaN(difference) ? x.localeCompare(y) : difference;
    };
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...[...body.rows].sort((a, b) => (down ? order(b, a) : order(a, b))));
  });
}
"""
