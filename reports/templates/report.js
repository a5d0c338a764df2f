"use strict";
// The feature browser. Data becomes text nodes and attributes of known names, never markup.
(() => {
  const PAGE = 50;
  const STRIP = 140;
  const SVG = "http://www.w3.org/2000/svg";
  const $ = (id) => document.getElementById(id);
  const state = { index: null, rows: [], shown: PAGE, sort: "", down: false, chunks: new Map(), scroll: 0 };

  // --- building blocks

  function element(name, attributes = {}, ...children) {
    const node = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
  }

  function drawn(name, attributes, ...children) {
    const node = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  }

  const count = (value) => value === null ? "unknown" : value.toLocaleString("en-US");
  const decimal = (value) => value.toFixed(2).replace(/^-(0\.00)$/, "$1").replace("-", "−");
  const signed = (value) => (value >= 0.005 ? "+" : "") + decimal(value);

  function compact(value) {
    if (value === null || value === 0) return value === null ? "" : "0";
    const digits = Math.max(0, 1 - Math.floor(Math.log10(Math.abs(value))));
    return value.toLocaleString("en-US", { minimumFractionDigits: Math.min(digits, 6), maximumFractionDigits: Math.min(digits, 6) }).replace("-", "−");
  }

  function percent(share) {
    if (share === null) return "unknown";
    const value = 100 * share;
    if (value === 0) return "0%";
    return (value >= 10 ? value.toFixed(0) : value >= 1 ? value.toFixed(1) : String(Number(value.toPrecision(2)))) + "%";
  }

  function badge(grade) {
    if (!/^[A-E]$/.test(grade)) return null;
    const title = `${grade}: ${state.index.meaning[grade]}`;
    return element("span", { class: `grade grade-${grade}`, title }, element("span", { class: "quiet" }, "grade "), grade);
  }

  function strip(metric, score, control) {
    const [low, high] = state.index.domains[metric] || [0, 1];
    const at = (value) => 4 + (STRIP - 8) * Math.min(1, Math.max(0, (value - low) / (high - low)));
    const label = `score ${score.value === null ? "unscored" : decimal(score.value)}`
      + (control === null ? "" : `, shuffled ${decimal(control)}`);
    const svg = drawn("svg", { class: "strip", width: STRIP, height: 22, viewBox: `0 0 ${STRIP} 22`, role: "img", "aria-label": label },
      drawn("line", { class: "rail", x1: 4, x2: STRIP - 4, y1: 11, y2: 11 }));
    if (control !== null) svg.append(drawn("line", { class: "control", x1: at(control), x2: at(control), y1: 4, y2: 18 }));
    if (score.value === null) return svg;
    if (score.low !== null && score.high !== null) {
      svg.append(drawn("line", { class: "range", x1: at(score.low), x2: at(score.high), y1: 11, y2: 11 }));
    }
    svg.append(drawn("circle", { class: "score", cx: at(score.value), cy: 11, r: 4.5 }));
    return svg;
  }

  function unzipped(id) {
    const bytes = Uint8Array.from(atob($(id).textContent), (letter) => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")));
  }

  const unpack = (id) => unzipped(id).json();

  // --- the list

  function rowsOf(index) {
    const columns = index.columns;
    return columns.feature.map((feature, at) => ({
      at, feature, dictionary: index.dictionaries[columns.dictionary[at]].name, dead: columns.dead[at] === 1,
      fired: columns.fired[at], density: columns.density[at], max: columns.max[at], selection: index.selections[columns.selection[at]],
      explainer: index.explainers[columns.explainer[at]], scorer: index.scorers[columns.scorer[at]], text: columns.text[at],
      chunk: columns.chunk[at], lower: columns.text[at].toLowerCase(),
    }));
  }

  function scoreOf(row) {
    const shown = state.index.shown[$("metric").value];
    if (!shown) return { value: null, low: null, high: null, shuffled: null, margin: null, reason: "", grade: state.index.columns.grade[row.at] };
    const at = row.at;
    const [value, shuffled] = [shown.value[at], shown.shuffled[at]];
    return {
      value, low: shown.low[at], high: shown.high[at], shuffled,
      margin: value === null || shuffled === null ? null : value - shuffled,
      reason: state.index.reasons[shown.reason[at]] || "", grade: shown.grade[at] || state.index.columns.grade[at],
    };
  }

  function matches(row) {
    const words = $("search").value.trim().toLowerCase();
    const score = scoreOf(row);
    const wanted = $("by-state").value;
    return (!words || row.lower.includes(words) || String(row.feature) === words || `${row.dictionary}/${row.feature}`.toLowerCase() === words)
      && (!$("by-dictionary").value || row.dictionary === $("by-dictionary").value)
      && (!$("by-explainer").value || row.explainer === $("by-explainer").value)
      && (!$("by-grade").value || score.grade === $("by-grade").value)
      && (wanted !== "alive" || !row.dead) && (wanted !== "dead" || row.dead)
      && (wanted !== "unscored" || (!row.dead && score.value === null))
      && atLeast("least-score", score.value) && atLeast("least-margin", score.margin);
  }

  // what has no value is at least nothing
  const atLeast = (id, value) => $(id).value === "" || (value !== null && value >= Number($(id).value));

  function sortKey(row) {
    const score = scoreOf(row);
    return { feature: row.feature, text: row.lower || null, explainer: row.explainer || null, value: score.value, shuffled: score.shuffled,
      margin: score.margin, density: row.density, max: row.max, grade: score.grade || null }[state.sort];
  }

  function compare(left, right) {
    // what has no value goes last in both directions: it is neither small nor large
    const [a, b] = [sortKey(left), sortKey(right)];
    if (a === null || b === null || a === b) return (a === null) - (b === null) || left.at - right.at;
    return (a < b ? -1 : 1) * (state.down ? -1 : 1);
  }

  function refresh() {
    state.rows = state.all.filter(matches);
    if (state.sort) state.rows.sort(compare);
    state.shown = PAGE;
    $("strip-title").textContent = `${$("metric").value || "score"}, dot; shuffled, tick`;
    for (const button of document.querySelectorAll("[data-sort]")) {
      const cell = button.closest("th");
      if (button.dataset.sort === state.sort) cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    }
    list();
  }

  function list() {
    const visible = state.rows.slice(0, state.shown);
    document.querySelector("#list tbody").replaceChildren(...visible.map(line));
    $("found").textContent = `${count(state.rows.length)} of ${count(state.all.length)} rows, one per feature and explainer; ${count(visible.length)} shown`;
    $("more").hidden = visible.length === state.rows.length;
  }

  function line(row) {
    const score = scoreOf(row);
    const name = element("td", { class: "feature" },
      element("a", { href: link(row.dictionary, row.feature) }, element("bdi", {}, `${row.dictionary}/${row.feature}`)));
    if (row.selection === "hand-picked") name.append(" ", element("span", { class: "flag" }, "hand-picked"));
    if (factsOf(row).mark) name.append(" ", element("span", { class: "flag" }, "control"));
    const text = element("td", { class: "text" });
    if (row.text) text.append(element("bdi", {}, row.text));
    else text.append(element("span", { class: "none" }, row.dead ? "" : "no explanation"));
    const value = score.value !== null ? decimal(score.value) : element("span", { class: "none" }, row.dead ? "never fired" : "unscored");
    const beside = score.value === null && score.shuffled === null ? score.reason : strip($("metric").value, score, score.shuffled);
    return element("tr", {}, name, text, element("td", {}, element("bdi", {}, row.explainer)),
      element("td", { class: "strip-cell" }, beside),
      element("td", { class: "number" }, value),
      element("td", { class: "number" }, score.shuffled === null ? "" : decimal(score.shuffled)),
      element("td", { class: "number" }, score.margin === null ? "" : signed(score.margin)),
      element("td", { class: "number" }, percent(row.density)), element("td", { class: "number" }, compact(row.max)),
      element("td", {}, badge(score.grade)));
  }

  // --- one feature

  const link = (dictionary, feature) => `#feature=${encodeURIComponent(dictionary)}/${feature}`;

  async function detail(chunk, key) {
    if (!state.chunks.has(chunk)) state.chunks.set(chunk, unpack(`features-${chunk}`));
    const block = await state.chunks.get(chunk);
    return { ...block.features[key], block };
  }

  function scored(raw) {
    const words = state.index;
    const [metric, control, explainer, scorer, rubric, value, low, high, n, unscored, reason, grade] = raw;
    return { metric: words.metrics[metric], control: words.controls[control], explainer: words.explainers[explainer],
      scorer: words.scorers[scorer], rubric: words.rubrics[rubric], value, low, high, n, unscored, reason: words.reasons[reason], grade };
  }

  async function open(dictionary, feature) {
    const rows = state.all.filter((row) => row.dictionary === dictionary && row.feature === feature);
    const view = $("feature");
    if (!rows.length) {
      view.replaceChildren(walk(null), element("h1", { tabindex: "-1" }, `No feature ${feature}`),
        element("p", {}, element("bdi", {}, dictionary), " was not evaluated on this feature, or there is no such dictionary in this run."));
    } else {
      const data = await detail(rows[0].chunk, `${dictionary}/${feature}`);
      const scores = (data.scores || []).map(scored);
      view.replaceChildren(walk(rows[0]), ...heading(rows[0]),
        element("div", { class: "columns" },
          element("div", {}, ...explanations(rows, scores), ...passages(rows[0], data)),
          element("div", {}, ...allScores(scores), ...concept(data, scores), ...neighbours(data), ...doses(data),
            ...histogram(data))));
    }
    if (!$("report").hidden) state.scroll = window.scrollY;
    $("report").hidden = true;
    view.hidden = false;
    document.title = `${dictionary}/${feature}`;
    window.scrollTo(0, 0);
    view.querySelector("h1").focus({ preventScroll: true });
  }

  function walk(row) {
    const bar = element("nav", { class: "walk", "aria-label": "Features" }, element("a", { href: "#features" }, "← report"));
    const keys = [...new Set(state.rows.map((item) => link(item.dictionary, item.feature)))];
    const at = row ? keys.indexOf(link(row.dictionary, row.feature)) : -1;
    if (at > 0) bar.append(element("a", { href: keys[at - 1], rel: "prev" }, "previous in the list"));
    if (at >= 0 && at + 1 < keys.length) bar.append(element("a", { href: keys[at + 1], rel: "next" }, "next in the list"));
    return bar;
  }

  const factsOf = (row) => state.index.dictionaries.find((item) => item.name === row.dictionary);

  function heading(row) {
    const facts = factsOf(row);
    const title = element("div", { class: "title" }, element("h1", { tabindex: "-1" }, `Feature ${row.feature}`),
      element("p", { class: "subtitle" }, `of ${count(facts.width)}, `, element("bdi", {}, row.dictionary)));
    if (row.selection === "hand-picked") title.append(element("span", { class: "flag" }, "hand-picked"));
    if (row.dead) title.append(element("span", { class: "flag" }, "never fired"));
    const said = row.dead
      ? `never fired in ${count(state.index.documents)} documents`
      : `fires on ${percent(row.density)} of positions (${count(row.fired)}) · max ${compact(row.max)}`;
    const mark = facts.mark ? [element("p", { class: "note" }, element("bdi", {}, facts.mark))] : [];
    return [title, ...mark, element("p", { class: "meta" }, row.selection === "hand-picked" ? said : `${said} · `,
      row.selection === "hand-picked" ? null : element("bdi", {}, row.selection))];
  }

  function explanations(rows, scores) {
    const body = element("tbody");
    for (const row of rows.filter((item) => item.explainer || item.text)) {
      const arms = scores.filter((item) => item.metric === "detection.ap" && item.control === "none" && item.explainer === row.explainer);
      for (const [i, arm] of (arms.length ? arms : [null]).entries()) {
        const control = arm && scores.find((item) => item.metric === arm.metric && item.control === "shuffled"
          && item.explainer === arm.explainer && item.scorer === arm.scorer);
        body.append(element("tr", {},
          element("td", {}, i ? "" : row.text ? element("bdi", {}, row.text) : element("span", { class: "none" }, "no explanation")),
          element("td", { class: "arm" }, element("bdi", {}, row.explainer), arm ? " → " : "", arm ? element("bdi", {}, arm.scorer) : ""),
          element("td", {}, arm && arm.value !== null ? strip(arm.metric, arm, control ? control.value : null) : ""),
          element("td", { class: arm && arm.value === null ? "number reason" : "number" }, arm ? number(arm) : element("span", { class: "none" }, "not asked")),
          element("td", {}, arm ? badge(arm.grade) : null)));
      }
    }
    if (!body.children.length) return [element("h2", {}, "Explanations"), element("p", { class: "note" }, "Nobody explained this feature.")];
    return [element("h2", {}, "Explanations ", element("small", {}, "detection, average precision; tick: shuffled")),
      element("div", { class: "wide" }, element("table", { class: "explanations" }, body)),
      ...rows.map((row) => standing(row, scores)).filter((said) => said !== null).slice(0, 1).map((said) => element("p", { class: "note standing" }, said))];
  }

  // Where a feature stands among those that nobody chose: a page that is passed around may be the best of a hundred.
  function standing(row, scores) {
    const of = (metric) => scores.find((score) => score.metric === metric && score.control === "none"
      && score.explainer === row.explainer && score.scorer === row.scorer);
    const place = of("detection.ap.percentile");
    if (!place || of("detection.ap").value === null) return null;
    if (place.value === null) return "No feature was drawn by seed to hold this one against.";
    return `Its detection is higher than that of ${percent(place.value)} of ${count(place.n)} `
      + `${row.selection === "hand-picked" ? "" : "other "}features drawn by seed.`;
  }

  function number(score) {
    if (score.value === null) return element("span", { class: "none" }, "unscored" + (score.reason ? `: ${score.reason}` : ""));
    const node = element("span", {}, score.metric.includes(".minus_") ? signed(score.value) : decimal(score.value));
    if (score.low !== null && score.high !== null) {
      node.append(" ", element("span", { class: "interval" }, `[${decimal(score.low)}, ${decimal(score.high)}]`));
    }
    return node;
  }

  const SILENT = { near: "silent, though near: where its neighbours in the dictionary fire",
    same_token: "silent, on a token it likes", random: "silent, drawn at random" };

  function passages(row, data) {
    const found = data.passages || [];
    if (!found.length) {
      return [element("h2", {}, "Where it fires"),
        element("p", { class: "note" }, row.dead ? "Nowhere in this corpus." : "No excerpt was kept for this feature.")];
    }
    const highest = Math.max(row.max || 0, ...found.flatMap((item) => item[4].filter((_, i) => i % 2)));
    const groups = new Map();
    for (const item of found) groups.set(item[0], [...(groups.get(item[0]) || []), item]);
    const rank = (stratum) => stratum.startsWith("bin") ? -Number(stratum.slice(3)) : 1 + Object.keys(SILENT).indexOf(stratum);
    const order = [...groups.keys()].sort((a, b) => rank(a) - rank(b));
    const nodes = [element("h2", {}, "Where it fires ", element("small", {}, "by interval of activation, score documents"))];
    for (const stratum of order) {
      const [, low, high] = groups.get(stratum)[0];
      const title = SILENT[stratum] || (low === null || high === null ? stratum : `${compact(low)} – ${compact(high)}`);
      const shown = groups.get(stratum).map((item) => passage(item, data.block.pieces, highest));
      const pictures = shown.filter((node) => node.tagName === "FIGURE");
      nodes.push(element("h3", { class: "interval-head" }, title));
      if (pictures.length) nodes.push(element("div", { class: "pictures" }, ...pictures));
      nodes.push(...shown.filter((node) => node.tagName !== "FIGURE"));
    }
    return nodes;
  }

  function passage([, , , at, sparse, seen], pieces, highest) {
    const values = new Map();
    for (let i = 0; i < sparse.length; i += 2) values.set(sparse[i], sparse[i + 1]);
    return seen ? picture(seen, values, pieces[at], highest) : text(values, pieces[at], highest);
  }

  // A picture with its heat map: a cell for every patch that fires, the brighter the stronger.
  function picture([number, start, rows, columns, label], values, pieces, highest) {
    const cells = [];
    const [side, tall] = [100 / columns, 100 / rows];
    for (let patch = 0; patch < rows * columns; patch += 1) {
      const value = values.get(start + patch);
      if (value === undefined) continue;
      const cell = drawn("rect", { x: (patch % columns) * side, y: Math.floor(patch / columns) * tall, width: side, height: tall,
        "fill-opacity": (0.15 + 0.6 * Math.min(1, value / (highest || 1))).toFixed(2) }, titled(`activation ${compact(value)}`));
      cells.push(cell);
    }
    const image = element("img", { alt: label || "picture without a label", width: 128, height: 128 });
    sourceOf(number).then((source) => { image.src = source; });
    const heat = drawn("svg", { class: "heat", viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" }, ...cells);
    const whole = [...values.keys()].filter((place) => place < start || place >= start + rows * columns);
    const words = pieces.filter((_, place) => place < start || place >= start + rows * columns).join("");
    const own = new Map(whole.map((place) => [place < start ? place : place - rows * columns, values.get(place)]));
    const strongest = cells.length ? Math.max(...[...values].filter(([place]) => !whole.includes(place)).map(([, value]) => value)) : null;
    const caption = element("figcaption", {}, element("bdi", {}, label || ""), strongest === null ? null : element("small", { class: "under" }, compact(strongest)));
    const figure = element("figure", { class: "seen", tabindex: "0" }, element("div", { class: "frame" }, image, heat), caption);
    if (words.trim()) {
      const spoken = pieces.filter((_, place) => place < start || place >= start + rows * columns);
      figure.append(text(own, spoken, highest));
    }
    return figure;
  }

  async function sourceOf(number) {
    const block = Math.floor(number / state.index.pictures);
    const key = `pictures-${block}`;
    if (!state.chunks.has(key)) state.chunks.set(key, unpack(key));
    return (await state.chunks.get(key))[number % state.index.pictures];
  }

  function text(values, pieces, highest) {
    const node = element("p", { class: "passage", tabindex: "0" });
    pieces.forEach((piece, place) => {
      const text = piece.replace(/\n/g, "↵").replace(/\t/g, "⇥");
      const value = values.get(place);
      if (value === undefined) return node.append(text);
      const blank = text.length - text.trimStart().length;
      if (blank && blank < text.length) node.append(text.slice(0, blank));
      const token = element("span", { class: "token fires", "data-value": compact(value), title: `activation ${compact(value)}` }, element("bdi", {}, blank < text.length ? text.slice(blank) : text));
      const share = Math.round(15 + 75 * Math.min(1, value / (highest || 1)));
      token.style.backgroundColor = `color-mix(in srgb, var(--fire) ${share}%, transparent)`;
      return node.append(token);
    });
    return node;
  }

  // How the feature meets its concept in each language and style, beside matched distractors.
  function concept(data, scores) {
    if (!data.concept) return [];
    const forms = new Map();
    for (const item of scores) {
      const found = /^generalisation\.(auroc|fire_rate)\.(.+)$/.exec(item.metric);
      if (!found) continue;
      const kept = forms.get(found[2]) || {};
      kept[item.control === "distractors" ? "other" : found[1]] = item;
      forms.set(found[2], kept);
    }
    const cell = (item) => element("td", { class: "number" }, item && item.value !== null ? decimal(item.value) : element("span", { class: "none" }, "–"));
    const rows = [...forms].sort((a, b) => (b[1].auroc?.value ?? -1) - (a[1].auroc?.value ?? -1));
    const body = element("tbody", {}, ...rows.map(([form, kept]) => element("tr", {},
      element("th", { scope: "row" }, element("bdi", {}, form), form === data.home ? element("small", {}, " found here") : null),
      element("td", {}, kept.auroc ? strip("generalisation.auroc", kept.auroc, 0.5) : null), cell(kept.auroc), cell(kept.fire_rate), cell(kept.other))));
    const head = (text, name) => element("th", name ? { scope: "col", class: name } : { scope: "col" }, text);
    return [element("h2", {}, "Its concept in every form ", element("small", {}, element("bdi", {}, data.concept))),
      element("div", { class: "wide" }, element("table", { class: "forms" }, element("thead", {}, element("tr", {},
        head("form"), head("AUROC; tick: 0.5"), head("", "number"), head("fires", "number"), head("on distractors", "number"))), body))];
  }

  // The nearest features of every dictionary; those that were evaluated have a page.
  function neighbours(data) {
    if (!(data.near || []).length) return [];
    const known = new Map(state.all.map((row) => [link(row.dictionary, row.feature), row]).reverse());
    const body = element("tbody", {});
    for (const place of new Set(data.near.map(([at]) => at))) {
      const own = data.near.filter(([at]) => at === place);
      const { name } = state.index.dictionaries[place];
      body.append(element("tr", { class: "subhead" }, element("th", { colspan: "3", scope: "rowgroup" }, element("bdi", {}, name),
        element("small", {}, ` chance seldom exceeds ${decimal(own[0][3])}`))));
      body.append(...own.map(([, feature, cosine, chance]) => {
        const row = known.get(link(name, feature));
        const label = element("bdi", {}, `${name}/${feature}`);
        return element("tr", cosine > chance ? {} : { class: "chance-only" },
          element("td", { class: "feature" }, row ? element("a", { href: link(name, feature) }, label) : label),
          element("td", { class: "text" }, row && row.text ? element("bdi", {}, row.text) : ""),
          element("td", { class: "number" }, decimal(cosine)));
      }));
    }
    return [element("h2", {}, "Nearest features ", element("small", {}, "cosine of feature vectors; faint: no more than by chance")),
      element("div", { class: "wide" }, element("table", { class: "near" }, body))];
  }

  function allScores(every) {
    const scores = every.filter((score) => !/^generalisation\.[a-z_]+\../.test(score.metric));
    if (!scores.length) return [element("h2", {}, "All scores"), element("p", { class: "note" }, "Nothing was measured of this feature.")];
    const head = (text, name) => element("th", name ? { scope: "col", class: name } : { scope: "col" }, text);
    const table = element("table", {}, element("thead", {}, element("tr", {}, head("score"), head("value", "number"), head("shuffled", "number"),
      head("n", "number"), head(element("span", { class: "quiet" }, "grade")))));
    const arm = (score) => score.explainer || score.scorer ? `${score.explainer} → ${score.scorer}` : "no model";
    for (const name of new Set(scores.map(arm))) {
      // The control stands beside each score, so their difference would say nothing new.
      const items = scores.filter((score) => arm(score) === name && !score.metric.endsWith(".minus_shuffled"));
      const control = (item) => item.control === "none" && items.find((other) => other.control === "shuffled" && other.metric === item.metric);
      const paired = new Set(items.map(control));
      const body = element("tbody", {}, element("tr", { class: "subhead" }, element("th", { colspan: "5", scope: "rowgroup" }, element("bdi", {}, name))));
      body.append(...items.filter((item) => !paired.has(item)).map((item) => scoreLine(item, control(item))));
      table.append(body);
    }
    return [element("h2", {}, "All scores ", element("small", {}, "beside the shuffled control; n: items judged")), element("div", { class: "wide" }, table)];
  }

  function scoreLine(item, control) {
    const asked = item.unscored ? `${count(item.n)} of ${count((item.n || 0) + item.unscored)}` : count(item.n);
    const beside = element("td", { class: "number" });
    if (control) {
      beside.append(control.value === null ? element("span", { class: "none" }, "unscored") : decimal(control.value));
      if (control.low !== null && control.high !== null) beside.title = `[${decimal(control.low)}, ${decimal(control.high)}]`;
    }
    return element("tr", item.rubric ? { title: `rubric ${item.rubric}` } : {},
      element("td", {}, item.metric, item.control === "none" ? null : element("small", {}, ` ${item.control}`),
        item.value === null ? element("small", { class: "under why" }, item.reason || "no reason given") : null),
      element("td", { class: "number" }, item.value === null ? element("span", { class: "none" }, "unscored") : number(item)), beside,
      element("td", { class: "number" }, element("small", {}, asked)), element("td", {}, badge(item.grade)));
  }

  // What the subject writes with the feature clamped at multiples of its own maximum.
  function doses(data) {
    const own = (data.doses || []).filter((row) => row[0] === "none");
    if (!own.length) return [];
    const [width, height] = [360, 90];
    const values = data.doses.map((row) => row[2]).filter((value) => value !== null);
    const [low, high] = [Math.min(0, ...values), Math.max(0.01, ...values)];
    const x = (at) => 6 + (at * (width - 12)) / Math.max(1, own.length - 1);
    const y = (value) => height - ((value - low) / (high - low)) * height;
    const svg = drawn("svg", { class: "doses", width, height: height + 20, viewBox: `0 0 ${width} ${height + 20}`, role: "img",
      "aria-label": `Share of its words by dose: ${own.map((row) => `${row[1]}: ${row[2] === null ? "unscored" : decimal(row[2])}`).join(", ")}` },
    drawn("line", { class: "rail", x1: 0, x2: width, y1: y(0), y2: y(0) }));
    for (const control of [...new Set(data.doses.map((row) => row[0]))].reverse()) {
      const known = data.doses.filter((row) => row[0] === control).map((row, at) => [at, row[2]]).filter((point) => point[1] !== null);
      svg.append(drawn("polyline", { class: control === "none" ? "own" : "beside", points: known.map(([at, value]) => `${x(at)},${y(value)}`).join(" ") },
        titled(control === "none" ? "the feature" : control)));
    }
    own.forEach((row, at) => {
      const tick = drawn("text", { class: "tick", x: x(at), y: height + 15, "text-anchor": "middle" });
      tick.textContent = `${row[1]}${row[4] ? "*" : ""}`;
      svg.append(tick);
    });
    const body = element("tbody", {}, ...own.map((row) => element("tr", {},
      element("td", { class: "number" }, `${row[1]}${row[4] ? "*" : ""}`),
      element("td", { class: "number" }, row[2] === null ? "unscored" : signed(row[2])),
      element("td", { class: "number" }, row[3] === null ? "unscored" : signed(row[3])),
      element("td", {}, element("bdi", {}, row[5])))));
    const head = element("thead", {}, element("tr", {}, ...["dose", "its words", "loss rise", "the first text"].map((text, at) =>
      element("th", at < 3 ? { scope: "col", class: "number" } : { scope: "col" }, text))));
    return [element("h2", {}, "Turned up ", element("small", {}, "share of its words over unsteered; thin: controls; * beyond what it ever reaches")),
      svg, element("div", { class: "wide" }, element("table", {}, head, body))];
  }

  function histogram(data) {
    const counts = data.histogram || [];
    const edges = data.block.edges[data.edges] || [];
    const first = counts.findIndex((value) => value > 0);
    if (first < 0) return [];
    const last = counts.findLastIndex((value) => value > 0);
    const kept = counts.slice(first, last + 1);
    const [width, height, top] = [360, 90, Math.max(...kept)];
    const step = Math.min(24, width / kept.length);
    const bars = kept.map((value, i) => drawn("rect", { x: i * step, width: Math.max(1, step - 1.5), y: height - (height * value) / top,
      height: (height * value) / top }, titled(`${count(value)} between ${compact(edges[first + i] ?? null)} and ${compact(edges[first + i + 1] ?? null)}`)));
    const label = (text, x, anchor) => {
      const node = drawn("text", { class: "tick", x, y: height + 15, "text-anchor": anchor });
      node.textContent = text;
      return node;
    };
    const end = kept.length * step;
    return [element("h2", {}, "How strongly, how often ", element("small", {}, "activation, log scale")),
      drawn("svg", { class: "histogram", width: width, height: height + 22, viewBox: `0 0 ${width} ${height + 22}`, role: "img",
        "aria-label": `Histogram of ${count(kept.reduce((sum, value) => sum + value, 0))} activations` },
      drawn("line", { class: "rail", x1: 0, x2: end, y1: height, y2: height }), ...bars,
      label(compact(edges[first] ?? null), 0, "start"), label(compact(edges[last + 1] ?? null), end, "end"))];
  }

  function titled(text) {
    const node = drawn("title", {});
    node.textContent = text;
    return node;
  }

  // --- charts

  const told = { library: null, specs: null, tip: null };

  // The policy names the hash of this script. Its expressions are interpreted, since it forbids to make code of text.
  async function draw(chart) {
    told.specs ||= unpack("charts");
    told.library ||= unzipped("library").text().then((text) => {
      const script = element("script");
      script.textContent = text;
      document.head.append(script);
      return window.vegaEmbed;
    });
    const [embed, specs] = await Promise.all([told.library, told.specs]);
    await embed(chart.firstElementChild, specs[chart.closest("figure").id], { mode: "vega", renderer: "svg", ast: true, actions: false,
      defaultStyle: false, tooltip: (_, event, item, value) => (value ? tell(value, event.target) : hush()) });
    chart.dataset.drawn = "yes";
  }

  function tell(values, mark) {
    const box = mark.getBoundingClientRect();
    told.tip.replaceChildren(...Object.entries(values).map(([name, text]) => element("div", {},
      element("span", {}, name), " ", element("bdi", {}, text))));
    told.tip.hidden = false;
    const [width, height] = [told.tip.offsetWidth, told.tip.offsetHeight];
    const left = Math.min(box.right + 8, document.documentElement.clientWidth - width - 4);
    const top = box.top - height - 8 > 0 ? box.top - height - 8 : box.bottom + 8;
    told.tip.style.left = `${Math.max(4, left)}px`;
    told.tip.style.top = `${top}px`;
  }

  const hush = () => { told.tip.hidden = true; };

  // Arrow keys walk through the marks of a chart, each of which says its numbers.
  function stroll(event) {
    const marks = [...event.currentTarget.querySelectorAll("path, rect")].filter((node) => node.__data__ && node.__data__.tooltip);
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const at = marks.findIndex((node) => node.classList.contains("told"));
    if (at >= 0) marks[at].classList.remove("told");
    hush();
    if (!step || !marks.length) return;
    event.preventDefault();
    const next = marks[at < 0 ? (step > 0 ? 0 : marks.length - 1) : (at + step + marks.length) % marks.length];
    next.classList.add("told");
    tell(next.__data__.tooltip, next);
  }

  function gallery() {
    told.tip = element("div", { id: "tip", role: "status" });
    told.tip.hidden = true;
    document.body.append(told.tip);
    const near = new IntersectionObserver((entries) => {
      for (const { target } of entries.filter((entry) => entry.isIntersecting)) {
        near.unobserve(target);
        draw(target);
      }
    }, { rootMargin: "300px" });
    for (const chart of document.querySelectorAll(".chart")) {
      near.observe(chart);
      chart.addEventListener("keydown", stroll);
      chart.addEventListener("blur", stroll);
    }
    window.addEventListener("scroll", hush, { passive: true });
  }

  // --- the map

  const FOUND = 20;
  const NEAR = 8; // pixels from a point within which it is meant
  const chart = { points: [], hits: [], shown: null, scale: 1, x: 0, y: 0, over: null, places: [] };

  // Small dictionaries are few and dark, large ones many and light: hues go round evenly.
  const paper = matchMedia("print");
  const colourOf = (place) => `hsl(${(215 + 67 * place) % 360} 55% ${dark() && !paper.matches ? 65 : 42}%)`;

  const size = () => { const box = $("map").getBoundingClientRect(); return [box.width, box.height]; };

  function fit() {
    const [width, height] = size();
    chart.scale = Math.min(width, height) * 0.94 / chart.steps;
    chart.x = (width - chart.steps * chart.scale) / 2;
    chart.y = (height - chart.steps * chart.scale) / 2;
  }

  function zoom(factor, x, y) {
    const [width, height] = size();
    const [px, py] = [x ?? width / 2, y ?? height / 2];
    const whole = Math.min(width, height) / chart.steps;
    const scale = Math.min(whole * 200, Math.max(whole * 0.5, chart.scale * factor));
    chart.x = px - (px - chart.x) * scale / chart.scale;
    chart.y = py - (py - chart.y) * scale / chart.scale;
    chart.scale = scale;
    paint();
  }

  function paint() {
    const canvas = $("map");
    const [width, height] = size();
    if (!width) return;
    const dense = window.devicePixelRatio || 1;
    if (canvas.width !== Math.round(width * dense)) { canvas.width = Math.round(width * dense); canvas.height = Math.round(height * dense); }
    const pen = canvas.getContext("2d");
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, width, height);
    const searching = chart.hits.length < chart.points.length;
    const dot = (point, radius, alpha) => {
      const [x, y] = [chart.x + point.x * chart.scale, chart.y + point.y * chart.scale];
      if (x < -9 || y < -9 || x > width + 9 || y > height + 9) return;
      pen.globalAlpha = alpha;
      pen.fillStyle = colourOf(point.place);
      pen.beginPath();
      pen.arc(x, y, radius, 0, 7);
      pen.fill();
    };
    for (const point of chart.points) dot(point, 2, searching ? 0.12 : point.row ? 0.9 : 0.45);
    if (searching) for (const point of chart.hits) dot(point, 4, 1);
    if (chart.over) dot(chart.over, 6, 1);
  }

  function nearest(x, y) {
    let [best, least] = [null, NEAR * NEAR];
    for (const point of chart.hits) {
      const far = (chart.x + point.x * chart.scale - x) ** 2 + (chart.y + point.y * chart.scale - y) ** 2;
      if (far < least) [best, least] = [point, far];
    }
    return best;
  }

  function named(point) {
    const label = element("bdi", {}, `${point.dictionary}/${point.feature}`);
    const said = point.row ? element("bdi", {}, point.row.text) : element("span", { class: "none" }, "not evaluated");
    return [point.row ? element("a", { href: link(point.dictionary, point.feature) }, label) : label, " ", said];
  }

  function look() {
    const words = $("map-search").value.trim().toLowerCase();
    const wanted = $("map-dictionary").value;
    chart.hits = chart.points.filter((point) => (!wanted || point.dictionary === wanted)
      && (!words || String(point.feature) === words || `${point.dictionary}/${point.feature}`.toLowerCase() === words
        || (point.row !== null && point.row.lower.includes(words))));
    chart.over = null;
    const listed = words ? chart.hits.slice(0, FOUND) : [];
    $("map-list").replaceChildren(...listed.map((point) => element("li", {}, ...named(point))));
    $("map-found").textContent = `${count(chart.hits.length)} of ${count(chart.points.length)} features on the map; `
      + "drag to move, scroll or + and − to zoom, click a feature to open it";
    paint();
  }

  function site() {
    const chosen = chart.sites[Number($("map-site").value) || 0];
    const known = new Map(state.all.map((row) => [link(row.dictionary, row.feature), row]).reverse());
    chart.points = chosen.feature.map((feature, at) => {
      const dictionary = state.index.dictionaries[chosen.dictionary[at]].name;
      return { feature, dictionary, place: chosen.dictionary[at], x: chosen.x[at], y: chosen.y[at], row: known.get(link(dictionary, feature)) || null };
    });
    const places = [...new Set(chosen.dictionary)];
    $("map-dictionary").replaceChildren(element("option", { value: "" }, "all"),
      ...places.map((place) => element("option", { value: state.index.dictionaries[place].name }, state.index.dictionaries[place].name)));
    chart.places = places;
    fit();
    colours();
    look();
  }

  function colours() {
    $("map-key").replaceChildren(...chart.places.map((place) => {
      const spot = element("i");
      spot.style.backgroundColor = colourOf(place);
      return element("span", {}, spot, element("bdi", {}, state.index.dictionaries[place].name));
    }));
    paint();
  }

  async function atlas() {
    if (!$("map-points")) return;
    const { steps, sites } = await unpack("map-points");
    Object.assign(chart, { steps, sites });
    const canvas = $("map");
    $("map-site").append(...sites.map((one, at) => element("option", { value: String(at) }, one.site)));
    $("map-site").closest("label").hidden = sites.length < 2;
    $("map-form").addEventListener("submit", (event) => event.preventDefault());
    $("map-search").addEventListener("input", look);
    $("map-dictionary").addEventListener("input", look);
    $("map-site").addEventListener("input", site);
    $("map-in").addEventListener("click", () => zoom(1.6));
    $("map-out").addEventListener("click", () => zoom(1 / 1.6));
    $("map-whole").addEventListener("click", () => { fit(); paint(); });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
    }, { passive: false });
    let held = null;
    canvas.addEventListener("pointerdown", (event) => {
      held = { x: event.offsetX, y: event.offsetY, moved: false };
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (held) {
        if (Math.hypot(event.offsetX - held.x, event.offsetY - held.y) > 3) held.moved = true;
        if (!held.moved) return;
        chart.x += event.movementX;
        chart.y += event.movementY;
        canvas.classList.add("dragged");
      } else {
        chart.over = nearest(event.offsetX, event.offsetY);
        canvas.classList.toggle("over", Boolean(chart.over && chart.over.row));
        canvas.title = chart.over ? `${chart.over.dictionary}/${chart.over.feature}${chart.over.row ? ` ${chart.over.row.text}` : ""}` : "";
      }
      paint();
    });
    canvas.addEventListener("pointerup", (event) => {
      canvas.classList.remove("dragged");
      const point = held && !held.moved ? nearest(event.offsetX, event.offsetY) : null;
      held = null;
      if (!point) return;
      if (point.row) location.hash = link(point.dictionary, point.feature);
      else $("map-list").replaceChildren(element("li", {}, ...named(point)));
    });
    canvas.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] }[event.key];
      if (event.key === "+" || event.key === "=") zoom(1.6);
      else if (event.key === "-") zoom(1 / 1.6);
      else if (move) { chart.x += move[0]; chart.y += move[1]; paint(); }
      else return;
      event.preventDefault();
    });
    $("theme").addEventListener("click", colours);
    paper.addEventListener("change", colours);
    let width = size()[0];
    new ResizeObserver(() => { if (size()[0] && size()[0] !== width) { [width] = size(); fit(); } paint(); }).observe(canvas);
    site();
  }

  // --- wiring

  function options(id, values) {
    $(id).append(...values.map((value) => element("option", { value }, value)));
  }

  async function route() {
    const found = /^#feature=(.+)\/(\d+)$/.exec(location.hash);
    if (found) {
      let name = found[1];
      try { name = decodeURIComponent(name); } catch { /* a half-written escape is taken as it stands */ }
      return open(name, Number(found[2]));
    }
    if (!$("report").hidden) return undefined;
    $("feature").hidden = true;
    $("report").hidden = false;
    document.title = state.title;
    window.scrollTo(0, state.scroll);
    const place = $(location.hash.slice(1));
    if (place && place.id !== "features") return place.scrollIntoView();
    return $("features").focus({ preventScroll: true });
  }

  const dark = () => document.documentElement.dataset.theme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);

  function theme() {
    const show = () => {
      $("theme").textContent = dark() ? "light" : "dark";
      $("theme").setAttribute("aria-pressed", String(dark()));
      $("theme").setAttribute("aria-label", `switch to ${dark() ? "light" : "dark"} colours`);
    };
    try {
      const kept = localStorage.getItem("autointerp-theme");
      if (kept === "dark" || kept === "light") document.documentElement.dataset.theme = kept;
    } catch { /* storage may be forbidden for local files */ }
    $("theme").addEventListener("click", () => {
      document.documentElement.dataset.theme = dark() ? "light" : "dark";
      try { localStorage.setItem("autointerp-theme", document.documentElement.dataset.theme); } catch { /* as above */ }
      show();
    });
    show();
  }

  async function start() {
    theme();
    state.title = document.title;
    state.index = await unpack("index");
    state.all = rowsOf(state.index);
    options("by-dictionary", state.index.dictionaries.map((item) => item.name));
    options("by-explainer", state.index.explainers.filter((name) => name && state.all.some((row) => row.explainer === name)));
    options("by-grade", Object.keys(state.index.meaning));
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("filters").addEventListener("input", refresh);
    $("more").addEventListener("click", () => { state.shown += PAGE; list(); });
    for (const button of document.querySelectorAll("[data-sort]")) {
      button.addEventListener("click", () => {
        const same = state.sort === button.dataset.sort;
        const downFirst = ["value", "shuffled", "margin", "density", "max"].includes(button.dataset.sort);
        state.down = same ? !state.down : downFirst;
        state.sort = button.dataset.sort;
        refresh();
      });
    }
    refresh();
    await atlas();
    window.addEventListener("hashchange", route);
    await route();
    document.documentElement.dataset.ready = "yes";
    gallery();
  }

  start();
})();
