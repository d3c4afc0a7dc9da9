// The same request for a terminal and for Python. The key is never shown.

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function curlOf(url, body, key) {
  const words = [`curl -s ${quoted(url)}`, "-H 'Content-Type: application/json'"];
  if (key) words.push('-H "Authorization: Bearer $BERTKIT_API_KEY"');
  words.push(`-d ${quoted(JSON.stringify(body))}`);
  return words.join(" \\\n  ");
}

function pythonOf(url, body, key) {
  const headers = `{"Content-Type": "application/json"${key ? ', "Authorization": "Bearer " + os.environ["BERTKIT_API_KEY"]' : ""}}`;
  return [
    `import json${key ? "\nimport os" : ""}`,
    "from urllib.request import Request, urlopen",
    "",
    `body = ${pythonValue(body)}`,
    `headers = ${headers}`,
    `with urlopen(Request(${pythonValue(url)}, json.dumps(body).encode(), headers)) as response:`,
    '    print(json.load(response)["results"])',
  ].join("\n");
}

function pythonValue(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonValue).join(", ")}]`;
  if (typeof value === "object") {
    return `{${Object.entries(value).map(([name, one]) => `${pythonValue(name)}: ${pythonValue(one)}`).join(", ")}}`;
  }
  return JSON.stringify(value); // numbers, and strings, whose escapes are those of Python
}
