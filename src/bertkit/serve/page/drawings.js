// Answers as elements. Texts become text nodes, never markup.

function element(tag, className, ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

const shown = (score) => (score !== 0 && Math.abs(score) < 0.0001 ? score.toExponential(0) : score.toFixed(4));

/** Names with scores, as bars. The longest bar is 1, or the largest score above it. */
function bars(rows) {
  if (!rows.length) return element("p", "", "Nothing was found.");
  const most = Math.max(1, ...rows.map(([, score]) => score));
  const items = rows.map(([name, score]) => {
    const bar = element("span", "bar", element("span", "fill"));
    bar.setAttribute("aria-hidden", "true");
    bar.firstChild.style.width = `${(100 * Math.max(score, 0)) / most}%`;
    return element("li", "", element("span", "name", name), " ", element("span", "number", shown(score)), bar);
  });
  return element("ol", "bars", ...items);
}

/** A text whose parts [start, end, part -> element] are replaced. Places count characters as Python does: an emoji is one. */
function marked(text, parts) {
  const letters = Array.from(text);
  const found = element("p", "text");
  let at = 0;
  for (const [start, end, made] of parts.toSorted((one, other) => one[0] - other[0])) {
    if (start < at) continue;
    found.append(letters.slice(at, start).join(""), made(letters.slice(start, end).join("")));
    at = end;
  }
  found.append(letters.slice(at).join(""));
  return found;
}

/** A text, whose new part is marked. */
function continued(prompt, text) {
  return element("p", "text", prompt, element("mark", "", text.slice(prompt.length)));
}

const HUES = [210, 35, 140, 290, 0, 180, 60, 330];

/** The text with its entities in colours, then a table of them. */
function entitiesOf(text, entities) {
  const kind = (one) => (one.entity_group ?? one.entity ?? "").replace(/^[BIES]-/, "");
  const named = entities.filter((one) => !["", "O"].includes(kind(one)));
  const kinds = [...new Set(named.map(kind))].sort();
  const mark = (one) => (part) => {
    const made = element("mark", "entity", part, element("span", "kind", kind(one)));
    made.style.setProperty("--hue", HUES[kinds.indexOf(kind(one)) % HUES.length]);
    return made;
  };
  const painted = marked(text, named.map((one) => [one.start, one.end, mark(one)]));
  if (!entities.length) return element("div", "", painted, element("p", "", "No entities were found."));
  const letters = Array.from(text);
  const rows = entities.map((one) => [
    letters.slice(one.start, one.end).join(""), one.entity_group ?? one.entity ?? "", shown(one.score), `${one.start}–${one.end}`,
  ]);
  return element("div", "", painted, table(["Text", "Label", "Score", "Place"], rows));
}

function table(names, rows) {
  const head = element("tr", "", ...names.map((name) => scoped(element("th", "", name), "col")));
  const body = rows.map((cells) => element("tr", "", ...cells.map((cell) => element("td", "", cell))));
  const made = element("table", "", element("thead", "", head), element("tbody", "", ...body));
  return scrollable("Table of the answer", element("div", "scroll", made));
}

function scoped(cell, scope) {
  cell.scope = scope;
  return cell;
}

/** An element that may be larger than its place. It has the focus of the keyboard, so that keys scroll it. */
function scrollable(name, made) {
  made.tabIndex = 0;
  made.setAttribute("role", "region");
  made.setAttribute("aria-label", name);
  return made;
}

/** The context with the best answer marked, then all answers. */
function answersIn(context, answers) {
  const best = answers[0];
  const parts = best.answer ? [[best.start, best.end, (part) => element("mark", "", part)]] : [];
  const rows = answers.map((one) => [one.answer || "No answer in the text", one.score]);
  return element("div", "", marked(context, parts), bars(rows));
}

/** The text with the best word in each mask, then the words for each mask. */
function fillings(text, masks) {
  const parts = text.split("[MASK]");
  const found = element("div", "");
  if (parts.length === masks.length + 1) {
    const filled = masks.flatMap((words, index) => [element("mark", "", words[0].token_str), parts[index + 1]]);
    found.append(element("p", "text", parts[0], ...filled));
  }
  masks.forEach((words, index) => {
    if (masks.length > 1) found.append(element("h3", "", `Mask ${index + 1}`));
    found.append(bars(words.map((one) => [[one.token_str].flat().join(" … "), one.score])));
  });
  return found;
}

/** The similarity of each sentence (a row) to each (a column). Colours are from 0 to 1, or from the lowest to the highest of other scales. */
function heatMap(sentences, rows) {
  const all = rows.flat();
  const usual = all.every((score) => Math.abs(score) < 1.001);
  const [low, high] = usual ? [0, 1] : [Math.min(...all), Math.max(...all)];
  const head = element("tr", "", element("td", ""), ...sentences.map((_, index) => scoped(element("th", "", String(index + 1)), "col")));
  const body = rows.map((row, index) => {
    const name = scoped(element("th", "", `${index + 1}. ${sentences[index]}`), "row");
    return element("tr", "", name, ...row.map((score) => heat(score, (score - low) / (high - low || 1))));
  });
  const made = element("table", "heat", element("thead", "", head), element("tbody", "", ...body));
  return scrollable("Map of similarities", element("div", "scroll", made));
}

function heat(score, given) {
  const share = Math.min(Math.max(given, 0), 1);
  const cell = element("td", "", score.toFixed(2));
  cell.style.setProperty("--share", `${Math.round(55 * share)}%`); // text is readable on all of these
  return cell;
}

/** The numbers of a vector as small squares: blue above 0, orange below, stronger for larger numbers. */
function vectorPicture(vector) {
  const length = Math.hypot(...vector);
  const most = Math.max(...vector.map(Math.abs)) || 1;
  const cells = vector.map((number) => {
    const cell = element("span", number < 0 ? "minus" : "plus");
    cell.style.opacity = Math.abs(number) / most;
    return cell;
  });
  const picture = element("div", "vector", ...cells);
  picture.setAttribute("role", "img");
  picture.setAttribute("aria-label", `${vector.length} numbers from ${shown(Math.min(...vector))} to ${shown(Math.max(...vector))}`);
  const first = vector.slice(0, 6).map(shown).join(", ");
  const facts = element("p", "", `${vector.length} numbers, length ${shown(length)}: ${first}${vector.length > 6 ? ", …" : ""}`);
  return element("div", "", facts, picture, element("p", "hint", "Blue is above 0, orange below 0, and a stronger colour a larger number."));
}

/** Perplexity, and the tokens with their probabilities: the stronger the colour, the more surprising the token. */
function scored(score) {
  const facts = `Perplexity ${score.perplexity.toLocaleString("en", { maximumFractionDigits: 2 })}, log-likelihood ${score.log_likelihood.toFixed(2)}`;
  const tokens = (score.tokens ?? []).map((one) => {
    const made = element("li", "", element("span", "name", one.token), " ", element("span", "number", shown(Math.exp(one.log_prob))));
    made.style.setProperty("--share", `${Math.round(Math.min(-one.log_prob / 12, 1) * 45)}%`);
    return made;
  });
  const hint = "Each token with its probability: the stronger the colour, the more surprising.";
  return element("div", "", element("p", "", facts), element("ul", "tokens", ...tokens), element("p", "hint", hint));
}
