// The page: choose a model and a task, send the form, show the answer.

const at = (id) => document.getElementById(id);
const form = at("form");

let models = [];
let key = ""; // only here
let pending = null; // the request that is on its way

/** An error with a message for people. */
class Problem extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** The answer of the server, and its headers. Addresses are relative, so that the page works below any path. */
async function send(path, body, signal) {
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not answer. It may be stopped, or unreachable from here.");
  }
  const text = await response.text();
  if (!response.ok) throw new Problem(messageOf(response, text), response.status);
  return [JSON.parse(text), response.headers];
}

function messageOf(response, text) {
  if (response.status === 401) return key ? "The server does not accept this key: type another one." : "This server needs a key.";
  const wait = response.headers.get("retry-after");
  let message = `The server refused the request with the status ${response.status}.`;
  try {
    message = JSON.parse(text).error.message ?? message;
  } catch {
    // a proxy answered, not the server
  }
  return response.status === 429 && wait ? `${message} Try again in ${wait} seconds.` : message;
}

function tell(message) {
  at("status").textContent = message;
}

function complain(problem) {
  at("problem").hidden = !problem;
  at("problem").textContent = problem ? problem.message : "";
  if (problem?.status === 401) {
    at("unlock").hidden = false;
    at("key").focus();
  }
}

/** Ask for the models until the server has loaded them. */
async function start() {
  for (;;) {
    try {
      const [found] = await send("v1/models");
      models = found.data;
      break;
    } catch (problem) {
      const wait = [0, 429, 503, 504].includes(problem.status);
      tell(wait ? `${problem.message} This page tries again every 2 seconds.` : "");
      if (!wait) return complain(problem);
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
  complain(null);
  at("unlock").hidden = true;
  at("model").replaceChildren(...models.map((model) => new Option(model.id, model.id)));
  form.hidden = at("code").hidden = false;
  document.querySelector("footer").hidden = Boolean(key); // a link cannot send the key
  tell("Type a text, and press Run.");
  chooseModel();
}

const chosenModel = () => models.find((model) => model.id === at("model").value);
const chosenTask = () => TASKS[at("task").value] ?? OTHER;
const fieldsOf = () => Object.fromEntries(new FormData(form));

/** List the tasks of the model. The one that was chosen before stays, if the model can do it. */
function chooseModel() {
  const tasks = chosenModel().tasks;
  const before = at("task").value;
  at("task").replaceChildren(...tasks.map((task) => new Option(TASKS[task]?.title ?? task, task)));
  at("task").value = tasks.includes(before) ? before : tasks[0];
  chooseTask();
}

function chooseTask() {
  const task = at("task").value;
  const name = task in TASKS ? task : "other";
  for (const fields of form.querySelectorAll("fieldset")) {
    fields.hidden = fields.disabled = fields.dataset.task !== name;
  }
  clear();
  writeCode();
}

function clear() {
  pending?.abort();
  complain(null);
  at("drawing").replaceChildren();
  at("spoken").textContent = "";
  at("raw").hidden = true;
  tell("Type a text, and press Run.");
}

const pathOf = () => `v1/tasks/${encodeURIComponent(at("task").value)}`;

function bodyOf(fields) {
  const body = { inputs: chosenTask().inputs(fields) };
  const options = chosenTask().options(fields);
  if (Object.keys(options).length) body.options = options;
  if (models.length > 1) body.model = chosenModel().id;
  return body;
}

function writeCode() {
  const fields = fieldsOf();
  if (chosenTask().check?.(fields)) return; // the lines of the last valid form stay
  const url = new URL(pathOf(), document.baseURI).href;
  at("curl").textContent = curlOf(url, bodyOf(fields), key);
  at("python").textContent = pythonOf(url, bodyOf(fields), key);
  at("key-hint").hidden = !key;
}

async function run() {
  const task = chosenTask();
  const fields = fieldsOf();
  clear();
  const wrong = task.check?.(fields);
  if (wrong) return complain(new Problem(wrong));
  const own = (pending = new AbortController());
  tell("Waiting for the answer …");
  at("answer").setAttribute("aria-busy", "true");
  const began = performance.now();
  try {
    const [found, headers] = await send(pathOf(), bodyOf(fields), own.signal);
    const took = performance.now() - began;
    const failed = found.results.find((one) => "error" in one);
    if (failed) throw new Problem(failed.error);
    at("drawing").replaceChildren(task.draw(found.results.map((one) => one.answer), fields));
    at("raw").hidden = false;
    at("raw").querySelector("pre").textContent = JSON.stringify(found, null, 2);
    tell(summaryOf(found.results, headers, took));
    at("spoken").textContent = spokenOf(at("drawing"));
  } catch (problem) {
    if (own.signal.aborted) return;
    tell("");
    complain(problem);
  } finally {
    if (own === pending) {
      at("answer").setAttribute("aria-busy", "false");
      at("answer").scrollIntoView({ block: "nearest" }); // on a phone, it is below the form
    }
  }
}

/** How long the answer took, and how the text was read. */
function summaryOf(results, headers, took) {
  const steps = [["tokenization", "tokenizing"], ["queue", "waiting"], ["inference", "computing"]];
  const times = steps.map(([header, name]) => `${headers.get(`x-${header}-time`)} ${name}`).join(", ");
  const tokens = headers.get("x-compute-tokens");
  const parts = [`Answered in ${Math.round(took)} ms (${times}), ${tokens} token${tokens === "1" ? "" : "s"}.`];
  if (results.some((one) => one.truncated)) parts.push("The end of the text was cut off, as the model reads no more.");
  return parts.join(" ");
}

/** The main part of an answer, for screen readers: the rest is on the page. */
function spokenOf(drawing) {
  const main = drawing.querySelector(".bars li") ?? drawing.querySelector("p");
  return main ? `Answer: ${main.textContent.slice(0, 300)}` : "The answer is below.";
}

async function copy(button) {
  await navigator.clipboard.writeText(at(button.dataset.copy).textContent);
  at("copied").textContent = "Copied.";
  setTimeout(() => (at("copied").textContent = ""), 3000);
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  run();
});
form.addEventListener("input", (event) => {
  if (event.target.closest("fieldset")) writeCode();
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
});
at("model").addEventListener("change", chooseModel);
at("task").addEventListener("change", chooseTask);
at("unlock").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = at("key").value.trim();
  if (!/^[\x20-\x7e]+$/.test(given)) return complain(new Problem("A key has only letters, digits and signs of ASCII."));
  key = given;
  at("key").value = "";
  complain(null);
  start();
});
for (const button of document.querySelectorAll("[data-copy]")) {
  button.hidden = !navigator.clipboard; // browsers have none without https, except on this machine
  button.addEventListener("click", () => copy(button));
}
start();
