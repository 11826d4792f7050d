"""The page's script: asks for the state every second (with a plot every 0.4 s), draws on canvas, sends changes."""

from __future__ import annotations

__all__ = ["SCRIPT"]

SCRIPT = """'use strict';
const $ = (id) => document.getElementById(id);
const token = document.querySelector('meta[name=form-token]').content;
const text = (id, value) => { const e = $(id); if (e.textContent !== value) e.textContent = value; };
const number = (value, digits) => value === null || value === undefined ? '\\u2013' : value.toFixed(digits);
const short = (value) => number(value, value !== null && value >= 100 ? 0 : value >= 10 ? 1 : 2);
let dragging = false, choosing = false;

function ticks(low, high) {
  const raw = (high - low) / 3, power = Math.pow(10, Math.floor(Math.log10(raw)));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= raw);
  const found = [];
  for (let v = Math.ceil(low / step) * step; v <= high + step / 1e6; v += step) found.push(v);
  return {found, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9))};
}

function draw(canvas, times, series, fromZero, emptyWords, fixedHigh, marks) {
  const given = series.flatMap((s) => s.values).filter((v) => v !== null);
  canvas.classList.toggle('empty', given.length < 2); canvas.dataset.points = String(given.length);
  const scale = window.devicePixelRatio || 1, width = canvas.clientWidth, height = canvas.clientHeight;
  canvas.width = Math.round(width * scale); canvas.height = Math.round(height * scale);
  const pen = canvas.getContext('2d'), style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  pen.scale(scale, scale); pen.font = '11px system-ui, sans-serif'; pen.textBaseline = 'middle';
  if (given.length < 2) {
    pen.fillStyle = colour('--soft'); pen.textAlign = 'center';
    const words = emptyWords.length > width / 6 ? emptyWords.slice(0, width / 6) + '\\u2026' : emptyWords;
    pen.fillText(words, width / 2, height / 2); return;
  }
  let low = fromZero ? 0 : Math.min(...given), high = Math.max(...given);
  const room = Math.max((high - low) * 0.12, Math.abs(high) * 0.02, 1e-6);
  high += room; if (!fromZero) low -= room; if (fixedHigh) high = fixedHigh * 1.03;
  const left = 38, right = width - 8, top = 8, bottom = height - 20;
  const begin = times[0], end = Math.max(times[times.length - 1], begin + 1);
  const x = (t) => left + (t - begin) / (end - begin) * (right - left);
  const y = (v) => bottom - (v - low) / (high - low) * (bottom - top);
  const grid = ticks(low, high);
  pen.lineWidth = 1; pen.strokeStyle = colour('--line'); pen.fillStyle = colour('--soft'); pen.textAlign = 'right';
  for (const v of grid.found) {
    pen.beginPath(); pen.moveTo(left, y(v)); pen.lineTo(right, y(v)); pen.stroke();
    pen.fillText(v.toFixed(grid.digits), left - 6, y(v));
  }
  pen.textAlign = 'left'; pen.fillText('\\u2212' + Math.round(end - begin) + ' s', left, height - 8);
  pen.textAlign = 'right'; pen.fillText('now', right, height - 8);
  let free = Infinity;
  for (const mark of (marks || []).filter((m) => m.at >= begin)) {
    pen.strokeStyle = colour('--soft'); pen.beginPath();
    pen.moveTo(x(mark.at), top); pen.lineTo(x(mark.at), bottom); pen.stroke();
    if (x(mark.at) > free) continue;
    free = x(mark.at) - 14; pen.save(); pen.translate(x(mark.at) - 7, top + 2); pen.rotate(-Math.PI / 2);
    pen.textAlign = 'right';
    pen.fillStyle = colour('--text'); pen.fillText(mark.label, 0, 0); pen.restore();
  }
  for (const s of series) {
    pen.strokeStyle = colour(s.colour); pen.lineWidth = 1.8; pen.lineJoin = 'round';
    pen.setLineDash(s.dash ? [5, 4] : []); pen.beginPath();
    let down = false;
    s.values.forEach((v, i) => {
      if (v === null) { down = false; return; }
      if (down) pen.lineTo(x(times[i]), y(v)); else pen.moveTo(x(times[i]), y(v));
      down = true;
    });
    pen.stroke();
  }
  pen.setLineDash([]);
}

const lineColours = ['a', 'b', 'c', 'd', 'e'];
function showPlot(scene, events) {
  const plot = scene ? scene.plot : null;
  if (!$('plot') || !plot) return;
  const series = plot.lines.map((line, i) => ({values: line.values, colour: '--' + lineColours[i]}));
  const names = plot.lines.map((line) => line.name);
  if (plot.limit.some((v) => v !== null)) {
    series.push({values: plot.limit, colour: '--bad', dash: true}); names.push('threshold');
  }
  text('plot-title', plot.title);
  if ($('plot-legend').textContent !== names.join('')) {
    $('plot-legend').replaceChildren(...names.map((name, i) => Object.assign(document.createElement('i'),
      {textContent: name, className: i < plot.lines.length ? lineColours[i] : 'limit'})));
  }
  const marks = events.map((event) => ({at: event.stream_s, label: event.label}));
  draw($('plot'), plot.at_s, series, true, 'waiting for sound', plot.high, marks);
}

function showEvents(events) {
  $('events-section').hidden = !events.length;
  $('events').replaceChildren(...events.slice(0, 8).map((event) => {
    const item = document.createElement('li');
    for (const value of [new Date(event.at).toLocaleTimeString(), event.label, short(event.score)]) {
      item.append(Object.assign(document.createElement('span'), {textContent: value}));
    }
    item.title = event.at + ', second ' + event.stream_s + ' of the stream';
    return item;
  }));
}

function showFindings(scene) {
  const list = $('findings'), found = scene ? scene.findings : [];
  while (list.children.length > found.length) list.lastChild.remove();
  while (list.children.length < found.length) {
    const item = document.createElement('li');
    item.append(document.createElement('span'), document.createElement('span'), document.createElement('progress'));
    list.append(item);
  }
  found.forEach((f, i) => {
    const [label, score, bar] = list.children[i].children;
    label.textContent = f.label; score.textContent = (100 * f.score).toFixed(0) + ' %'; bar.value = f.score;
  });
  $('nothing').hidden = found.length > 0;
  text('notes', scene ? scene.notes.join(', ') : '');
}

function showVariants(state) {
  const select = $('variant');
  if (select.options.length !== state.variants.length) {
    select.replaceChildren(...state.variants.map((name) => new Option(name, name)));
  }
  if (!choosing) select.value = state.variant;
  $('threshold').max = state.threshold_most; $('threshold').step = state.threshold_most / 100;
  if (!dragging) { $('threshold').value = state.threshold; text('threshold-value', number(state.threshold, 2)); }
}

function showStages(stages) {
  const rows = Object.entries(stages).map(([name, s]) => {
    const row = document.createElement('tr');
    const words = name === 'camera_to_result' ? 'input to result' : name.replaceAll('_', ' ');
    for (const value of [words, short(s.p50_ms), short(s.p95_ms), short(s.p99_ms)]) {
      row.append(Object.assign(document.createElement('td'), {textContent: value}));
    }
    return row;
  });
  $('stages').replaceChildren(...rows);
}

function show(state) {
  const charts = state.charts, last = (values) => values.length ? values[values.length - 1] : null;
  const total = state.stages.camera_to_result;
  $('health').className = 'chip ' + (state.is_healthy ? 'good' : 'bad');
  text('health', state.is_healthy ? 'live' : 'no frames');
  const where = state.problem === state.source_problem ? state.input + ': ' : '';
  $('problem').hidden = !state.problem; text('problem', state.problem ? where + state.problem : '');
  text('model', state.model + ' \\u00b7 ' + state.variant + ' \\u00b7 ' + state.engine);
  text('fps', number(state.fps, 1)); text('latency', short(last(charts.latency_ms)));
  text('latency99', short(total.p99_ms)); text('dropped', String(state.frames_dropped));
  text('temperature', number(state.temperature_c, 1)); text('energy', short(last(charts.energy_mj)));
  text('energy-words', state.power_source ? 'mJ per frame, ' + state.power_source : 'mJ per frame');
  showFindings(state.scene); showEvents(state.events); showPlot(state.scene, state.events);
  showVariants(state); showStages(state.stages);
  draw($('chart-latency'), charts.at_s, [{values: charts.latency_ms, colour: '--a'},
    {values: charts.inference_ms, colour: '--b'}], true, 'waiting for frames');
  draw($('chart-temperature'), charts.at_s, [{values: charts.temperature_c, colour: '--a'}], false, 'no sensor here');
  draw($('chart-energy'), charts.at_s, [{values: charts.energy_mj, colour: '--a'}], true, 'no power sensor here');
  const memory = state.memory_bytes === null ? '' : ', ' + (state.memory_bytes / 1e6).toFixed(0) + ' MB resident';
  text('facts', state.frames + ' frames in ' + state.seconds.toFixed(0) + ' s from ' + state.input
    + ', input restarted ' + state.source_restarts + ' times' + memory
    + (state.release === null ? '' : ', release ' + state.release));
}

async function refresh() {
  try {
    const answer = await fetch('/state', {cache: 'no-store'});
    if (!answer.ok) throw new Error(String(answer.status));
    show(await answer.json());
  } catch (error) {
    $('health').className = 'chip bad'; text('health', 'disconnected');
  }
  setTimeout(refresh, document.hidden ? 5000 : $('plot') ? 400 : 1000);
}

async function change(path, value) {
  text('answer', '\\u2026');
  try {
    const answer = await fetch(path, {method: 'POST', body: JSON.stringify({value}),
      headers: {'Content-Type': 'application/json', 'X-Edgert-Token': token}});
    text('answer', answer.ok ? '' : await answer.text());
  } catch (error) { text('answer', 'not sent: the app is not reached'); }
}

$('variant').addEventListener('change', async (event) => {
  choosing = true; await change('/variant', event.target.value); choosing = false;
});
$('threshold').addEventListener('input', (event) => {
  dragging = true; text('threshold-value', number(Number(event.target.value), 2));
});
$('threshold').addEventListener('change', async (event) => {
  await change('/threshold', Number(event.target.value)); dragging = false;
});
if ($('picture')) {
  $('picture').addEventListener('error', () => {
    setTimeout(() => { $('picture').src = '/stream.mjpg?' + Date.now(); }, 2000);
  });
}
refresh();
"""
