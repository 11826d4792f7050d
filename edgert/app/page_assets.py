"""The page's HTML, style sheet and icon; no build step, nothing from elsewhere."""

from __future__ import annotations

import html

__all__ = ["ICON", "STYLE", "page_html"]

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>$TITLE</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="form-token" content="$TOKEN">
<link rel="icon" href="/icon.svg"><link rel="stylesheet" href="/page.css"></head>
<body><main>
<header><h1>$TITLE</h1><span id="health" class="chip">connecting</span><span id="model" class="soft"></span></header>
<p id="problem" role="status" hidden></p>
$VIEW
<aside>
<section><h2>Findings</h2><ol id="findings"></ol><p id="nothing" class="soft" hidden>nothing above the threshold</p>
<p id="notes" class="soft"></p></section>
<section id="events-section" hidden><h2>Detections</h2><ol id="events"></ol></section>
<section><h2>Controls</h2>
<label class="field"><span>variant</span><select id="variant"></select></label>
<label class="field"><span>threshold <output id="threshold-value"></output></span>
<input id="threshold" type="range" min="0" max="1" step="0.01"></label>
<p id="answer" class="soft" role="status"></p></section>
</aside>
<section class="tiles">
<div><b id="fps">-</b><span>frames/s</span></div>
<div><b id="latency">-</b><span>input to result, ms</span></div>
<div><b id="latency99">-</b><span>99th percentile, ms</span></div>
<div><b id="dropped">-</b><span>frames dropped</span></div>
<div><b id="temperature">-</b><span>&deg;C</span></div>
<div><b id="energy">-</b><span id="energy-words">mJ per frame</span></div>
</section>
<section class="charts">
<figure><figcaption>latency, ms <i class="a">input to result</i> <i class="b">inference</i></figcaption>
<canvas id="chart-latency" role="img" aria-label="latency over time"></canvas></figure>
<figure><figcaption>temperature, &deg;C</figcaption>
<canvas id="chart-temperature" role="img" aria-label="temperature over time"></canvas></figure>
<figure><figcaption>energy per frame, mJ</figcaption>
<canvas id="chart-energy" role="img" aria-label="energy over time"></canvas></figure>
</section>
<section class="stages"><table><thead><tr><th>stage, ms</th><th>p50</th><th>p95</th><th>p99</th></tr></thead>
<tbody id="stages"></tbody></table><p id="facts" class="soft"></p></section>
</main><script src="/page.js"></script></body></html>
"""

_PICTURE = '<section class="view"><img id="picture" src="/stream.mjpg" alt="live picture"></section>'
_PLOT = """<section class="plot"><figure>
<figcaption><span id="plot-title"></span> <span id="plot-legend"></span></figcaption>
<canvas id="plot" role="img" aria-label="live plot"></canvas></figure></section>"""

STYLE = """
:root { color-scheme: light dark; --page: #f4f5f6; --card: #fff; --text: #1b2026; --soft: #5c6670; --line: #e1e4e7;
  --a: #2563c9; --b: #d9822b; --c: #17877b; --d: #8a4fc4; --e: #8c6d1f; --good: #1b7f3b; --bad: #c62333;
  --good-bg: #e3f4e8; --bad-bg: #fce8e9; }
@media (prefers-color-scheme: dark) { :root { --page: #101316; --card: #191d21; --text: #e8eaec; --soft: #98a2ac;
  --line: #2c3339; --a: #6aa2f7; --b: #f0a65a; --c: #4cc4b5; --d: #c08bf0; --e: #d3b458; --good: #5cc980;
  --bad: #f77d86; --good-bg: #15301e; --bad-bg: #3a1a1e; } }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.45 system-ui, -apple-system, "Segoe UI",
  Roboto, "Helvetica Neue", Arial, sans-serif; font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%;
  overflow-wrap: anywhere; }
main { max-width: 1180px; margin: 0 auto; padding: 18px 16px 32px; display: grid; gap: 14px;
  grid-template-columns: minmax(0, 1fr) 320px; }
header, #problem, .tiles, .charts, .stages { grid-column: 1 / -1; }
header { display: flex; flex-wrap: wrap; align-items: baseline; gap: 6px 12px; }
h1 { font-size: 22px; margin: 0; letter-spacing: -.01em; }
h2 { font-size: 13px; font-weight: 600; color: var(--soft); margin: 0 0 8px; }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px; }
aside { display: flex; flex-direction: column; gap: 14px; }
aside section:first-child { flex: 1; }
.soft { color: var(--soft); font-size: 13px; margin: 6px 0 0; }
.chip { border-radius: 99px; padding: 2px 11px; font-size: 13px; font-weight: 600; background: var(--line); }
.chip.good { background: var(--good-bg); color: var(--good); }
.chip.bad, #problem { background: var(--bad-bg); color: var(--bad); }
#problem { margin: 0; border-radius: 10px; padding: 9px 14px; }
.view { padding: 0; overflow: hidden; background: #0b0d0f; display: flex; align-items: center; justify-content: center;
  aspect-ratio: 4 / 3; }
.view img { width: 100%; height: 100%; object-fit: contain; display: block; color: #98a2ac; }
#findings { list-style: none; margin: 0; padding: 0; }
#findings li { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 2px 10px; padding: 5px 0; }
#findings progress { grid-column: 1 / -1; }
progress { appearance: none; width: 100%; height: 6px; border: 0; border-radius: 3px; overflow: hidden;
  background: var(--line); }
progress::-webkit-progress-bar { background: var(--line); }
progress::-webkit-progress-value { background: var(--a); }
progress::-moz-progress-bar { background: var(--a); }
.field { display: block; margin-bottom: 10px; }
.field span { display: flex; justify-content: space-between; font-size: 13px; color: var(--soft); margin-bottom: 3px; }
select, input { width: 100%; font: inherit; color: inherit; accent-color: var(--a); min-height: 38px; }
select { background: var(--page); border: 1px solid var(--line); border-radius: 8px; padding: 7px 10px; }
.tiles { display: grid; grid-template-columns: repeat(6, 1fr); gap: 4px 16px; }
.tiles b { display: block; font-size: 24px; line-height: 1.2; font-weight: 650; letter-spacing: -.02em; }
.tiles span { color: var(--soft); font-size: 12.5px; }
.charts { display: grid; grid-template-columns: 2fr 1fr 1fr; gap: 20px; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: 13px; font-weight: 600; color: var(--soft); margin-bottom: 4px; }
figcaption i { font-style: normal; font-weight: 400; margin-left: 10px; white-space: nowrap; }
figcaption i::before { content: ""; display: inline-block; width: 12px; height: 3px; border-radius: 2px;
  margin-right: 5px; vertical-align: middle; }
i.a::before { background: var(--a); } i.b::before { background: var(--b); } i.c::before { background: var(--c); }
i.d::before { background: var(--d); } i.e::before { background: var(--e); }
i.limit::before { background: var(--bad); }
.plot, .plot figure { display: flex; flex-direction: column; flex: 1; }
.plot canvas { flex: 1; height: auto; min-height: 340px; }
#events { list-style: none; margin: 0; padding: 0; font-size: 14px; }
#events li { display: grid; grid-template-columns: auto minmax(0, 1fr) auto; gap: 10px; padding: 3px 0; }
#events li span:first-child { color: var(--soft); }
canvas { width: 100%; height: 150px; display: block; }
canvas.empty { height: 60px; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: right; padding: 4px 0 4px 14px; border-bottom: 1px solid var(--line); font-weight: 400; }
th { color: var(--soft); font-size: 12.5px; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr:last-child td { border-bottom: 0; }
:focus-visible { outline: 2px solid var(--a); outline-offset: 2px; }
@media (max-width: 820px) { main { grid-template-columns: minmax(0, 1fr); padding: 12px 10px 24px; gap: 10px; }
  .tiles { grid-template-columns: repeat(3, 1fr); gap: 10px 12px; } .charts { grid-template-columns: 1fr; }
  .plot canvas { min-height: 240px; } }
"""

ICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 16 16"><rect width="16" height="16" rx="4" fill="#2563c9"/>'
    '<path d="M3 10l3-4 3 3 4-5" fill="none" stroke="#fff" stroke-width="2" stroke-linejoin="round"/></svg>'
)


def page_html(title: str, form_token: str, *, has_pictures: bool = True) -> str:
    """Returns the page of an app, with a picture or a plot; the token is what its script sends with every change."""
    return (
        _PAGE.replace("$VIEW", _PICTURE if has_pictures else _PLOT)
        .replace("$TITLE", html.escape(title))
        .replace("$TOKEN", html.escape(form_token))
    )
